"""`evaluate`: conditions, streaming, caches, shared files, processes, and what is refused."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.builtin import architecture
from tests.forkserver import torchrun
from zoo_core import Generator
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, MetricError
from zoo_core.hub.cards import model_index
from zoo_core.kinds.pictures import to_uint8
from zoo_core.metrics import FeatureStatistics, compare, evaluate
from zoo_core.metrics.conditions import Conditions
from zoo_core.metrics.data_features import data_statistics
from zoo_core.metrics.extractors.opening import open_extractor
from zoo_core.metrics.inputs import open_data
from zoo_core.metrics.neighbours import nearest, neighbours_picture
from zoo_core.metrics.table import METRICS, Counts
from zoo_core.modelfolder.card import model_card

MNIST = Path(__file__).parent / "data" / "mnist"


@pytest.fixture(scope="module")
def train():
    return open_images(MNIST).decode((1, 28, 28))


class Replay(Generator):
    """Draws pictures of a data set, one for each latent, in order."""

    latent_shape, sample_shape = (1,), (1, 28, 28)

    def __init__(self, pictures):
        super().__init__()
        self.register_buffer("pictures", pictures)

    def latents(self, seed, start, count):
        return torch.arange(start, start + count).float()[:, None] + 7 * seed

    def forward(self, z, labels=None):
        return self.from_unit(self.pictures[z[:, 0].long() % len(self.pictures)].float() / 255)


def gan(size=28, channels=1):
    torch.manual_seed(0)
    gan = architecture("vanilla_gan")
    config = gan.config_class()(
        size=size, channels=channels, latent_size=4, generator_widths=(8,), discriminator_widths=(8,)
    )
    return gan.generator_class()(config).eval()


def small_vae(**options):
    vae = architecture("vae")
    return vae.generator_class()(vae.config_class()(latent_size=4, widths=(16,), **options)).eval()


@pytest.mark.parametrize(
    ("metric", "counts", "words"),
    [
        ("fid", (10_000, 64, 64, 64), "64 samples are too few"),
        ("fid", (64, 10_000, 64, 64), "64 pictures of the data are too few"),
        ("fid", (2049, 2048, 2048, 2048), "2,048 samples are too few for features of 2,048 dimensions"),
        ("fid", (65, 65, 65, 64), None),
        ("kid", (1000, 10_000, 1000, 64), "all 100 subsets are the same 1,000, and kid_deviation is no error bar"),
        ("kid", (1001, 10_000, 1001, 64), None),
        ("prdc", (10_000, 49, 49, 64), "nearest of only 49"),
        ("prdc", (50, 50, 50, 64), None),
    ],
)
def test_a_figure_of_too_few_pictures_is_warned_about(metric, counts, words):
    names = ("pictures", "samples", "pairs", "dimensions")
    warning = METRICS[metric].warning(Counts(**dict(zip(names, counts, strict=True))))
    assert warning is None if words is None else words in warning


def test_one_importance_sample_is_no_tighter_than_the_elbo():
    assert "k = 1 is the ELBO" in METRICS["iwae"].warning(Conditions(importance_samples=1))
    assert METRICS["iwae"].warning(Conditions()) is None
    assert METRICS["elbo"].warning(Conditions()) is None


def test_a_warning_goes_with_its_figure_into_registries_and_cards(train):
    (figure, *_) = evaluate(gan(), train, metrics=["fid"], n=40)
    metric = figure.to_metric()
    assert metric.warning == figure.warning == figure.to_dict()["warning"]
    assert metric.warning.startswith("biased: 40 samples")
    card = model_card(gan(), architecture("vanilla_gan"), name="few", metrics={"fid": metric})
    assert f"warning: {metric.warning}" in card
    (result,) = model_index("few", {"fid": metric}, None)[0]["results"]
    assert result["metrics"][0]["args"]["warning"] == metric.warning


def values(figures):
    return {figure.metric: figure.value for figure in figures}


def test_the_training_data_itself_is_as_good_as_can_be(train):
    found = values(evaluate(Replay(train.samples), train, n=512))
    assert found["fid"] == pytest.approx(0, abs=1e-3)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["kid"] < 0


@pytest.mark.plugins("zoo-vae")
def test_noise_is_worse_than_digits(train):
    digits = values(evaluate("vae-mnist", train, n=256))
    noise = values(evaluate(gan(), train, n=256))
    assert noise["fid"] > 3 * digits["fid"]
    assert noise["kid"] > 3 * digits["kid"]
    assert noise["precision"] < digits["precision"]


def test_figures_are_those_of_the_pictures_that_are_saved(train):
    """The same samples as 8-bit pictures, measured by hand."""
    generator, extractor = gan(), open_extractor("digits")
    pictures = torch.from_numpy(to_uint8(generator.sample(100, seed=4))).permute(0, 3, 1, 2)
    by_hand = compare(
        data_statistics(train, "train", extractor),
        data_statistics(TrainingData.from_tensors(pictures), "none", extractor),
        ["fid", "kid"],
    )
    found = values(evaluate(generator, train, metrics=["fid", "kid"], n=100, seed=4))
    assert found == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 33, 512])
def test_the_batch_changes_no_figure(batch_size, train):
    found = values(evaluate(gan(), train, n=80, batch_size=batch_size))
    assert found == pytest.approx(values(evaluate(gan(), train, n=80)), rel=1e-4, abs=1e-6)


def test_a_figure_carries_what_it_takes_to_measure_it_again(train):
    figures = evaluate(gan(), train, n=50, seed=3, repeats=3)
    assert [figure.metric for figure in figures] == [
        "fid", "kid", "kid_deviation", "precision", "recall", "density", "coverage",
    ]  # fmt: skip
    fid = figures[0]
    assert (fid.samples, fid.seed, fid.repeats) == (50, 3, 3)
    assert (fid.dataset, fid.split, fid.fingerprint) == ("mnist", "train", train.fingerprint)
    assert (fid.extractor, fid.version, fid.resizing) == ("digits", 1, "antialiased bilinear to 28 x 28")
    draws = [values(evaluate(gan(), train, metrics=["fid"], n=50, seed=seed))["fid"] for seed in (3, 4, 5)]
    assert fid.value == pytest.approx(draws[0], rel=1e-6)
    assert fid.error == pytest.approx(torch.tensor(draws).double().std().item(), rel=1e-4)
    assert msgspec.convert(fid.to_dict(), type(fid)) == fid
    assert fid.to_metric().value == pytest.approx(fid.value, rel=1e-5)


def test_figures_of_other_conditions_refuse_to_be_compared(train):
    (fid,) = evaluate(gan(), train, metrics=["fid"], n=50)
    assert fid.difference(msgspec.structs.replace(fid, value=fid.value - 2, seed=9)) == pytest.approx(2)
    for field, other in {
        "extractor": "inception-v3", "version": 2, "weights": "0" * 64, "samples": 51, "metric": "kid", "split": "test",
    }.items():  # fmt: skip
        with pytest.raises(MetricError, match=f"cannot be compared: {field} is"):
            fid.difference(msgspec.structs.replace(fid, **{field: other}))


# The data


def test_statistics_of_the_data_are_cached_by_what_they_are_of(train, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    extractor = open_extractor("digits")
    first = data_statistics(train, "train", extractor)
    (file,) = (tmp_path / "statistics").iterdir()
    told = []
    data_statistics(train, "test", extractor, tell=told.append)
    other = TrainingData.from_tensors(train.samples[:100])
    assert data_statistics(other, "train", extractor).count == 100
    assert len(list((tmp_path / "statistics").iterdir())) == 3

    asked = []
    again = data_statistics(train, "train", extractor, progress=lambda *facts: asked.append(facts))
    assert (asked, told) == ([], [])
    assert torch.equal(again.kept, first.kept)
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    again = data_statistics(train, "train", extractor, tell=told.append)
    assert "computed again" in told[0]
    assert torch.equal(again.kept, first.kept)


def test_a_cache_that_cannot_be_written_is_said_and_costs_nothing(train, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    told = []
    assert data_statistics(train, "train", open_extractor("digits"), tell=told.append).count == 512
    assert "are not cached" in told[0]


@pytest.mark.plugins("zoo-vae")
def test_shared_statistics_stand_for_the_data(train, tmp_path):
    file = tmp_path / "mnist.safetensors"
    expected = evaluate(gan(), train, n=60, save_statistics=file)
    assert FeatureStatistics.load(file).facts["fingerprint"] == train.fingerprint
    assert evaluate(gan(), file, n=60) == expected
    with pytest.raises(MetricError, match="its shape is 1x28x28, not 1x32x32"):
        evaluate(gan(size=32), file, n=60)
    nothing = {"dtype": torch.float64}
    for name, size in (("odd", 64), ("narrow", 3)):
        facts = {} if name == "odd" else {"dataset": "mine", "split": "train", "fingerprint": "0"}
        statistics = FeatureStatistics(
            9, torch.zeros(size, **nothing), torch.zeros(size, size, **nothing), torch.zeros(9, size), facts
        )
        statistics.save(tmp_path / f"{name}.safetensors")
    with pytest.raises(MetricError, match="it has 3 features of a sample, and extractor digits has 64"):
        evaluate(gan(), tmp_path / "narrow.safetensors", n=60)
    with pytest.raises(MetricError, match="does not state its dataset and split and fingerprint"):
        evaluate(gan(), tmp_path / "odd.safetensors", n=60)
    with pytest.raises(MetricError, match="elbo needs the samples"):
        evaluate("vae-mnist", file, metrics=["elbo"])


def test_the_splits_are_told_apart():
    assert len(open_images(MNIST, split="test")) == 128
    assert len(open_images(MNIST)) == 512
    with pytest.raises(DataError, match="validation"):
        open_images(MNIST, split="validation")


def test_splits_of_one_folder_have_caches_of_their_own(monkeypatch, tmp_path):
    """Of equal length, too, so that nothing but the split tells them apart."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr("zoo_core.data.image_source.CACHED_FROM", 0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    table = pq.read_table(MNIST / "train-00000-of-00001.parquet").slice(0, 128)
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    shutil.copy(MNIST / "test-00000-of-00001.parquet", folder)
    first = open_images(folder).decode((1, 28, 28))
    second = open_images(folder, split="test").decode((1, 28, 28))
    assert len(first) == len(second) == 128
    assert not torch.equal(first.samples, second.samples)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"metrics": ["fdi"]}, "there is no metric 'fdi'"),
        ({"metrics": []}, "name at least one metric"),
        ({"n": 1}, "at least 2 samples"),
        ({"n": 5}, "k = 5 needs more than 5 of the data"),
        ({"repeats": 0}, "1 repeat"),
        ({"extractor": "clip"}, "no feature extractor 'clip'"),
        ({"metrics": ["elbo"]}, "does not encode: it has no ELBO"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, reason, train):
    with pytest.raises(MetricError, match=reason):
        evaluate(gan(), train, **arguments)


