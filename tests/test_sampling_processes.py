"""Several processes sample what one does: shares, files, and what stays behind when one is killed."""

import os
import signal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import forkserver
from tests.forkserver import torchrun
from zoo_core import Generator
from zoo_core.errors import OutputError, ProcessError
from zoo_core.runtime.processes import ALONE, Processes
from zoo_core.sampling.batches import BLOCK, sample_batches
from zoo_core.sampling.distributed import ended_by_exception, share_of_process, write_together


@given(n=st.integers(1, 10**7), count=st.integers(1, 64))
def test_shares_are_whole_blocks_that_follow_each_other_and_are_as_even_as_they_come(n, count):
    shares = [share_of_process(n, Processes(rank, count)) for rank in range(count)]
    assert shares[0][0] == 0
    assert shares[-1][1] == n
    assert all(before[1] == after[0] for before, after in pairwise(shares))
    assert all(start % BLOCK == 0 for start, end in shares if end > start)
    sizes = [end - start for start, end in shares]
    assert max(sizes) - min(sizes) <= 2 * BLOCK


def together(tmp_path, *arguments, processes=2):
    # After `--`, because torchrun takes --start for the beginning of its own --start-method.
    return torchrun("-m", "--", "zoo_core", "sample", *arguments, cwd=tmp_path, processes=processes)


def alone(tmp_path, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return forkserver.run("-m", "zoo_core", "sample", *arguments, cwd=tmp_path, env=environment, check=True)


@pytest.mark.plugins("zoo-dcgan")
def test_a_folder_of_two_processes_is_that_of_one_file_by_file(tmp_path):
    done = together(tmp_path, "dcgan-mnist", "-n", 75, "-o", "two", "--seed", 3)
    assert (done.returncode, done.stdout) == (0, "two\n"), done.stderr[-2000:]
    alone(tmp_path, "dcgan-mnist", "-n", 75, "-o", "one", "--seed", 3)
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == names
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
@pytest.mark.parametrize("out", ["{}", "{}.npz", "{}.webp"])
@pytest.mark.plugins("zoo-vae")
def test_two_processes_start_where_one_does(out, tmp_path):
    arguments = ["vae-mnist", "-n", 50, "--start", 70, "-o"]
    done = together(tmp_path, *arguments, out.format("two"))
    assert done.returncode == 0, done.stderr[-2000:]
    alone(tmp_path, *arguments, out.format("one"))
    one, two = tmp_path / out.format("one"), tmp_path / out.format("two")
    for path in sorted(one.iterdir()) if one.is_dir() else [one]:
        assert path.read_bytes() == (two / path.name if one.is_dir() else two).read_bytes()
    if one.is_dir():
        assert sorted(path.name for path in two.iterdir()) == [f"{index:06d}.png" for index in range(70, 120)]


@pytest.mark.slow
@pytest.mark.plugins("zoo-vae")
def test_stdout_is_for_one_process(tmp_path):
    done = together(tmp_path, "vae-mnist", "-o", "-")
    assert "-o - is for one process" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npz", "png"])
@pytest.mark.plugins("zoo-vae")
def test_a_file_of_three_processes_is_that_of_one(suffix, tmp_path):
    """Three processes for twenty samples: the blocks are fewer than the processes."""
    done = together(tmp_path, "vae-mnist", "-n", 20, "-o", f"three.{suffix}", processes=3)
    assert (done.returncode, done.stdout) == (0, f"three.{suffix}\n"), done.stderr[-2000:]
    alone(tmp_path, "vae-mnist", "-n", 20, "-o", f"one.{suffix}")
    assert (tmp_path / f"three.{suffix}").read_bytes() == (tmp_path / f"one.{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one.{suffix}", f"three.{suffix}"]
    if suffix == "npz":
        assert np.load(tmp_path / "three.npz")["arr_0"].shape == (20, 28, 28, 1)


@pytest.mark.plugins("zoo-vae")
def test_what_cannot_be_written_is_told_and_nothing_stays(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("words")
    done = together(tmp_path, "vae-mnist", "-n", 20, "-o", "full")
    assert done.returncode != 0
    assert "full cannot be written: it exists already" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.tex"]


DYING = """
import os, signal, sys
import torch
from zoo_core import Generator
from tests import forkserver
from tests.forkserver import torchrun
from zoo_core.errors import ProcessError
from zoo_core.runtime.processes import join
from zoo_core.sampling.batches import sample_batches
from zoo_core.sampling.distributed import write_together

class Tiny(Generator):
    latent_shape, sample_shape = (64,), (1, 8, 8)
    def forward(self, z, labels=None):
        return torch.tanh(z).unflatten(1, (1, 8, 8))

def draw(start, n):
    for number, batch in enumerate(sample_batches(Tiny(), n, start=start, batch_size=16)):
        if (start, number) == (64, 2):
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out
        yield batch

try:
    write_together(Tiny(), 128, sys.argv[1], join("cpu"), draw)
except ProcessError as error:
    sys.exit(f"Error: {error}")
"""


@pytest.mark.parametrize("out", ["folder", pytest.param("array.npz", marks=pytest.mark.slow)])
def test_a_process_that_dies_ends_them_all_and_nothing_half_written_stays(out, tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    done = torchrun("dying.py", out, cwd=tmp_path)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dying.py"]


@pytest.mark.slow
@pytest.mark.plugins("zoo-dcgan")
def test_classes_and_bfloat16_are_shared_out_as_well(tmp_path):
    arguments = ["dcgan-mnist-conditional", "-n", 75, "--label", 7, "--precision", "bf16"]
    done = together(tmp_path, *arguments, "-o", "two.npz")
    assert done.returncode == 0, done.stderr[-2000:]
    alone(tmp_path, *arguments, "-o", "one.npz")
    assert (tmp_path / "two.npz").read_bytes() == (tmp_path / "one.npz").read_bytes()


def test_the_launchers_signal_does_not_cut_clearing_up_short():
    cleared = []

    def lose_the_connection():
        try:
            raise ProcessError("another process has ended")
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleared.append(True)

    with pytest.raises(ProcessError), ended_by_exception():
        lose_the_connection()
    assert cleared
    with pytest.raises(SystemExit), ended_by_exception():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("out", ["a.png", "folder"])
def test_pictures_of_two_channels_are_refused_as_by_one_process(out, tmp_path, monkeypatch):
    class TwoChannels(Generator):
        latent_shape, sample_shape = (8,), (2, 2, 2)

        def forward(self, z, labels=None):
            return z.unflatten(1, (2, 2, 2))

    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"a PNG has 1 or 3 channels, not 2; use a name in \.npz"):
        write_together(TwoChannels(), 3, out, ALONE, lambda start, n: sample_batches(TwoChannels(), n, start=start))
    assert list(tmp_path.iterdir()) == []
