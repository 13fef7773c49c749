"""Nothing of a run is lost: not by a second run, damage, NaN, signals, a full disk, or what was said on resume."""

import contextlib
import errno
import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import GANSettings
from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, ModelFolderError, OutputError, SettingsError, TrainingError, ZooError
from zoo_core.files.locks import held_alone, holder_file
from zoo_core.training import loop
from zoo_core.training.run_folder import RunFolder
from zoo_core.training.stop_signals import stop_signals
from zoo_core.training.stopped_runs import finish_stopped_run

SHAPE = (1, 8, 8)
MNIST = Path(__file__).parent / "data" / "mnist"


def pictures():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (64, *SHAPE), dtype=torch.uint8, generator=generator)
    return TrainingData.from_tensors(samples)


def trainer(kind=None, **settings):
    """The trainer of tiny MLPs, or another `kind` of it."""
    gan = architecture("vanilla_gan")
    settings = {"steps": 6, "batch_size": 16, "sample_every": 0, "checkpoint_every": 2, "device": "cpu"} | settings
    config = gan.config_class()(size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    return (kind or gan.trainer_class())(config, GANSettings(**settings), SHAPE)


def fit(out, *, resume=False, change=(), kind=None, **settings):
    return trainer(kind, **settings).fit(pictures(), out=out, resume=resume, change=change)


def kept(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def step(number):
    return f"step-{number:08d}"


def logged(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def recorded(folder):
    return json.loads((folder / "run.json").read_text())


def weights_of(folder, number):
    tensors = load_file(folder / "checkpoints" / step(number) / "tensors.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.startswith("modules.")}


def when(number, act):
    """A trainer class that calls `act` in a step."""

    class Acting(architecture("vanilla_gan").trainer_class()):
        def training_step(self, batch):
            figures = super().training_step(batch)
            if self.step + 1 == number:
                figures = act(self, figures) or figures
            return figures

    return Acting


# Two runs in one folder


def test_a_second_run_in_the_folder_is_refused_with_who_holds_it_and_the_first_goes_on(tmp_path):
    refusals = []

    def begin_another(_, figures):
        with pytest.raises(TrainingError) as refused:
            fit(tmp_path / "run", resume=True)
        refusals.append(str(refused.value))

    folder = fit(tmp_path / "run", kind=when(3, begin_another))
    (line,) = refusals
    assert line.startswith(f"{tmp_path / 'run'} is in use by another run (process {os.getpid()} on ")
    assert " UTC); wait until it ends" in line
    assert zoo.load(folder).sample(1).shape == (1, *SHAPE)
    assert not list(folder.glob(".*")), "the lock is gone with the run"


def test_the_command_refuses_a_folder_in_use_before_it_reads_the_data(tmp_path):
    fit(tmp_path / "run", steps=2)
    arguments = ["train", "vanilla_gan", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--resume"]
    with RunFolder(tmp_path / "run").held():
        result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "is in use by another run (process " in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_the_lock_of_a_killed_run_blocks_nobody(tmp_path):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with held_alone(tmp_path / ".lock", ZooError):
            os.write(told, b".")
            signal.pause()
    os.read(ready, 1)
    with pytest.raises(ZooError, match=f"process {child} on "), held_alone(tmp_path / ".lock", ZooError):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert holder_file(tmp_path / ".lock").exists()
    with held_alone(tmp_path / ".lock", ZooError):
        assert json.loads(holder_file(tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_a_run_was_killed_before_it_began_is_still_free(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", ".lock.json"):
        (tmp_path / "run" / name).write_bytes(b"")
    assert zoo.load(fit(tmp_path / "run", steps=1)).sample(1).shape == (1, *SHAPE)


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(37, "No locks available")])
def test_a_file_system_without_locks_is_said_and_used(error, tmp_path, monkeypatch, caplog):
    def fail(self):
        raise error

    monkeypatch.setattr("filelock.FileLock._acquire", fail)
    with held_alone(tmp_path / ".lock", ZooError):
        pass
    assert "this file system has no locks" in caplog.text


def test_a_run_that_is_refused_leaves_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"has samples of \(1, 4, 4\)"):
        trainer().fit(torch.zeros(4, 1, 4, 4), out=tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(DataError, match="late"), run.held():
        raise DataError("late")
    assert list(tmp_path.iterdir()) == []


# Damage


@pytest.mark.parametrize("line", [b"\0" * 40, b"{}", b"[1]", b'{"step": 2, "lo', b"\xff", b'{"step": "2"}'])
def test_a_damaged_line_of_the_log_is_named_kept_aside_and_the_run_goes_on(line, tmp_path, capfd):
    fit(tmp_path, steps=2)
    (tmp_path / "log.jsonl").write_bytes(line + b"\n" + (tmp_path / "log.jsonl").read_bytes())
    fit(tmp_path, steps=4, resume=True)
    assert logged(tmp_path) == [2, 4]
    assert (tmp_path / "log.damaged").read_bytes() == line + b"\n"
    assert f"{tmp_path / 'log.jsonl'}: line 1 " in capfd.readouterr().err


@pytest.mark.parametrize(("rest", "said"), [(b'{"step": 2, "lo', False), (b"\0" * 40, True)])
def test_a_last_line_that_was_never_finished_is_dropped_and_nuls_are_named(rest, said, tmp_path, capfd):
    fit(tmp_path, steps=2)
    (tmp_path / "log.jsonl").write_bytes((tmp_path / "log.jsonl").read_bytes() + rest)
    fit(tmp_path, steps=4, resume=True)
    assert logged(tmp_path) == [2, 4]
    assert ("log.jsonl: line 2" in capfd.readouterr().err) is said


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b'{"settings": {}}', None])
def test_a_damaged_or_missing_run_json_is_named_and_its_copy_in_the_checkpoint_is_used(content, tmp_path, caplog):
    fit(tmp_path / "run", steps=2)
    before = recorded(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink() if content is None else (tmp_path / "run" / "run.json").write_bytes(
        content
    )
    fit(tmp_path / "run", steps=4, resume=True)
    assert recorded(tmp_path / "run")["data"] == before["data"]
    assert kept(tmp_path / "run") == [step(2), step(4)]
    (line,) = caplog.messages
    assert line.startswith(str(tmp_path / "run" / "run.json"))
    assert line.endswith("its copy in the newest checkpoint is used")


def test_other_settings_are_refused_by_the_copy_too(tmp_path):
    fit(tmp_path, steps=2)
    (tmp_path / "run.json").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"settings\.seed was 0 and is now 7"):
        fit(tmp_path, steps=4, resume=True, seed=7)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\0" * 512, "is not JSON"),
        (b'{"settings": {}}', "missing required field"),
        (b'{"settings": {"steps": 2, "seed": 0, "batch_size": 16, "precision": 7}}', "settings: Expected `str`"),
        (b'{"settings": {"steps": 2, "seed": 0, "batch_size": 16, "precision": "f8"}}', "settings: Invalid enum value"),
    ],
)
def test_a_damaged_record_without_a_copy_is_one_line(content, problem, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ZooError, match=problem) as refused:
        fit(tmp_path, steps=4, resume=True, precision="auto")
    assert str(refused.value).startswith(f"{tmp_path / 'run.json'}: ")
    assert "\n" not in str(refused.value)


def cut_short(checkpoint):
    tensors = checkpoint / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:100])