def test_data_is_converted_to_what_the_model_makes_as_it_was_for_training(tmp_path):
    """Colour pictures that a grey model was trained on are what it is measured against."""
    for number in range(3):
        Image.fromarray(np.full((4, 4, 3), (255, 0, number), np.uint8)).save(tmp_path / f"{number}.png")
    lines = []
    data = open_data(tmp_path, gan(4), tell=lines.append)
    assert data.samples.unique().tolist() == [76]
    assert "3 were converted to grey 8-bit pixels (transparency onto white)" in lines
    assert lines[0] == f"3 pictures without classes from the folder {tmp_path}"


def test_damaged_data_is_refused_unless_it_is_skipped(tmp_path):
    for number in range(3):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"/1\.png: the picture cannot be decoded: it is empty"):
        open_data(tmp_path, gan(4))
    lines = []
    data = open_data(tmp_path, gan(4), tell=lines.append, skip_damaged=True)
    assert data.samples[:, 0, 0, 0].tolist() == [0, 2]
    assert lines[1] == f"1 of 3 pictures is damaged and left out: {tmp_path.name}/1.png"


def test_grey_and_colour_samples_are_not_compared(train):
    with pytest.raises(MetricError, match="mnist is grey and the model's pictures are in colour"):
        evaluate(gan(channels=3), train)
    colour = TrainingData.from_tensors(torch.zeros(9, 3, 28, 28, dtype=torch.uint8))
    with pytest.raises(MetricError, match="is in colour and the model's pictures are grey"):
        evaluate(gan(), colour)
    with pytest.raises(MetricError, match="digits takes grey pictures"):
        evaluate(gan(channels=3), colour, n=10)


