"""Mean and covariance in a stream: precise, mergeable, bounded in memory, and the same on disk as they were."""

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.forkserver import torchrun
from zoo_core.errors import MetricError
from zoo_core.metrics.statistics import KEPT, FeatureStatistics, RunningStatistics, kept_rows


def features(count, dimensions=5, seed=0, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) * torch.arange(1, dimensions + 1) + offset


def in_batches(values, sizes):
    running, start = RunningStatistics(len(values), values.shape[1]), 0
    for part in values.split(sizes):
        running.add(start, part)
        start += len(part)
    return running.finish({"dataset": "mine"})


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 1000))
def test_batches_of_any_size_give_what_all_at_once_gives(sizes, seed):
    values = features(sum(sizes) + 1, seed=seed)
    found = in_batches(values, [*sizes, 1])
    torch.testing.assert_close(found.mean, values.double().mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.covariance, values.double().T.cov(), rtol=1e-10, atol=1e-12)
    assert found.count == len(values)


def test_a_large_mean_costs_no_digits():
    """Sums of squares would lose all of them: 1e6² beside a variance of 1."""
    values = features(1000).double() + 1e6
    torch.testing.assert_close(in_batches(values, [100] * 10).covariance, values.T.cov(), rtol=1e-9, atol=1e-9)


def test_the_kept_features_are_those_of_the_kept_rows_in_their_order():
    values = features(KEPT + 500, 2)
    found = in_batches(values, 777)
    assert torch.equal(found.kept, values[torch.from_numpy(kept_rows(len(values)))])
    assert len(found.kept) == KEPT


def test_no_picture_is_kept_twice():
    assert len(set(kept_rows(20_000).tolist())) == KEPT
    assert sorted(kept_rows(100).tolist()) == list(range(100))


def test_features_that_are_no_numbers_are_refused():
    running = RunningStatistics(2, 3)
    with pytest.raises(MetricError, match="NaN or infinite"):
        running.add(0, torch.tensor([[0.0, float("nan"), 0], [0, 0, 0]]))


def test_fewer_pictures_than_were_announced_are_refused():
    running = RunningStatistics(10, 5)
    running.add(0, features(9))
    with pytest.raises(MetricError, match="features of 9 samples, not of 10"):
        running.finish({})


def test_one_picture_is_too_few():
    with pytest.raises(MetricError, match="at least two samples"):
        in_batches(features(1), 1)


def test_what_is_saved_is_loaded_again(tmp_path):
    saved = in_batches(features(30), 7)
    saved.save(tmp_path / "mine.safetensors")
    found = FeatureStatistics.load(tmp_path / "mine.safetensors")
    assert (found.count, found.facts) == (30, {"dataset": "mine"})
    for name in ("mean", "covariance", "kept"):
        assert torch.equal(getattr(found, name), getattr(saved, name))


@pytest.mark.parametrize("position", [-1, -500, -1500])
def test_a_changed_byte_is_found(position, tmp_path):
    file = tmp_path / "mine.safetensors"
    in_batches(features(64), 64).save(file)
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(MetricError, match="is damaged"):
        FeatureStatistics.load(file)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"thesis"])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(content)
    with pytest.raises(MetricError, match="holds no statistics"):
        FeatureStatistics.load(tmp_path / "mine.safetensors")
    with pytest.raises(MetricError, match="holds no statistics"):
        FeatureStatistics.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"mean": torch.zeros(())},
        {"covariance": torch.zeros(5, 4)},
        {"kept": torch.zeros(30, 4)},
        {"kept": torch.zeros(29, 5)},
        {"mean": torch.zeros(0), "covariance": torch.zeros(0, 0), "kept": torch.zeros(30, 0)},
    ],
)
def test_tensors_that_do_not_fit_each_other_are_refused(change, tmp_path):
    dataclasses.replace(in_batches(features(30), 7), **change).save(tmp_path / "mine.safetensors")
    with pytest.raises(MetricError, match="do not fit each other"):
        FeatureStatistics.load(tmp_path / "mine.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean": torch.zeros(5)}, "of another type"),
        ({"kept": torch.zeros(30, 5, dtype=torch.complex64)}, "of another type"),
        ({"mean": torch.full((5,), torch.nan, dtype=torch.float64)}, "NaN or infinity"),
        ({"kept": torch.full((30, 5), torch.inf)}, "NaN or infinity"),
    ],
)
def test_tensors_that_no_distance_can_use_are_refused(change, reason, tmp_path):
    """They pass the digest, which whoever wrote the file computed too."""
    dataclasses.replace(in_batches(features(30), 7), **change).save(tmp_path / "mine.safetensors")
    with pytest.raises(MetricError, match=reason):
        FeatureStatistics.load(tmp_path / "mine.safetensors")


