"""Metrics of sounds and other samples that are no pictures: extractors by kind, rates, files and defaults."""

import json
import math
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner

from tests.forkserver import torchrun
from zoo_core import FeatureExtractor, Generator, TrainingData
from zoo_core.cli import main
from zoo_core.errors import InterfaceError, MetricError, PluginError
from zoo_core.interfaces.extractor import CORE_EXTRACTORS
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics import FeatureStatistics, evaluate, open_extractor
from zoo_core.metrics.extractors import opening
from zoo_core.metrics.extractors.opening import default_extractor
from zoo_core.metrics.extractors.resampling import resampled
from zoo_core.metrics.extractors.spoken_digits import BANDS, mel_filters
from zoo_core.metrics.table import METRICS, default_metrics, metric_of
from zoo_core.registries import Metric

WEIGHTS = "a9334eacf723183153e2813ebb885210e28d684410d2c658d9ceb6806333da4c"
SPOKEN = Path(__file__).parent / "data" / "spoken_digits"


class Replay(Generator):
    """Draws samples of a data set, in order."""

    latent_shape = (1,)

    def __init__(self, samples, **facts):
        super().__init__()
        self.register_buffer("samples", samples)
        self.sample_shape = tuple(samples.shape[1:])
        self.__dict__.update(facts)

    def latents(self, seed, start, count):
        return torch.arange(start, start + count).float()[:, None] + 7 * seed

    def forward(self, z, labels=None):
        return self.samples[z[:, 0].long() % len(self.samples)]


class Sounds(Replay):
    kind = "audio"


class Texts(Replay):
    kind = "text"


class Points(Replay):
    kind = "tensor"


def tones(rate=16_000, count=12, length=2_048, channels=1):
    """Sines of rising pitch, which fade out."""
    seconds = torch.arange(length) / rate
    pitches = 200.0 * (1 + torch.arange(count))
    tone = torch.sin(2 * math.pi * pitches[:, None] * seconds) * torch.exp(-20 * seconds) * 0.5
    return tone[:, None].expand(-1, channels, -1).contiguous()


def spoken_digits():
    pytest.importorskip("soundfile")
    data = kind_named("audio").read(SPOKEN, split="test")
    return data.samples, data.labels.tolist()


def values(figures):
    return {figure.metric: figure.value for figure in figures}


# The extractor of sounds


def test_spoken_digits_tells_digits_that_it_has_not_heard():
    sounds, labels = spoken_digits()
    assert open_extractor("spoken-digits").network.logits(sounds).argmax(1).tolist() == labels


def test_the_bundled_weights_are_those_that_the_figures_name():
    assert open_extractor("spoken-digits").weights == WEIGHTS


def test_features_of_a_sound_do_not_depend_on_its_batch_nor_on_silence_around_it():
    extractor, sounds = open_extractor("spoken-digits"), tones()
    features = extractor(sounds)
    assert features.shape == (12, 64)
    parts = torch.cat([extractor(sounds[:5]), extractor(sounds[5:])])
    torch.testing.assert_close(parts, features, rtol=1e-4, atol=1e-4)
    padded = torch.nn.functional.pad(sounds, (3_072, 3_072))
    torch.testing.assert_close(extractor(padded), features, rtol=1e-4, atol=1e-4)
    assert extractor(tones(length=20_000)).shape == (12, 64)
    assert extractor(tones(length=1)).isfinite().all()


def test_mel_bands_are_triangles_that_overlap_by_half():
    filters = mel_filters()
    assert filters.shape == (BANDS, 257)
    between = filters.sum(0)[filters.argmax(1)[0] + 1 : filters.argmax(1)[-1]]
    torch.testing.assert_close(between, torch.ones_like(between))
    assert (filters.argmax(1).diff() >= 0).all()