def test_pictures_of_another_size_are_not_compared(train):
    with pytest.raises(MetricError, match=r"not 8-bit pictures of \(1, 32, 32\)"):
        evaluate(gan(size=32), train)


# Likelihoods


def test_the_bounds_of_a_model_are_in_order_and_say_what_they_are(train):
    torch.manual_seed(0)
    vae = small_vae()
    elbo, iwae = evaluate(vae, train, metrics=["elbo", "iwae"], n=40, importance_samples=20, split="train")
    assert iwae.value < elbo.value
    assert (elbo.samples, elbo.extractor) == (40, None)
    assert elbo.detail == "bound on −log p(x) in nats, dynamic binarisation"
    assert iwae.detail == "bound on −log p(x) in nats, dynamic binarisation, k = 20"
    assert elbo.value == pytest.approx(784 * 0.6931, rel=0.1)  # an untrained decoder: a coin a pixel


def test_a_conditional_model_is_told_the_classes_of_the_data(train):
    torch.manual_seed(0)
    vae = small_vae(conditional=True)
    (told,) = evaluate(vae, train, metrics=["iwae"], n=30, importance_samples=5)
    others = TrainingData.from_tensors(train.samples, (train.labels + 1) % 10)
    (mistold,) = evaluate(vae, others, metrics=["iwae"], n=30, importance_samples=5)
    assert told.value != mistold.value
    with pytest.raises(MetricError, match="has no labels"):
        evaluate(vae, TrainingData.from_tensors(train.samples), metrics=["elbo"], n=30)