def test_bfloat16_which_numpy_does_not_know_is_refused(tmp_path):
    saved = in_batches(features(30), 7)
    tensors = {"mean": saved.mean, "covariance": saved.covariance, "kept": saved.kept.bfloat16()}
    metadata = {"format": "1", "count": "30", "facts": "{}", "sha256": "0" * 64}
    save_file(tensors, tmp_path / "mine.safetensors", metadata)
    with pytest.raises(MetricError, match="of another type"):
        FeatureStatistics.load(tmp_path / "mine.safetensors")


@pytest.mark.parametrize("facts", ['{"split": "a", "split": "b"}', '{"split": NaN}', "[" * 10_000])
def test_facts_that_json_readers_disagree_on_are_refused(facts, tmp_path):
    saved = in_batches(features(30), 7)
    tensors = {"mean": saved.mean, "covariance": saved.covariance, "kept": saved.kept}
    save_file(tensors, tmp_path / "mine.safetensors", {"format": "1", "count": "30", "facts": facts})
    with pytest.raises(MetricError, match=r"holds no statistics: (has the key|holds NaN|is )"):
        FeatureStatistics.load(tmp_path / "mine.safetensors")


@pytest.mark.parametrize("facts", [["dataset"], {"dataset": 3}])
def test_facts_that_are_none_are_refused(facts, tmp_path):
    saved = in_batches(features(30), 7)
    tensors = {"mean": saved.mean, "covariance": saved.covariance, "kept": saved.kept}
    metadata = {"format": "1", "count": "30", "facts": json.dumps(facts)}
    save_file(tensors, tmp_path / "mine.safetensors", metadata)
    with pytest.raises(MetricError, match="holds no statistics: Expected"):
        FeatureStatistics.load(tmp_path / "mine.safetensors")


def test_a_million_pictures_need_no_more_memory_than_ten_thousand(run_python):
    """But for a few bytes a picture, which say where each goes: 12 MB here, and features would be 128 MB."""
    script = """
    import sys, torch
    from zoo_core.metrics.statistics import RunningStatistics
    count = int(sys.argv[1])
    running, batch = RunningStatistics(count, 32), torch.randn(10_000, 32)
    for start in range(0, count, 10_000):
        running.add(start, batch)
    running.finish({})
    print(peak_memory())
    """
    few, many = (int(run_python(script, count)[0]) for count in (10_000, 1_000_000))
    assert many - few < 40e6


TOGETHER = """
import sys, torch
from pathlib import Path
from zoo_core.metrics.statistics import RunningStatistics
from zoo_core.runtime.processes import join
processes = join("cpu")
values = torch.randn(1001, 4, generator=torch.Generator().manual_seed(3)) + 100
start, end = ((0, 300), (300, 301), (301, 1001))[processes.rank]
running = RunningStatistics(1001, 4)
running.add(start, values[start:end])
found = running.finish({}, processes)
found.save(Path(sys.argv[1]) / f"{processes.rank}.safetensors")
"""


@pytest.mark.slow
def test_three_processes_with_unequal_shares_find_what_one_does(tmp_path):
    (tmp_path / "script.py").write_text(TOGETHER)
    done = torchrun("script.py", tmp_path, cwd=tmp_path, processes=3)
    assert done.returncode == 0, done.stderr[-2000:]
    values = torch.randn(1001, 4, generator=torch.Generator().manual_seed(3)) + 100
    expected = in_batches(values, 1001)
    for rank in range(3):
        found = FeatureStatistics.load(tmp_path / f"{rank}.safetensors")
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
        assert torch.equal(found.kept, expected.kept)
