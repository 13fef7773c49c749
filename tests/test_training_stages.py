"""Runs in several stages: a small VQ-VAE, then an autoregressive prior on its codes."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo_core as zoo
from tests import forkserver
from tests.conftest import made_once
from tests.forkserver import torchrun
from zoo_core import Stage, TrainingData
from zoo_core.errors import DataError, InterfaceError, SettingsError, TrainingError
from zoo_core.plugins import manager
from zoo_core.training.loop import prepare
from zoo_core.training.stopped_runs import finish_stopped_run

PLUGIN = """
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="tinyvq", summary="A VQ-VAE of 8 x 8 pictures with a prior on its 16 codes",
                             config="zoo_tinyvq.model:VQConfig", generator="zoo_tinyvq.model:VQ",
                             trainer="zoo_tinyvq.trainer:VQTrainer")]
"""
MODEL = """
    from typing import Annotated

    import torch
    from msgspec import Meta
    from torch import nn
    from torch.nn import functional as F

    from zoo_core import Generator, ModelConfig
    from zoo_core.conditioning import append_one_hot

    CODES, WORDS = 16, 8  # 4 x 4 codes, each one of 8 words

    class VQConfig(ModelConfig, frozen=True):
        num_classes: Annotated[int, Meta(ge=1, le=10)] = 2

    class Codebook(nn.Module):
        # Words are moving averages of what is encoded as them (arXiv 1711.00937, appendix A.1): no gradient trains it.
        def __init__(self, width):
            super().__init__()
            self.register_buffer("words", torch.randn(WORDS, width) * 0.1)
            self.register_buffer("share", torch.full((WORDS,), 1 / WORDS))
            self.register_buffer("total", self.words / WORDS)

        def forward(self, x):
            return torch.cdist(x, self.words).argmin(-1)

        def learn(self, x, codes, average):
            chosen = F.one_hot(codes, WORDS).to(x.dtype).flatten(0, 1)
            share, total = chosen.mean(0), chosen.T @ x.flatten(0, 1) / len(chosen)
            average([share, total])  # over the processes
            self.share.lerp_(share, 0.1)
            self.total.lerp_(total, 0.1)
            self.words.copy_(self.total / self.share.clamp(min=1e-5)[:, None])

    class VQ(Generator):
        # z (N, 16) in place of 16 uniform numbers: each chooses a code by the prior's distribution function.
        latent_shape, sample_shape = (CODES,), (1, 8, 8)

        def __init__(self, config):
            super().__init__(config)
            self.num_classes = config.num_classes
            self.encoder = nn.Sequential(nn.Conv2d(1, 8, 2, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
            self.codebook = Codebook(4)
            self.decoder = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, 2), nn.Tanh())
            self.prior = nn.GRU(WORDS + config.num_classes, 16, batch_first=True)
            self.head = nn.Linear(16, WORDS)

        def features(self, x):
            return self.encoder(x).flatten(2).transpose(1, 2)

        def decode(self, words):
            return self.decoder(words.transpose(1, 2).unflatten(2, (4, 4)))

        def codes(self, x):
            return self.codebook(self.features(x))

        def logits(self, codes, labels):
            before = F.pad(F.one_hot(codes, WORDS)[:, :-1].float(), (0, 0, 1, 0))
            named = F.one_hot(labels, self.num_classes).float()[:, None].expand(-1, CODES, -1)
            return self.head(self.prior(torch.cat([before, named], 2))[0])

        def forward(self, z, labels=None):
            uniform = torch.special.ndtr(z)
            codes = torch.zeros_like(z, dtype=torch.int64)
            for place in range(CODES):
                levels = self.logits(codes, labels)[:, place].softmax(1).cumsum(1)
                codes[:, place] = (levels < uniform[:, place, None]).sum(1).clamp(max=WORDS - 1)
            return self.decode(self.codebook.words[codes])