# Neighbours


def test_the_nearest_neighbour_of_a_training_picture_is_itself(train):
    rows = torch.tensor([3, 400, 511])
    found = nearest(train.samples[rows], train, 3)
    assert found[:, 0].tolist() == rows.tolist()
    distances = (train.samples[3].double() - train.samples.double()).square().flatten(1).sum(1)
    assert found[0].tolist() == distances.topk(3, largest=False).indices.tolist()


def test_neighbours_are_drawn_to_the_right_of_the_sample(train):
    picture = neighbours_picture(gan(), train.samples[:2] / 255, train, 4)
    assert picture.shape == (2 * 30 + 2, 5 * 30 + 2, 1)
    sample = train.samples[0, 0].numpy()
    assert (picture[2:30, 2:30, 0] == sample).all()
    assert (picture[2:30, 32:60, 0] == sample).all()


# Several processes


@pytest.mark.slow
@pytest.mark.plugins("zoo-vae")
def test_two_processes_find_what_one_does(tmp_path):
    options = ["eval", "vae-mnist", "--data", str(MNIST), "--metric", "fid,kid,prdc,elbo,iwae", "-n", "100"]
    options += ["--importance-samples", "5", "--json"]
    found = []
    for processes in (2, 1):
        own = {"ZOO_CACHE": str(tmp_path / str(processes))}
        done = torchrun("-m", "zoo_core", *options, cwd=tmp_path, processes=processes, **own)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append({figure["metric"]: figure["value"] for figure in json.loads(done.stdout)})
    assert len(found[0]) == 9
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)
