"""Metrics while training: the same figures as `zoo eval`, a run that they leave as it is, and the best checkpoint."""

import json
import random

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import GANSettings
from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, SettingsError
from zoo_core.metrics.table import higher_is_better
from zoo_core.runtime.random_states import random_states_kept
from zoo_core.training import log as run_log
from zoo_core.training.evaluation import Evaluation

SHAPE = (1, 16, 16)
EVALS = {"eval_every": 2, "eval_samples": 16, "eval_metrics": ("fid",), "eval_extractor": "digits"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def pictures(count=48, channels=1):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (count, channels, 16, 16), dtype=torch.uint8, generator=generator)
    return TrainingData.from_tensors(samples)


def mlp(kind=None, **settings):
    gan = architecture("vanilla_gan")
    settings = {"steps": 4, "batch_size": 16, "sample_every": 0, "checkpoint_every": 0} | settings
    config = gan.config_class()(size=16, latent_size=4, generator_widths=(8,), discriminator_widths=(8,), dropout=0.3)
    return (kind or gan.trainer_class())(config, GANSettings(**settings), SHAPE)


def dcgan(**settings):
    gan = architecture("dcgan")
    settings = {"steps": 4, "batch_size": 16, "sample_every": 0, "checkpoint_every": 0} | settings
    config = gan.config_class()(size=16, channels=1, width=4, latent_size=4)
    return gan.trainer_class()(config, GANSettings(**settings), SHAPE)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def kept(folder):
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir())


def test_the_figures_in_the_log_are_those_of_zoo_eval(tmp_path):
    settings = EVALS | {"steps": 5, "eval_samples": 40, "eval_metrics": ("fid", "prdc")}
    run = mlp(**settings).fit(pictures(), out=tmp_path / "run")
    names = ["fid", "precision", "recall", "density", "coverage"]
    measured = {line["step"]: [line[name] for name in names] for line in lines(run) if "fid" in line}
    assert list(measured) == [2, 4, 5]
    figures = zoo.evaluate(run, pictures(), metrics=["fid", "prdc"], n=40, extractor="digits", device="cpu")
    assert [figure.metric for figure in figures] == names
    assert measured[5] == pytest.approx([figure.value for figure in figures], rel=1e-4, abs=1e-6)


def test_nothing_is_measured_by_default(tmp_path):
    assert "fid" not in lines(mlp().fit(pictures(), out=tmp_path / "run"))[-1]