def all_nul(checkpoint):
    for file in checkpoint.iterdir():
        file.write_bytes(b"\0" * file.stat().st_size)


def without_tensors(checkpoint):
    (checkpoint / "tensors.safetensors").unlink()


def not_a_number(checkpoint):
    tensors = load_file(checkpoint / "tensors.safetensors")
    tensors["modules.generator.layers.0.weight"][0] = torch.nan
    save_file(tensors, checkpoint / "tensors.safetensors")


def state(change):
    def damage(checkpoint):
        file = checkpoint / "state.json"
        file.write_text(json.dumps(change(json.loads(file.read_text()))))

    return damage


DAMAGES = [
    cut_short,
    all_nul,
    without_tensors,
    not_a_number,
    state(lambda content: []),
    state(lambda content: content | {"step": "four"}),
    state(lambda content: content | {"run": {"settings": 1}}),
    state(lambda content: content | {"random": content["random"] | {"numpy": ["MT19937", [-1] * 624, 0, 0, 0.0]}}),
    state(
        lambda content: content | {"optimizers": {key: {"groups": [], "values": []} for key in content["optimizers"]}}
    ),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_set_aside_and_the_run_goes_on_from_the_one_before(damage, tmp_path, caplog):
    straight = fit(tmp_path / "straight")
    run = fit(tmp_path / "run", steps=4)
    damage(run / "checkpoints" / step(4))
    fit(run, resume=True, keep_checkpoints=1)
    assert (run / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    assert kept(run) == [f"{step(4)}.damaged", step(6)]
    (line,) = caplog.messages
    assert line.startswith(f"the checkpoint {run / 'checkpoints' / step(4)} cannot be read (")
    assert line.endswith("the run goes on from the one before")


def test_a_run_without_a_sound_checkpoint_is_refused_and_each_is_named(tmp_path):
    fit(tmp_path, steps=4)
    for number in (2, 4):
        cut_short(tmp_path / "checkpoints" / step(number))
    with pytest.raises(TrainingError, match=r"step-00000004 cannot.*step-00000002 cannot.*choose another --out"):
        fit(tmp_path, resume=True)
    assert kept(tmp_path) == [step(2), step(4)]


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(tmp_path):
    """It has no copy of run.json, and its figure has no name."""
    straight = fit(tmp_path / "straight")
    run = fit(tmp_path / "run", steps=4)
    for number in (2, 4):
        state(lambda content: {key: content[key] for key in content if key not in ("run", "best_figure")})(
            run / "checkpoints" / step(number)
        )
    fit(run, resume=True)
    assert (run / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_damaged_grid_or_one_of_a_later_step_is_left_out_of_the_film(tmp_path):
    fit(tmp_path, sample_every=2)
    for name, content in ((step(4), b"\0" * 100), (step(99), (tmp_path / "samples.png").read_bytes())):
        (tmp_path / "samples" / f"{name}.png").write_bytes(content)
    fit(tmp_path, steps=8, resume=True, sample_every=2)
    with Image.open(tmp_path / "training.gif") as film:
        assert film.n_frames == 3


def test_a_copied_run_goes_on_in_its_new_place(tmp_path):
    run = fit(tmp_path / "run", steps=4)
    shutil.copytree(run, tmp_path / "elsewhere" / "copy")
    for folder in (run, tmp_path / "elsewhere" / "copy"):
        fit(folder, resume=True)
    one, other = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "elsewhere" / "copy"))
    assert all(torch.equal(one[name], other[name]) for name in one)


# What is no longer a number


def broken_loss(value, *names):
    def act(_, figures):
        return figures | {name: torch.tensor(value) for name in names}

    return act


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_named_with_its_step_before_a_checkpoint_is_written(value, tmp_path):
    with pytest.raises(TrainingError) as stopped:
        fit(tmp_path, kind=when(3, broken_loss(value, "loss_d", "loss_g")), learning_rate=2e-3)
    assert str(stopped.value) == (
        "NaN or infinite: loss_d at step 3, loss_g at step 3; go on from the newest checkpoint with --resume and "
        "--set learning_rate=0.001 (it was 0.002) or --set gradient_clip=1"
    )
    assert kept(tmp_path) == [step(2)]


def test_a_figure_that_is_not_finite_now_and_then_is_found_between_two_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    with pytest.raises(TrainingError, match=r"^NaN or infinite: loss_g at step 7; start again with --resume and "):
        fit(tmp_path, steps=20, checkpoint_every=0, kind=when(7, broken_loss(float("nan"), "loss_g")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_weights_that_are_not_finite_are_named_and_not_kept(value, ema_decay, tmp_path):
    def spoil(self, _):
        with torch.no_grad():
            self.modules["generator"].layers[0].weight[0, 0] = value

    with pytest.raises(TrainingError, match=r"^generator\.layers\.0\.weight became NaN or infinite before step 5"):
        fit(tmp_path, kind=when(4, spoil), ema_decay=ema_decay)
    assert kept(tmp_path) == [step(2)]


def test_an_optimizer_that_is_not_finite_is_named_and_not_kept(tmp_path):
    def spoil(self, _):
        optimizer = self.optimizers["discriminator"]
        next(iter(optimizer.state.values()))["exp_avg"].fill_(torch.nan)

    with pytest.raises(TrainingError, match=r"^the optimizer of discriminator became NaN"):
        fit(tmp_path, kind=when(4, spoil))
    assert kept(tmp_path) == [step(2)]


def test_what_the_line_advises_can_be_done_and_is_recorded(tmp_path):
    with pytest.raises(TrainingError, match=r"--set learning_rate=0\.0001"):
        fit(tmp_path, kind=when(3, broken_loss(float("nan"), "loss_d")))
    folder = fit(
        tmp_path, resume=True, change={"learning_rate", "gradient_clip"}, learning_rate=1e-4, gradient_clip=1.0
    )
    (change,) = recorded(folder)["changes"]
    assert change == {
        "step": 2,
        "settings": {"learning_rate": {"was": 2e-4, "now": 1e-4}, "gradient_clip": {"was": 0.0, "now": 1.0}},
    }
    card = (folder / "README.md").read_text()
    assert "| learning_rate | 0.0001 (0.0002 until step 2) |" in card
    assert "| gradient_clip | 1.0 (0.0 until step 2) |" in card


def test_a_figure_that_nobody_logs_is_an_error_at_the_first_line_which_names_those_there_are(tmp_path):
    with pytest.raises(SettingsError, match=r"^best_figure: no figure 'loss_q' is logged; did you mean loss_") as wrong:
        fit(tmp_path / "a", best_figure="loss_q")
    with pytest.raises(
        SettingsError, match=r"'fid' is logged; there are images_per_second, logit_fake, .*loss_g; fid is measured with"
    ):
        fit(tmp_path / "b", best_figure="fid")
    assert "\n" not in str(wrong.value)
    folder = fit(tmp_path / "a", best_figure="loss_g", resume=True)  # what was wrong may be mended
    assert recorded(folder)["settings"]["best_figure"] == "loss_g"


def test_the_best_checkpoint_is_not_one_of_nan_nor_by_another_figure(tmp_path):
    fit(tmp_path, steps=2, best_figure="loss_d")
    for number, figure in ((1, float("nan")), (2, -5.0)):
        folder = tmp_path / "checkpoints" / step(number)
        folder.mkdir(exist_ok=True)
        (folder / "state.json").write_text(
            json.dumps(json.loads((tmp_path / "checkpoints" / step(2) / "state.json").read_text()) | {"figure": figure})
        )
    fit(tmp_path, steps=8, resume=True, best_figure="loss_g", keep_checkpoints=1)
    assert kept(tmp_path) == [step(8)]


# Settings that change on resume


def test_a_changed_rate_holds_from_the_checkpoint_on(tmp_path):
    fit(tmp_path, steps=4)
    before = weights_of(tmp_path, 4)
    resumed = trainer(steps=6, learning_rate=1e-30, ema_decay=0.999)
    resumed.fit(pictures(), out=tmp_path, resume=True, change={"learning_rate"})
    assert all(torch.equal(before[name], value) for name, value in weights_of(tmp_path, 6).items())
    assert {group["lr"] for each in resumed.optimizers.values() for group in each.param_groups} == {1e-30}


def test_a_changed_rate_keeps_its_schedule_and_its_pace(tmp_path):
    settings = {"schedule": "linear", "steps": 8, "r1_gamma": 1.0, "r1_every": 4}

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(*_):
        raise Stopped

    with pytest.raises(Stopped):
        fit(tmp_path, kind=when(5, stop), **settings)
    resumed = trainer(learning_rate=1.0, **settings)
    resumed.fit(pictures(), out=tmp_path, resume=True, change={"learning_rate"})
    last = resumed.settings.learning_rate_factor(7)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in resumed.optimizers.items()}
    assert rates == pytest.approx({"generator": last, "discriminator": last * 4 / 5})


def test_a_change_that_is_repeated_is_no_change_and_resumes_bit_for_bit(tmp_path):
    new = {"learning_rate": 1e-3, "betas": (0.0, 0.9)}
    for out, stops in (("straight", [8]), ("stopped", [6, 8])):
        fit(tmp_path / out, steps=4)
        for steps in stops:
            fit(tmp_path / out, steps=steps, resume=True, change=new, **new)
    one, other = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("straight", "stopped"))
    assert one == other
    (change,) = recorded(tmp_path / "stopped")["changes"]
    assert change["settings"]["betas"] == {"was": [0.5, 0.999], "now": [0.0, 0.9]}


def test_the_precision_can_change_though_only_fp16_scales_its_losses(tmp_path):
    for steps, precision in ((2, "fp32"), (4, "fp16"), (6, "bf16")):
        fit(tmp_path, steps=steps, resume=True, change={"precision"}, precision=precision)
    card = (tmp_path / "README.md").read_text()
    assert "| precision | bf16 (fp32 until step 2; fp16 until step 4) |" in card


@pytest.mark.parametrize("setting", ["seed", "batch_size", "loss", "ema_decay", "discriminator_steps"])
def test_what_no_state_of_a_run_fits_is_refused_even_if_the_user_says_so(setting, tmp_path):
    fit(tmp_path, steps=2)
    value = {"seed": 1, "batch_size": 8, "loss": "hinge", "ema_decay": 0.5, "discriminator_steps": 2}[setting]
    with pytest.raises(TrainingError, match=rf"settings\.{setting} was "):
        fit(tmp_path, steps=4, resume=True, change={setting}, **{setting: value})


def test_the_command_takes_a_change_from_set_alone(tmp_path):
    tiny = ["model.generator_widths=8", "model.discriminator_widths=8", "model.latent_size=4", "model.size=8"]
    shared = [*tiny, "batch_size=16", "sample_every=0"]
    file = tmp_path / "training.yaml"
    file.write_text("learning_rate: 0.001\n")

    def train(*more):
        sets = [part for setting in shared for part in ("--set", setting)]
        given = ["train", "vanilla_gan", "--data", str(MNIST), "--out", str(tmp_path / "run"), "--device", "cpu", *sets]
        return CliRunner().invoke(main, [*given, *more])

    assert train("--steps", "2").exit_code == 0
    refused = train("--steps", "4", "--resume", "--config", str(file))
    assert refused.exit_code == 1
    assert "settings.learning_rate was 0.0002 and is now 0.001; " in refused.stderr
    assert "say so with --set" in refused.stderr
    changed = train("--steps", "4", "--resume", "--set", "learning_rate=0.001")
    assert changed.exit_code == 0
    assert "from step 2 on, learning_rate is 0.001 (it was 0.0002)" in changed.stderr
    assert recorded(tmp_path / "run")["changes"][0]["step"] == 2


# A stopped run becomes a model


def stopped_run(out, at=4, **settings):
    """A run of 100 steps that Ctrl-C stopped."""

    def press(*_):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(TrainingError, match="or --finish to make a model of it"):
        fit(out, kind=when(at, press), steps=100, checkpoint_every=0, **settings)
    return out


def test_a_stopped_run_becomes_a_model_whose_card_says_how_many_steps_and_can_go_on(tmp_path):
    run = stopped_run(tmp_path / "run")
    assert finish_stopped_run("vanilla-gan", run, device="cpu") == run
    average = load_file(run / "checkpoints" / step(4) / "tensors.safetensors")
    for name, value in load_file(run / "model.safetensors").items():
        assert torch.equal(value, average[f"average.{name}"])
    assert zoo.load(run).sample(2).shape == (2, *SHAPE)
    assert "| steps | 4 (of 100 planned) |" in (run / "README.md").read_text()
    assert recorded(run)["model_step"] == 4
    straight = fit(tmp_path / "straight", steps=8)
    fit(run, steps=8, checkpoint_every=2, resume=True)
    assert (run / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    assert "| steps | 8 |" in (run / "README.md").read_text()
    assert "model_step" not in recorded(run)


def test_the_command_finishes_without_data_and_keeps_the_names_of_classes(tmp_path):
    gan = architecture("vanilla_gan")
    config = gan.config_class()(
        size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,), conditional=True, num_classes=2
    )
    data = replace(TrainingData.from_tensors(torch.zeros(16, *SHAPE), torch.arange(16) % 2), class_names=("bus", "car"))
    settings = GANSettings(steps=4, batch_size=8, sample_every=0, checkpoint_every=2, device="cpu")
    run = gan.trainer_class()(config, settings, SHAPE).fit(data, out=tmp_path / "run")
    for name in ("config.json", "model.safetensors", "README.md", "samples.png", "discriminator.safetensors"):
        (run / name).unlink()
    (run / "run.json").write_text(json.dumps(recorded(run) | {"finished": False}))
    result = CliRunner().invoke(main, ["train", "vanilla_gan", "--out", str(run), "--finish", "--device", "cpu"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{run}\n", "")
    assert zoo.load(run).class_names == ("bus", "car")
    assert recorded(run)["finished"]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert finish_stopped_run("vanilla_gan", run) == run
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["vanilla_gan", "--out", "none", "--finish"], 1, "none holds no training run to finish"),
        (["vae", "--out", "run", "--finish"], 1, "run is a run of vanilla_gan, not of vae"),
        (["vanilla_gan", "--out", "run", "--finish", "--seed", "2"], 2, "leave out --seed"),
        (["vanilla_gan", "--out", "begun", "--finish"], 1, "begun has no checkpoint to make a model of"),
        (["vanilla_gan", "--out", "run"], 2, "Missing option '--data'"),
    ],
)
@pytest.mark.plugins("zoo-vae")
def test_what_cannot_be_finished_is_one_line(arguments, code, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopped_run(Path("run"))
    fit(Path("begun"), steps=2)
    for checkpoint in Path("begun", "checkpoints").iterdir():
        checkpoint.rename(checkpoint.with_name("elsewhere"))
        break
    for checkpoint in Path("begun", "checkpoints").glob("step-*"):
        checkpoint.rename(checkpoint.with_name("away"))
    Path("begun", "run.json").write_text(json.dumps(recorded(Path("begun")) | {"finished": False}))
    result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == code
    assert problem in result.stderr


def test_fewer_steps_than_were_reached_are_refused_with_the_way_out(tmp_path):
    fit(tmp_path, steps=4)
    with pytest.raises(TrainingError, match="use --steps 4 or more, --finish to make a model of it"):
        fit(tmp_path, steps=3, resume=True)


# Signals


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_that_ends_a_process_ends_the_step_and_leaves_a_checkpoint(name, tmp_path):
    number = getattr(signal, name)
    handler = signal.SIG_DFL if name == "SIGHUP" else signal.getsignal(number)
    before = signal.signal(number, handler)  # these tests may themselves run under nohup
    try:
        with pytest.raises(TrainingError, match="stopped at step 3 of 6"):
            fit(tmp_path, kind=when(3, lambda *_: signal.raise_signal(number)), checkpoint_every=0)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert kept(tmp_path) == [step(3)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_a_process_that_ignores_hanging_up_goes_on_ignoring_it(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        folder = fit(tmp_path, kind=when(3, lambda *_: signal.raise_signal(signal.SIGHUP)))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert recorded(folder)["finished"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_a_terminal_may_hang_up_twice_and_a_second_ctrl_c_ends_at_once():
    with stop_signals() as stop:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def signal_in_a_checkpoint(monkeypatch, *numbers):
    """Send signals while the next checkpoint is being written."""
    left = list(numbers)

    def interrupted(*given):
        while left:
            signal.raise_signal(left.pop())
        save_file(*given)

    monkeypatch.setattr("zoo_core.training.checkpoints.save_file", interrupted)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for one process")
def test_a_signal_while_a_checkpoint_is_written_lets_it_end(tmp_path, monkeypatch):
    signal_in_a_checkpoint(monkeypatch, signal.SIGTERM)
    with pytest.raises(TrainingError, match="stopped at step 3"):
        fit(tmp_path)
    assert kept(tmp_path) == [step(2), step(3)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for one process")
def test_ctrl_c_twice_while_a_checkpoint_is_written_leaves_the_one_before_and_nothing_half_written(
    tmp_path, monkeypatch
):
    fit(tmp_path, steps=2)
    signal_in_a_checkpoint(monkeypatch, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, resume=True)
    assert kept(tmp_path) == [step(2)]
    assert not list(tmp_path.glob(".*"))
    assert recorded(fit(tmp_path, resume=True))["finished"]


def test_what_a_killed_process_had_written_of_a_checkpoint_is_removed(tmp_path):
    fit(tmp_path, steps=2)
    leftover = tmp_path / "checkpoints" / f".{step(4)}.0123abcd.tmp"
    leftover.mkdir()
    (leftover / "tensors.safetensors").write_bytes(b"half")
    fit(tmp_path, steps=4, resume=True)
    assert kept(tmp_path) == [step(2), step(4)]


# The disk is full


@pytest.fixture
def full_disk():
    """No file of this process may become longer than 16 kB: as on a full disk, the kernel refuses to write."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextlib.contextmanager
    def full(size=16_384):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


def test_a_full_disk_at_a_checkpoint_is_one_line_with_the_path_and_the_one_before_is_intact(tmp_path, full_disk):
    fit(tmp_path, steps=2)
    with full_disk(), pytest.raises(OutputError) as refused:
        fit(tmp_path, resume=True)
    assert str(refused.value) == f"{tmp_path / 'checkpoints' / step(4)} cannot be written: File too large"
    assert kept(tmp_path) == [step(2)]
    assert not list(tmp_path.rglob(".*"))
    straight = fit(tmp_path.with_name("straight"))
    assert (fit(tmp_path, resume=True) / "model.safetensors").read_bytes() == (
        straight / "model.safetensors"
    ).read_bytes()


def test_a_full_disk_at_a_line_of_the_log_is_one_line_with_its_path_and_the_lines_before_stay(
    tmp_path, full_disk, monkeypatch
):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    fit(tmp_path, steps=4)
    size = (tmp_path / "log.jsonl").stat().st_size
    with full_disk(size + 50), pytest.raises(OutputError, match=r"cannot be written: File too large$"):
        fit(tmp_path, steps=6, resume=True, checkpoint_every=0)
    fit(tmp_path, steps=6, resume=True)
    assert logged(tmp_path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_whatever_the_system_answers_to_a_checkpoint_is_said_with_its_path(number, tmp_path, monkeypatch):
    code = getattr(errno, number)

    def fail(*_):  # as safetensors writes it
        raise SafetensorError(f"Error while serializing: I/O error: {os.strerror(code)} (os error {code})")

    monkeypatch.setattr("zoo_core.training.checkpoints.save_file", fail)
    with pytest.raises(OutputError, match=rf"{step(2)} cannot be written: {os.strerror(code)}$"):
        fit(tmp_path)
    assert kept(tmp_path) == []


# Where a run and its outputs may go


def test_a_run_within_its_data_is_refused(tmp_path):
    (tmp_path / "pics").mkdir()
    for out in ("pics", "pics/runs/a"):
        given = ["train", "vanilla_gan", "--data", str(tmp_path / "pics"), "--out", str(tmp_path / out)]
        result = CliRunner().invoke(main, given)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"{out} lies within " in result.stderr
        with pytest.raises(TrainingError, match="lies within"):
            trainer().fit(str(tmp_path / "pics"), out=tmp_path / out)
    assert list((tmp_path / "pics").iterdir()) == []


def test_a_run_goes_through_a_link_and_a_link_to_nowhere_is_said(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    fit(tmp_path / "run", steps=1)
    assert (tmp_path / "disk" / "model.safetensors").exists()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(TrainingError, match="nowhere is a link to nowhere"):
        fit(tmp_path / "nowhere", steps=1)


def test_missing_parents_of_the_folder_are_made(tmp_path):
    assert (fit(tmp_path / "a" / "b" / "run", steps=1) / "model.safetensors").exists()


def test_a_model_is_not_saved_over_that_of_another_library(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"theirs")
    model = zoo.load(fit(tmp_path / "run", steps=1))
    with pytest.raises(OutputError, match=r"config\.json is not that of a model of zoo-core; choose another folder"):
        model.save(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"theirs"
    (tmp_path / "run" / "config.json").write_bytes(b"\0" * 50)  # a damaged one of ours is replaced
    assert zoo.load(model.save(tmp_path / "run")).config == model.config


def test_statistics_are_not_written_over_what_they_cannot_be_read_from(tmp_path):
    (tmp_path / "thesis.docx").write_bytes(b"words")
    given = ["eval", "vae-mnist", "--data", str(MNIST), "--save-statistics", str(tmp_path / "thesis.docx")]
    result = CliRunner().invoke(main, given)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "use a name in .safetensors" in result.stderr
    assert (tmp_path / "thesis.docx").read_bytes() == b"words"


@pytest.mark.plugins("zoo-vae")
def test_a_picture_is_not_overwritten_by_its_reconstruction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(main, ["sample", "vae-mlp-mnist", "-n", "1", "-o", "a.png"]).exit_code == 0
    before = Path("a.png").read_bytes()
    Path("link.png").symlink_to("a.png")
    for out in ("a.png", "./a.png", str(tmp_path / "a.png"), "link.png"):
        result = runner.invoke(main, ["reconstruct", "vae-mlp-mnist", "a.png", "-o", out])
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "is one of the pictures; choose another name" in result.stderr
    assert Path("a.png").read_bytes() == before


def test_the_lock_is_held_by_one_of_two_threads(tmp_path):
    """Also within one process, as in a notebook."""
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with held_alone(tmp_path / ".lock", ZooError):
            entered.set()
            leave.wait()

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    try:
        with pytest.raises(ZooError, match="process"), held_alone(tmp_path / ".lock", ZooError):
            pass
    finally:
        leave.set()
        other.join()
    with pytest.raises(ModelFolderError), held_alone(tmp_path / ".lock", ZooError):
        raise ModelFolderError("run", "an error in the block is not blamed on the lock")