"""
TRAINER = """
    from typing import Annotated

    import torch
    from msgspec import Meta
    from torch import nn
    from torch.nn import functional as F

    from zoo_core import Settings, Stage, Trainer
    from zoo_tinyvq.model import VQ

    class VQSettings(Settings, frozen=True):
        codebook_steps: Annotated[int, Meta(ge=1)] = 6
        prior_rate: Annotated[float, Meta(gt=0)] = 1e-2

    class VQTrainer(Trainer):
        Settings = VQSettings

        def stages(self):
            return [
                Stage("codebook", steps=self.settings.codebook_steps, trains=("encoder", "codebook", "decoder"),
                      samples=False),
                Stage("prior", trains=("prior", "head"), learning_rate=self.settings.prior_rate, warmup_steps=2,
                      batch_size=8),
            ]

        def build(self):
            vq = VQ(self.config)
            self.modules = {"generator": vq}
            self.optimizers = {
                "codebook": self.adam(nn.ModuleList([vq.encoder, vq.decoder])),
                "prior": self.adam(nn.ModuleList([vq.prior, vq.head])),
            }

        def prepare_stage_data(self, data):
            return self.map_samples(data, self.modules["generator"].codes) if self.stage == "prior" else data

        def training_step(self, batch):
            vq = self.modules["generator"]
            if self.stage == "prior":
                loss = F.cross_entropy(vq.logits(batch.samples, batch.labels).transpose(1, 2), batch.samples)
                self.update("prior", loss)
                return {"loss_prior": loss.detach()}
            features = vq.features(batch.samples)
            codes = vq.codebook(features)
            words = vq.codebook.words[codes]
            vq.codebook.learn(features.detach(), codes, self.processes.average)
            noise = self.draw(torch.randn, len(batch), 1, 8, 8)
            made = vq.decode(features + (words - features).detach())
            loss = F.mse_loss(made, batch.samples + 0.01 * noise) + 0.25 * F.mse_loss(features, words)
            self.update("codebook", loss)
            return {"loss_codebook": loss.detach()}