@pytest.mark.parametrize(
    ("trainer", "ema_decay"),
    [
        (mlp, 0.9),
        (dcgan, 0.0),
        pytest.param(mlp, 0.0, marks=pytest.mark.slow),
        pytest.param(dcgan, 0.9, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_measured_trains_as_one_that_is_not(trainer, ema_decay, tmp_path):
    """Dropout would draw other numbers, and BatchNorm would learn from the samples."""
    watched = trainer(ema_decay=ema_decay, **EVALS).fit(pictures(), out=tmp_path / "watched")
    alone = trainer(ema_decay=ema_decay).fit(pictures(), out=tmp_path / "alone")
    for file in ("model.safetensors", "discriminator.safetensors"):
        assert (watched / file).read_bytes() == (alone / file).read_bytes()


def test_an_evaluation_that_draws_random_numbers_leaves_all_generators_where_they_were(monkeypatch):
    def drawing(*arguments, **options):
        random.random(), np.random.rand(), torch.rand(3)
        return []

    monkeypatch.setattr("zoo_core.training.evaluation.measure", drawing)
    trainer = mlp(**EVALS)
    trainer.build()
    evaluation = Evaluation.of(trainer, trainer.modules["generator"], pictures())
    draws = []
    for measured in (False, True):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        if measured:
            assert evaluation.measure(trainer.modules["generator"]) == {}
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
    assert draws[0] == draws[1]


def test_random_states_are_restored_after_an_error_too():
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), random_states_kept(torch.device("cpu")):
        _ = 1 / (torch.rand(1).item() * 0)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


def test_14_two_halves_equal_the_whole_with_measurements_on_the_way(tmp_path):
    settings = EVALS | {"checkpoint_every": 3, "best_figure": "fid"}
    whole = dcgan(steps=8, **settings).fit(pictures(), out=tmp_path / "whole")
    dcgan(steps=4, **settings).fit(pictures(), out=tmp_path / "halves")
    halves = dcgan(steps=8, **settings).fit(pictures(), out=tmp_path / "halves", resume=True)
    for name, value in load_file(whole / "model.safetensors").items():
        assert torch.equal(load_file(halves / "model.safetensors")[name], value)
    measured = [{line["step"]: line["fid"] for line in lines(run) if "fid" in line} for run in (whole, halves)]
    assert measured[0] == measured[1]
    assert kept(whole) == kept(halves)


@pytest.mark.slow
def test_what_is_measured_may_change_when_a_run_is_resumed(tmp_path):
    mlp(steps=2, **EVALS).fit(pictures(), out=tmp_path / "run")
    run = mlp(steps=4, eval_every=2, eval_samples=20, eval_metrics=("prdc",), eval_extractor="digits").fit(
        pictures(), out=tmp_path / "run", resume=True
    )
    assert [sorted(line.keys() & {"fid", "recall"}) for line in lines(run)] == [["fid"], ["recall"]]


# The best checkpoint


def measured_as(monkeypatch, name, values):
    """Let measurements return these values, by step."""

    def measure(self, generator):
        return {name: values[self.trainer.step]}

    monkeypatch.setattr(Evaluation, "measure", measure)


@pytest.mark.parametrize(("metric", "figure", "best"), [("fid", "fid", 4), ("prdc", "coverage", 6)])
def test_the_best_checkpoint_by_what_is_measured_stays(metric, figure, best, tmp_path, monkeypatch):
    measured_as(monkeypatch, figure, {2: 3.0, 4: 1.0, 6: 8.0, 8: 5.0, 9: 4.0})
    settings = {"steps": 9, "eval_every": 2, "eval_metrics": (metric,), "best_figure": figure, "keep_checkpoints": 1}
    run = mlp(**settings).fit(pictures(), out=tmp_path / "run")
    assert kept(run) == [best, 9]
    state = json.loads((run / "checkpoints" / f"step-{best:08d}" / "state.json").read_text())
    assert state["best_figure"] == figure


def test_a_checkpoint_between_two_measurements_has_none_of_their_figures(tmp_path, monkeypatch):
    measured_as(monkeypatch, "fid", {4: 1.0, 8: 2.0})
    settings = {"steps": 8, "eval_every": 4, "best_figure": "fid", "checkpoint_every": 3, "keep_checkpoints": 9}
    run = mlp(**settings).fit(pictures(), out=tmp_path / "run")
    states = [json.loads(file.read_text()) for file in sorted(run.glob("checkpoints/*/state.json"))]
    assert {state["step"]: state["figure"] for state in states} == {3: None, 4: 1.0, 6: None, 8: 2.0}


def test_which_way_is_better_is_known_of_every_figure():
    higher = ["precision", "recall", "density", "coverage"]
    assert [name for name in ("fid", "kid", *higher, "elbo", "loss_d") if higher_is_better(name)] == higher


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best_figure": "lss_d"}, "best_figure: no figure 'lss_d' is logged; did you mean loss_d"),
        ({"best_figure": "fdi", "eval_every": 50}, "best_figure: no figure 'fdi' is logged; did you mean fid"),
        ({"best_figure": "fid"}, "is logged; there are .*; fid is measured with eval_every and eval_metrics=fid"),
        ({"best_figure": "recall", "eval_every": 50}, "; recall is measured with eval_every and eval_metrics=prdc"),
    ],
)
def test_a_best_figure_that_is_never_there_ends_the_run_at_the_first_line(settings, message, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo_core.training.loop.LOG_EVERY", 2)
    with pytest.raises(SettingsError, match=message):
        mlp(steps=100, **settings).fit(pictures(), out=tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").read_text()


def test_a_best_figure_that_is_measured_later_is_no_error_before(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo_core.training.loop.LOG_EVERY", 2)
    settings = EVALS | {"eval_every": 4, "best_figure": "fid"}
    assert [line["step"] for line in lines(mlp(**settings).fit(pictures(), out=tmp_path / "run"))] == [2, 4]


def test_a_figure_that_is_both_logged_and_measured_is_refused(tmp_path):
    class Scored(architecture("vanilla_gan").trainer_class()):
        def training_step(self, batch):
            return super().training_step(batch) | {"fid": 1.0}

    with pytest.raises(SettingsError, match="eval_metrics: the trainer logs a figure 'fid' of its own; leave out fid"):
        mlp(Scored, **EVALS).fit(pictures(), out=tmp_path / "run")


# What cannot be measured


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_metrics": ("fdi",)}, "eval_metrics: there is no metric 'fdi'; there are fid, kid"),
        ({"eval_metrics": ()}, "eval_metrics: name at least one metric of fid"),
        (
            {"eval_extractor": "random-vg"},
            "eval_extractor: there is no feature extractor 'random-vg'; did you mean random-vgg",
        ),
        (
            {"eval_every": 1, "eval_metrics": ("elbo",)},
            "eval_metrics: VanillaGANGenerator does not encode: it has no ELBO",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training_begins(settings, message, tmp_path):
    with pytest.raises(MetricError, match=message):
        mlp(**settings).fit(pictures(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_extractor_that_does_not_take_the_pictures_is_refused(tmp_path):
    gan = architecture("dcgan")
    config = gan.config_class()(size=16, channels=3, width=4, latent_size=4)
    trainer = gan.trainer_class()(config, GANSettings(steps=1, **EVALS), (3, 16, 16))
    with pytest.raises(MetricError, match="eval_metrics: extractor digits takes grey pictures, not colour ones"):
        trainer.fit(pictures(channels=3), out=tmp_path / "run")


def test_samples_that_are_no_8_bit_pictures_are_refused(tmp_path):
    with pytest.raises(MetricError, match=r"eval_metrics: tensor has samples of .*, not 8-bit pictures"):
        mlp(**EVALS).fit(torch.zeros(16, *SHAPE), out=tmp_path / "run")


def test_a_wrong_name_is_reported_before_the_data_is_read(tmp_path):
    arguments = [
        "train",
        "vanilla_gan",
        "--data",
        "./nowhere",
        "--out",
        str(tmp_path / "run"),
        "--set",
        "eval_metrics=fdi",
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert (
        done.stderr
        == "zoo: eval_metrics: there is no metric 'fdi'; there are fid, kid, prdc, elbo, iwae, nll, ngrams\n"
    )


def test_a_measurement_that_fails_ends_the_run_with_a_line_that_says_how_to_go_on(tmp_path, monkeypatch):
    def failing(*arguments, **options):
        raise MetricError("the extractor gives NaN or infinite features")

    monkeypatch.setattr("zoo_core.training.evaluation.measure", failing)
    with pytest.raises(MetricError, match=r"step 2: the extractor gives NaN .*; --resume goes on .* eval_every=0"):
        mlp(**EVALS).fit(pictures(), out=tmp_path / "run")


# What a run says


def test_the_cost_is_stated_once_and_the_speed_leaves_it_out(tmp_path, capfd, monkeypatch):
    began = []
    real = run_log.time.perf_counter

    def slow(self, generator):
        began.append(real())
        self.seconds, self.seconds_for_data = 30.0, 4.0
        monkeypatch.setattr(run_log.time, "perf_counter", lambda: real() + 34.0 * len(began))
        return {"fid": 1.0}

    monkeypatch.setattr(Evaluation, "measure", slow)
    run = mlp(**EVALS).fit(pictures(), out=tmp_path / "run")
    said = capfd.readouterr().err
    assert said.count("measuring fid of 16 samples takes 30.0 s, ") == 1
    assert "of the time of this run, and 4.0 s once for the features of the data" in said
    assert lines(run)[-1]["images_per_second"] > 2  # 32 pictures in 34 s would be fewer


def test_what_makes_a_figure_unreliable_is_said_once(tmp_path, capfd):
    mlp(**EVALS).fit(pictures(), out=tmp_path / "run")
    said = capfd.readouterr().err
    assert said.count("fid is biased: 16 samples are too few for features of 64 dimensions") == 1


def test_trackers_get_what_is_measured(tmp_path, monkeypatch):
    sent = []

    class Tracker:
        def __init__(self, root, trainer):
            pass

        def log(self, figures, step):
            sent.append((step, "fid" in figures))

        def close(self):
            pass

    monkeypatch.setattr(run_log, "Trackers", Tracker)
    mlp(steps=3, trackers=("any",), **EVALS).fit(pictures(), out=tmp_path / "run")
    assert sent == [(2, True), (3, True)]


def test_a_model_that_encodes_is_measured_by_its_likelihood(tmp_path):
    vae = architecture("vae")
    trainer_class, config = vae.trainer_class(), vae.config_class()(size=16, latent_size=4, widths=(8,))
    settings = {
        "steps": 2,
        "batch_size": 16,
        "sample_every": 0,
        "eval_every": 1,
        "eval_metrics": ("elbo",),
        "eval_samples": 16,
    }
    trainer = trainer_class(config, trainer_class.Settings(**settings, binarize="static"), SHAPE)
    run = trainer.fit(pictures(), out=tmp_path / "run")
    (figure,) = zoo.evaluate(run, pictures(), metrics=["elbo"], n=16, device="cpu")
    assert lines(run)[-1]["elbo"] == pytest.approx(figure.value, rel=1e-4)