def test_in_its_features_damage_costs_what_it_costs_the_ear():
    sounds, _ = spoken_digits()
    extractor = open_extractor("spoken-digits")
    features = extractor(sounds)
    noise = torch.randn(sounds.shape, generator=torch.Generator().manual_seed(0))
    distances = [
        float((extractor((sounds + deviation * noise).clamp(-1, 1)) - features).norm())
        for deviation in (0.0001, 0.003, 0.1)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.05 * features.norm() < distances[2]


# Rates


@pytest.mark.parametrize(("rate", "new_rate"), [(44_100, 16_000), (22_050, 16_000), (8_000, 16_000), (16_000, 11_025)])
def test_a_tone_is_the_same_tone_at_another_rate(rate, new_rate):
    def tone(at):
        return torch.sin(2 * math.pi * 1_000 * torch.arange(at // 4) / at)[None, None]

    found = resampled(tone(rate), rate, new_rate)
    assert found.shape[2] == math.ceil(tone(rate).shape[2] * new_rate / rate)
    expected = tone(new_rate)[..., : found.shape[2]]
    inside = slice(100, expected.shape[2] - 100)
    torch.testing.assert_close(found[..., inside], expected[..., inside], atol=2e-3, rtol=0)


def test_what_the_lower_rate_cannot_hold_is_gone_and_does_not_come_back_as_another_tone():
    tone = torch.sin(2 * math.pi * 10_000 * torch.arange(8_820) / 44_100)[None, None]
    assert resampled(tone, 44_100, 16_000)[..., 100:-100].abs().max() < 5e-3


def test_resampling_keeps_channels_apart_and_equal_rates_as_they_are():
    sounds = torch.cat([tones(), torch.zeros_like(tones())], 1)
    found = resampled(sounds, 16_000, 8_000)
    assert found.shape == (12, 2, 1_024)
    assert (found[:, 1] == 0).all()
    assert resampled(sounds, 16_000, 16_000) is sounds


def test_a_model_of_another_rate_has_nearly_the_features_of_its_sounds_at_16_khz():
    extractor = open_extractor("spoken-digits")
    features = extractor(tones(), sample_rate=16_000)
    faster = extractor(tones(rate=44_100, length=5_645), sample_rate=44_100)
    assert (faster - features).norm() < 0.2 * features.norm()


# Figures of sounds


def test_sounds_are_measured_with_the_extractor_of_sounds():
    data = TrainingData.from_tensors(tones(count=60), name="tones", values={"sample_rate": 16_000})
    figures = evaluate(Sounds(tones(count=60), sample_rate=16_000), data, n=60)
    assert [figure.metric for figure in figures[:3]] == ["fid", "kid", "kid_deviation"]
    fid = figures[0]
    assert fid.value == pytest.approx(0, abs=1e-3)
    assert (fid.extractor, fid.version, fid.samples) == ("spoken-digits", 1, 60)
    assert fid.detail == "against 60 sounds"
    assert "60 samples are too few" in fid.warning
    assert "16,000 Hz" in fid.resizing
    assert (values(figures)["precision"], values(figures)["coverage"]) == (1, 1)
    louder = values(evaluate(Sounds(0.1 * tones(count=60), sample_rate=16_000), data, n=60))
    assert louder["fid"] > 1


def test_figures_of_sounds_become_facts_of_a_registry():
    data = TrainingData.from_tensors(tones(), name="tones")
    (fid,) = evaluate(Sounds(tones(), sample_rate=16_000), data, metrics=["fid"], n=12)
    metric = msgspec.json.decode(msgspec.json.encode(fid.to_metric()), type=Metric)
    assert (metric.extractor, metric.detail) == ("spoken-digits", "against 12 sounds")


def test_batches_change_no_figure_of_sounds():
    data = TrainingData.from_tensors(tones(), name="tones")
    model = Sounds(tones(count=9), sample_rate=16_000)
    found = [values(evaluate(model, data, metrics=["fid"], n=20, batch_size=size)) for size in (1, 7, 64)]
    assert [figures["fid"] for figures in found] == pytest.approx([found[0]["fid"]] * 3, rel=1e-4)


def test_a_file_of_statistics_states_the_kind_and_the_rate_of_sounds(tmp_path):
    data, file = TrainingData.from_tensors(tones(), name="tones"), tmp_path / "tones.safetensors"
    model = Sounds(tones(count=9), sample_rate=16_000)
    expected = evaluate(model, data, metrics=["fid"], n=20, save_statistics=file)
    facts = FeatureStatistics.load(file).facts
    assert (facts["kind"], facts["sample_rate"], facts["shape"]) == ("audio", "16000", "1x2048")
    assert evaluate(model, file, metrics=["fid"], n=20) == expected
    with pytest.raises(MetricError, match="its sample_rate is 16000, not 8000"):
        evaluate(Sounds(tones(count=9), sample_rate=8_000), file, metrics=["fid"], n=20)
    with pytest.raises(MetricError, match="takes samples of kind audio, and this model's are of kind tensor"):
        evaluate(Points(tones(count=9)), file, metrics=["fid"], n=20, extractor="spoken-digits")


@pytest.mark.parametrize(
    ("model", "samples", "words"),
    [
        ({"sample_rate": 8_000}, tones(), r"has sounds of 16,000 Hz, and the model's are of 8,000 Hz"),
        ({}, tones(), "Sounds has no sample_rate: set self.sample_rate"),
        ({"sample_rate": 16_000}, tones().mul(9).long(), "has torch.int64; sounds are floating values"),
        ({"sample_rate": 16_000}, tones(length=100), r"\(1, 100\)"),
    ],
)
def test_sounds_that_cannot_be_compared_are_refused(model, samples, words):
    data = TrainingData.from_tensors(samples, name="tones", values={"sample_rate": 16_000})
    with pytest.raises((MetricError, InterfaceError), match=words):
        evaluate(Sounds(tones(), **model), data, n=12)


def test_an_extractor_that_does_not_take_the_kind_names_those_that_do():
    data, model = TrainingData.from_tensors(tones(), name="tones"), Sounds(tones(), sample_rate=16_000)
    with pytest.raises(MetricError, match=r"digits takes samples of kind image.*of kind audio; .*as spoken-digits"):
        evaluate(model, data, extractor="digits", n=12)
    stereo = Sounds(tones(channels=2), sample_rate=16_000)
    with pytest.raises(MetricError, match="takes mono sounds, not stereo ones; no extractor here takes such samples"):
        evaluate(stereo, TrainingData.from_tensors(tones(channels=2)), n=12)


# Extractors of plugins, and defaults


class Moments(torch.nn.Module):
    def forward(self, x):
        x = x.float().flatten(1)
        return torch.stack([x.mean(1), x.var(1)], 1)


def moments(weights=None):
    return Moments()


MOMENTS = FeatureExtractor(
    name="moments",
    version=1,
    summary="Mean and variance",
    network=f"{__name__}:moments",
    dimensions=2,
    kinds=("tensor", "text"),
)


@pytest.fixture
def plugged(monkeypatch):
    monkeypatch.setattr(opening, "CORE_EXTRACTORS", (*CORE_EXTRACTORS, MOMENTS))


def test_an_extractor_of_a_plugin_measures_tensors_and_texts(plugged):
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    found = evaluate(Points(points), TrainingData.from_tensors(points), n=40)
    assert values(found)["fid"] == pytest.approx(0, abs=1e-6)
    assert (found[0].extractor, found[0].resizing, found[0].detail) == ("moments", "none", "against 40 tensors")
    codes = torch.arange(60).reshape(20, 3)
    assert values(evaluate(Texts(codes), TrainingData.from_tensors(codes), n=20))["precision"] == 1


def test_without_an_extractor_a_kind_is_measured_by_what_there_is():
    class Likely(Points):
        def log_prob(self, x, labels=None):
            return -x.square().sum(1)

    points = torch.zeros(4, 3)
    assert default_metrics(Likely(points)) == ("nll",)
    assert default_metrics(Texts(points.long())) == ("ngrams",)
    assert default_metrics(Sounds(tones())) == ("fid", "kid", "prdc")
    with pytest.raises(MetricError, match="no extractor takes samples of kind tensor, and it has no log_prob"):
        evaluate(Points(points), TrainingData.from_tensors(points))
    with pytest.raises(MetricError, match=r"no extractor takes samples of kind tensor.*nll and ngrams need none"):
        evaluate(Points(points), TrainingData.from_tensors(points), metrics=["fid"])


def test_of_two_extractors_of_a_kind_one_must_be_chosen(monkeypatch):
    other = FeatureExtractor(name="other", version=1, summary="", network="a:b", dimensions=2, kinds=("text",))
    monkeypatch.setattr(opening, "CORE_EXTRACTORS", (*CORE_EXTRACTORS, MOMENTS, other))
    assert default_extractor("tensor") == "moments"
    with pytest.raises(MetricError, match="several extractors take samples of kind text; choose moments or other"):
        default_extractor("text")


def test_an_extractor_of_the_first_edition_is_one_of_pictures():
    first = FeatureExtractor(
        name="mine", version=1, summary="", network="mine:load", dimensions=8, channels=[1, 3], resizing="none"
    )
    assert first.takes("image")
    assert not first.takes("audio")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kinds": ()}, "kinds must be names of kinds"),
        ({"kinds": "audio"}, "kinds must be names of kinds"),
        ({"kinds": ("Audio!",)}, "kinds must be names of kinds"),
        ({"kinds": ("image",)}, "channels must be of 1 and 3"),
        ({"kinds": ("image", "tensor"), "channels": (2,)}, "channels must be of 1 and 3"),
        ({"kinds": ("tensor",), "channels": (0,)}, "channels must be whole numbers from 1"),
        ({"kinds": ("audio",)}, "state the sample_rate"),
        ({"kinds": ("audio",), "sample_rate": 16e3}, "sample_rate must be a whole number of Hz"),
        ({"kinds": ("text",), "sample_rate": 16_000}, "only sounds have a rate"),
    ],
)
def test_malformed_facts_of_an_extractor_are_refused(facts, words):
    with pytest.raises(PluginError, match=f"extractor mine: {words}"):
        FeatureExtractor(name="mine", version=1, summary="", network="mine:load", dimensions=8, **facts)


# The command


def test_the_command_measures_texts_without_being_told_how(tmp_path, monkeypatch):
    class Letters(Texts):
        def decode(self, codes):
            return ["".join(chr(96 + code) for code in row if code) for row in codes.tolist()]

        def log_prob(self, x, labels=None):
            return torch.full((len(x),), -math.log(2.0))

    model = Letters(torch.tensor([[1, 2, 0, 0], [2, 2, 2, 0]]), alphabet="abc")
    monkeypatch.setattr("zoo_core.cli.evaluate.open_model", lambda name, device: (model, None))
    (tmp_path / "words.txt").write_text("ab\nbbb\nc\n")
    done = CliRunner().invoke(main, ["eval", "letters", "--data", str(tmp_path / "words.txt"), "-n", "4"])
    assert done.exit_code == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert list(lines) == ["ngram_1", "ngram_2", "ngram_3", "ngram_4", "distinct", "novel", "nll", "bits_per_character"]
    assert lines["distinct"].startswith("0.5 (")
    assert "against 3 texts" in lines["ngram_4"]
    assert lines["bits_per_character"].startswith("0.333333 (")  # three bits for 3 + 4 + 2 characters
    refused = CliRunner().invoke(main, ["eval", "letters", "--data", str(tmp_path / "words.txt"), "--metric", "fid"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no extractor takes samples of kind text" in refused.stderr.splitlines()[-1]


def test_no_figure_belongs_to_two_metrics():
    figures = [figure for metric in METRICS.values() for figure in metric.figures]
    assert len(set(figures)) == len(figures)
    assert metric_of("bits_per_dim") == metric_of("bits_per_character") == "nll"


@pytest.mark.slow
def test_two_processes_find_of_texts_and_likelihoods_what_one_does(tmp_path):
    script = tmp_path / "measure.py"
    script.write_text(TWO)
    found = []
    for processes in (2, 1):
        done = torchrun(script, cwd=tmp_path, processes=processes, ZOO_CACHE=str(tmp_path / str(processes)))
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout.splitlines()[0]))
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert len(found[0]) == 8


TWO = """
import json
import torch
import zoo_core as zoo

class Letters(zoo.Generator):
    kind, latent_shape, sample_shape, alphabet = "text", (5,), (5,), "abc"
    def decode(self, codes):
        return ["".join(" abc"[code] for code in row) for row in codes.tolist()]
    def forward(self, z, labels=None):
        return (z.abs() * 2).long().clamp(max=3)
    def log_prob(self, x, labels=None):
        return -x.float().sum(1)

data = zoo.TrainingData.from_tensors(torch.arange(60).reshape(12, 5) % 4)
figures = zoo.evaluate(Letters(), data, n=23)
from zoo_core.runtime.environment import first_process
if first_process():
    print(json.dumps({figure.metric: figure.value for figure in figures}))
"""