"""


def pictures(count=48):
    """Bright quadrants at one of two corners, by class, with noise: codes that are worth predicting."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % 2
    samples = torch.randint(0, 60, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    samples[labels == 0, :, :4, :4] += 190
    samples[labels == 1, :, 4:, 4:] += 190
    return TrainingData.from_tensors(samples, labels, name="corners", class_names=["top", "bottom"])


@pytest.fixture
def tinyvq(site):
    """Make a trainer of the plugin above, which is installed for the test."""
    site.add("zoo-tinyvq", PLUGIN, model=MODEL, trainer=TRAINER)
    manager.cache_clear()
    architecture = manager().architecture("tinyvq")

    def make(stages=None, **settings):
        settings = {
            "steps": 12, "batch_size": 16, "sample_every": 0, "checkpoint_every": 1, "keep_checkpoints": 20,
            "learning_rate": 3e-3, "device": "cpu", "ema_decay": 0.9,
        } | settings  # fmt: skip
        own = {} if stages is None else {"stages": lambda self: stages(self.settings) if callable(stages) else stages}
        kind = type("VQTrainer", (architecture.trainer_class(),), own)
        return kind(architecture.config_class()(), kind.Settings(**settings), (1, 8, 8))

    yield make
    manager.cache_clear()


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def stopped_at(run, step, target):
    """The folder of a finished run as it was when it had just written the checkpoint of a step."""
    shutil.copytree(run, target)
    for path in (target / "checkpoints").iterdir():
        if path.name > f"step-{step:08d}":
            shutil.rmtree(path)
    record = json.loads((target / "run.json").read_text())
    del record["finished"]
    (target / "run.json").write_text(json.dumps(record))
    (target / "model.safetensors").unlink()
    return target


def same_tensors(one, other):
    one, other = load_file(one), load_file(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def straight(tinyvq, tmp_path_factory):
    """A run that was never stopped."""
    return made_once(tmp_path_factory, "stages", lambda root: tinyvq().fit(pictures(), out=root / "run")) / "run"


@pytest.mark.parametrize("step", [pytest.param(step, marks=pytest.mark.slow) for step in (1, 5, 8, 11)] + [6, 7])
def test_a_run_that_is_stopped_at_any_step_around_the_seam_ends_as_one_that_was_not(step, tinyvq, straight, tmp_path):
    out = tinyvq().fit(pictures(), out=stopped_at(straight, step, tmp_path / "run"), resume=True)
    for name in ("model.safetensors", "config.json", "README.md", "samples.png", "run.json"):
        assert (out / name).read_bytes() == (straight / name).read_bytes(), name
    for after in range(step + 1, 13):
        checkpoint = f"checkpoints/step-{after:08d}/tensors.safetensors"
        assert same_tensors(out / checkpoint, straight / checkpoint), after


@pytest.mark.slow
def test_the_prior_learns_the_codes_of_the_model_that_is_saved(tinyvq, tmp_path):
    def nats(generator):
        data = pictures()
        with torch.no_grad():
            codes = generator.codes(generator.from_unit(data.samples / 255))
            logits = generator.logits(codes, data.labels).transpose(1, 2)
            return torch.nn.functional.cross_entropy(logits, codes).item(), codes

    trainer, prepared = tinyvq(steps=240, codebook_steps=120, learning_rate=1e-2, checkpoint_every=0), {}

    def noted(data):
        prepared[trainer.stage] = made = type(trainer).prepare_stage_data(trainer, data)
        return made

    trainer.prepare_stage_data = noted
    generator = zoo.load(trainer.fit(pictures(), out=tmp_path / "run"), device="cpu")
    after, codes = nats(generator)
    untrained, _ = nats(type(generator)(generator.config).eval())
    assert after < 0.7 * untrained
    assert prepared["codebook"].samples.dtype == torch.uint8
    assert torch.equal(prepared["prior"].samples, codes)
    assert len(codes.unique()) > 2
    top, bottom = (generator.sample(64, labels=label).mean((0, 1)) for label in (0, 1))
    assert (top[:4, :4].mean() - top[4:, 4:].mean()).item() > 0.3
    assert (bottom[4:, 4:].mean() - bottom[:4, :4].mean()).item() > 0.3


def test_what_a_stage_does_not_train_stays_as_it_was_averaged_at_the_end_of_its_own(straight):
    seam, end = (load_file(straight / f"checkpoints/step-{step:08d}/tensors.safetensors") for step in (6, 12))
    saved = load_file(straight / "model.safetensors")
    for name, tensor in saved.items():
        fixed = not name.startswith(("prior", "head"))
        assert torch.equal(tensor, seam[f"average.{name}"]) == fixed, name
        assert torch.equal(seam[f"modules.generator.{name}"], seam[f"average.{name}"]) != fixed or "num_batches" in name
        if fixed:
            assert torch.equal(end[f"modules.generator.{name}"], tensor), name
    moments = [name for name in end if name.startswith("optimizers.codebook.")]
    assert moments
    assert all(torch.equal(seam[name], end[name]) for name in moments)


def test_a_stage_trains_what_it_names_and_the_rest_is_frozen_in_eval_mode(tinyvq):
    trainer = tinyvq([Stage("codebook", 6, trains="encoder"), Stage("prior", 3, trains=("generator.prior", "head.bias")),
                      Stage("all")])  # fmt: skip
    stages = prepare(trainer)
    vq = trainer.modules["generator"]
    vq.decoder[0].bias.grad = torch.ones(8)
    seen = []
    for step in (6, 9, 12):
        trained = {name for name, parameter in vq.named_parameters() if parameter.requires_grad}
        modes = {name for name, module in vq.named_children() if module.training}
        seen.append((trainer.stage, trainer.stage_begin, {name.partition(".")[0] for name in trained}, modes))
        trainer.step = step
        stages.proceed(None)
    everything = {"encoder", "decoder", "prior", "head"}
    assert seen == [
        ("codebook", 0, {"encoder"}, {"encoder"}),
        ("prior", 6, {"prior", "head"}, {"prior"}),
        ("all", 9, everything, everything | {"codebook"}),
    ]
    assert vq.decoder[0].bias.grad is None


def test_a_parameter_that_build_has_frozen_stays_so_in_every_stage(tinyvq):
    trainer = tinyvq([Stage("codebook", 6, trains="encoder"), Stage("all")])
    build = trainer.build

    def frozen():
        build()
        trainer.modules["generator"].head.requires_grad_(False)

    trainer.build = frozen
    stages = prepare(trainer)
    trainer.step = 6
    stages.proceed(None)
    names = {name for name, parameter in trainer.modules["generator"].named_parameters() if not parameter.requires_grad}
    assert names == {"head.weight", "head.bias"}


def test_the_schedule_of_a_stage_runs_over_its_own_steps(tinyvq, tmp_path):
    rates = []
    stages = [
        Stage("codebook", steps=4, trains=("encoder", "codebook", "decoder"), schedule="linear"),
        Stage("prior", trains=("prior", "head"), learning_rate=0.5, warmup_steps=2, betas=(0.5, 0.6)),
    ]
    trainer = tinyvq(stages, steps=8)

    def noted(name):
        type(trainer).apply_gradients(trainer, name)
        rates.append((name, round(trainer.optimizers[name].param_groups[0]["lr"], 6)))

    trainer.apply_gradients = noted
    trainer.fit(pictures(), out=tmp_path / "run")
    codebook = [("codebook", round(3e-3 * factor, 6)) for factor in (1, 0.75, 0.5, 0.25)]
    assert rates == codebook + [("prior", rate) for rate in (0.25, 0.5, 0.5, 0.5)]
    assert trainer.optimizers["prior"].param_groups[0]["betas"] == (0.5, 0.6)


def test_the_log_and_the_record_name_the_stages(tinyvq, tmp_path, capsys):
    run = tinyvq(steps=60, checkpoint_every=0).fit(pictures(), out=tmp_path / "run")
    logged = lines(run)
    assert [(line["step"], line["stage"]) for line in logged] == [(6, "codebook"), (50, "prior"), (60, "prior")]
    assert ["loss_codebook" in line for line in logged] == [True, False, False]
    stages = json.loads((run / "run.json").read_text())["stages"]
    assert list(stages) == ["codebook", "prior"]
    assert stages["codebook"] == {"begin": 0, "steps": 6, "trains": ["encoder", "codebook", "decoder"]}
    fingerprint = stages["prior"].pop("data")
    assert len(fingerprint) == 64
    assert stages["prior"] == {
        "begin": 6, "steps": 54, "trains": ["prior", "head"], "batch_size": 8, "learning_rate": 0.01, "warmup_steps": 2
    }  # fmt: skip
    assert "| stage prior | steps 54; trains prior, head; batch_size 8;" in (run / "README.md").read_text()
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000006", "step-00000060"}
    told = capsys.readouterr().err
    assert "stage codebook: steps 1 to 6, which train encoder, codebook, decoder" in told
    assert "stage prior: steps 7 to 60, which train prior, head" in told


def test_a_stage_without_samples_writes_no_grids(tinyvq, tmp_path):
    run = tinyvq(sample_every=3, checkpoint_every=0).fit(pictures(), out=tmp_path / "run")
    assert [path.name for path in sorted((run / "samples").iterdir())] == ["step-00000009.png", "step-00000012.png"]


def test_a_model_is_made_of_a_stopped_run_only_once_every_stage_has_begun(tinyvq, straight, tmp_path):
    out = stopped_at(straight, 6, tmp_path / "seam")
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(
        TrainingError, match=r"at step 6, before the first of prior.*--finish makes a model from step 7"
    ):
        finish_stopped_run("tinyvq", out, device="cpu")
    assert sorted(path.name for path in out.iterdir()) == before
    out = stopped_at(straight, 8, tmp_path / "later")
    finish_stopped_run("tinyvq", out, device="cpu")
    average = load_file(out / "checkpoints/step-00000008/tensors.safetensors")
    saved = load_file(out / "model.safetensors")
    assert all(torch.equal(tensor, average[f"average.{name}"]) for name, tensor in saved.items())
    tinyvq().fit(pictures(), out=out, resume=True)
    assert (out / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stages", "difference"),
    [
        (lambda s: [Stage("codebook", 5), Stage("prior")], r"stages\.codebook\.steps was 6 and is now 5"),
        (lambda s: [Stage("book", 6), Stage("prior")], r"stages\.book\.steps was None and is now 6"),
        (lambda s: [], r"stages\.codebook\.begin was 0 and is now None"),
        (lambda s: [Stage("codebook", 6), Stage("prior", schedule="cosine")], r"stages\.prior\.schedule was None"),
    ],
)
def test_other_stages_are_refused_on_resume_with_the_difference(stages, difference, tinyvq, straight, tmp_path):
    out = stopped_at(straight, 8, tmp_path / "run")
    with pytest.raises(TrainingError, match=difference):
        tinyvq(stages).fit(pictures(), out=out, resume=True)


@pytest.mark.slow
def test_the_last_stage_may_become_longer_and_its_rate_another_while_nothing_else_changes(tinyvq, straight, tmp_path):
    longer = tinyvq(steps=15).fit(pictures(), out=stopped_at(straight, 8, tmp_path / "a" / "run"), resume=True)
    whole = tinyvq(steps=15).fit(pictures(), out=tmp_path / "b" / "run")
    assert (longer / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_data_that_depends_on_what_the_stage_trains_is_noticed_on_resume(tinyvq, tmp_path, caplog):
    def run():
        trainer = tinyvq([Stage("codebook", 6), Stage("prior")], learning_rate=0.1)

        def prepare_stage_data(data):
            vq = trainer.modules["generator"]
            shift = (vq.head.weight.flatten()[:16] * 1000).long()  # the head is what this stage trains
            return trainer.map_samples(data, lambda x: (vq.codes(x) + shift) % 8) if trainer.stage == "prior" else data

        type(trainer).prepare_stage_data = lambda self, data: prepare_stage_data(data)
        return trainer

    whole = run().fit(pictures(), out=tmp_path / "whole")
    assert not caplog.messages
    run().fit(pictures(), out=stopped_at(whole, 8, tmp_path / "run"), resume=True)
    assert "the data of the stage prior is not what it was when the stage began" in caplog.text


@pytest.mark.slow
def test_the_data_of_a_stage_is_not_mirrored_unless_it_is_pictures(tinyvq, tmp_path):
    trainer, mirrored = tinyvq(horizontal_flip=True, steps=8), {}
    step = trainer.training_step

    def noted(batch):
        mirrored[trainer.stage] = batch.samples.shape[1:]
        return step(batch)

    trainer.training_step = noted
    trainer.fit(pictures(), out=tmp_path / "run")
    assert mirrored == {"codebook": (1, 8, 8), "prior": (16,)}


BAD = {
    "twice": ([Stage("a", 2), Stage("a")], "there are two stages called 'a'"),
    "too_few": ([Stage("a", 2), Stage("b", 3)], r"5 steps together \(a 2, b 3\), and the run has steps=12"),
    "too_many": (
        [Stage("a", 12), Stage("b")],
        r"nothing is left for the stage 'b', after those of a 12; --set steps=13",
    ),
    "two_open": ([Stage("a"), Stage("b")], "a and b have no steps; only one stage can take what is left"),
    "unknown": ([Stage("a", 2), Stage("b", trains="pror")], "trains 'pror', which is neither.*did you mean prior"),
    "no_module": ([Stage("a", 2, trains="sample"), Stage("b")], "trains 'sample'"),
    "a_name": (["codebook", "prior"], r"a list with 'codebook'; write zoo_core\.Stage\(name\)"),
    "no_list": (Stage("a"), r"it must return a list of zoo_core\.Stage"),
    "none": (lambda s: None, r"returned None; it must return a list of zoo_core\.Stage"),
    "no_steps": (
        lambda s: [Stage("a", s.steps // 20), Stage("b")],
        r"with steps=12: Expected `int` >= 1 - at `\$\.steps`",
    ),
    "schedule": (lambda s: [Stage("a", schedule="square")], "Invalid enum value 'square'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_stages_are_one_line_before_training(name, tinyvq, tmp_path):
    stages, words = BAD[name]
    with pytest.raises(InterfaceError, match=words) as refused:
        tinyvq(stages).fit(pictures(), out=tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_the_data_cannot_fill_is_refused_before_training_whatever_its_stage(tinyvq, tmp_path):
    stages = [Stage("codebook", 6), Stage("prior", batch_size=49)]
    with pytest.raises(DataError, match="fewer than one batch of 49"):
        tinyvq(stages).fit(pictures(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_optimizer_of_what_is_frozen_is_refused_by_name(tinyvq, tmp_path):
    with pytest.raises(InterfaceError, match="updates 'codebook', of which the stage 'a' trains nothing"):
        tinyvq([Stage("a", trains="prior")]).fit(pictures(), out=tmp_path / "run")


def test_best_figure_belongs_to_the_stages_that_log_it(tinyvq, tmp_path):
    run = tinyvq(best_figure="loss_codebook", keep_checkpoints=1).fit(pictures(), out=tmp_path / "early")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000006", "step-00000012"}
    tinyvq(best_figure="loss_prior").fit(pictures(), out=tmp_path / "late")
    with pytest.raises(SettingsError, match="no figure 'loss_x' is logged"):
        tinyvq(best_figure="loss_x").fit(pictures(), out=tmp_path / "never")


@pytest.mark.slow
def test_optimizers_that_begin_stage_makes_are_resumed(tinyvq, tmp_path):
    def trainer():
        made = tinyvq()

        def begin_stage(self, stage):
            parts = [self.modules["generator"].get_submodule(name) for name in stage.trained if name != "codebook"]
            self.optimizers = {stage.name: self.adam(torch.nn.ModuleList(parts))}

        made.__class__.begin_stage = begin_stage
        return made

    whole = trainer().fit(pictures(), out=tmp_path / "whole" / "run")
    for step in (6, 7):
        out = trainer().fit(pictures(), out=stopped_at(whole, step, tmp_path / str(step) / "run"), resume=True)
        assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


# Trains by itself, or as one of several processes.
SCRIPT = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
import torch
from tests.test_training_stages import pictures
from zoo_core.plugins import manager
torch.set_num_threads(1)
found = manager().architecture("tinyvq")
kind = found.trainer_class()
trainer = kind(found.config_class()(), kind.Settings(**json.loads(sys.argv[2])), (1, 8, 8))
trainer.fit(pictures(), out=Path(sys.argv[1]), resume=True)
"""


def newest(folder):
    return max((int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*")), default=0)


@pytest.mark.slow
def test_a_process_that_is_killed_in_each_stage_leaves_a_run_that_ends_as_one_that_was_not(tinyvq, site, tmp_path):
    settings = {"steps": 60, "codebook_steps": 30, "sample_every": 0, "checkpoint_every": 1, "batch_size": 16}
    words = ["-c", SCRIPT, str(tmp_path / "killed" / "run"), json.dumps(settings | {"device": "cpu"})]
    for step in (8, 29, 40):
        with (
            Path(os.devnull).open("r+b") as nothing,
            forkserver.Process(words, [nothing] * 3, env=site.environment()) as process,
        ):
            while newest(tmp_path / "killed" / "run") < step:
                time.sleep(0.001)
            process.kill()
            assert process.wait(60) == -signal.SIGKILL
    assert 40 <= newest(tmp_path / "killed" / "run") < 60
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the children had: another number of threads may round otherwise
    try:
        own = settings | {"learning_rate": 2e-4, "ema_decay": 0.999, "keep_checkpoints": 2}
        killed = tinyvq(**own).fit(pictures(), out=tmp_path / "killed" / "run", resume=True)
        straight = tinyvq(**own | {"checkpoint_every": 0}).fit(pictures(), out=tmp_path / "straight" / "run")
    finally:
        torch.set_num_threads(threads)
    assert (killed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    assert [line["step"] for line in lines(killed)] == [30, 50, 60]


@pytest.mark.slow
def test_two_processes_train_in_stages_as_one_does(tinyvq, site, tmp_path):
    settings = {"steps": 12, "batch_size": 16, "sample_every": 0, "ema_decay": 0.9, "learning_rate": 3e-3}
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = (tmp_path / "two", json.dumps(settings | {"device": "cpu"}))
    done = torchrun("script.py", *arguments, cwd=tmp_path, PYTHONPATH=site.environment()["PYTHONPATH"])
    assert done.returncode == 0, done.stderr[-3000:]
    one = tinyvq(**settings).fit(pictures(), out=tmp_path / "one")
    for alone, shared in zip(lines(one), lines(tmp_path / "two"), strict=True):
        for name in alone.keys() - {"images_per_second"}:
            assert alone[name] == (pytest.approx(shared[name], rel=1e-2) if name.startswith("loss") else shared[name])
