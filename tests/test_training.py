"""The training loop: resuming, stopping, averaging, and what it refuses."""

import json
import os
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import Batch, GANSettings
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, DeviceError, InterfaceError, OutputError, PluginError, TrainingError
from zoo_core.training.gan import frozen
from zoo_core.training.loop import prepare


def pictures(size=16, count=64):
    """Random 8-bit pictures; what they show does not matter here."""
    generator = torch.Generator().manual_seed(1)
    return TrainingData.from_tensors(
        torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)
    )


def dcgan(**settings):
    settings = {"steps": 6, "batch_size": 16, "sample_every": 0, "checkpoint_every": 2} | settings
    gan = architecture("dcgan")
    config = gan.config_class()(size=16, channels=1, width=4, latent_size=4)
    return gan.trainer_class()(config, GANSettings(**settings), (1, 16, 16))


def mlp(**settings):
    settings = {"steps": 6, "batch_size": 16, "sample_every": 0, "checkpoint_every": 2} | settings
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=16, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    return gan.trainer_class()(config, GANSettings(**settings), (1, 16, 16))


def vae(**settings):
    settings = {"steps": 6, "batch_size": 16, "sample_every": 0, "checkpoint_every": 2} | settings
    vae = architecture("vae")
    trainer = vae.trainer_class()
    return trainer(vae.config_class()(size=16, latent_size=4, widths=(8,)), trainer.Settings(**settings), (1, 16, 16))


def finished_bytes(folder):
    names = ("config.json", "model.safetensors", "README.md", "samples.png")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("trainer", [dcgan, mlp, vae])
def test_a_run_ends_with_a_model_that_loads_and_samples(trainer, tmp_path):
    folder = trainer().fit(pictures(), out=tmp_path / "run")
    assert zoo.load(folder).sample(3).shape == (3, 1, 16, 16)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-00000004", "step-00000006"}
    figures = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert figures[-1]["step"] == 6
    assert figures[-1]["images_per_second"] > 0


@pytest.mark.parametrize("trainer", [dcgan, mlp, vae])
def test_the_finished_model_is_the_same_byte_for_byte(trainer, tmp_path):
    runs = [trainer().fit(pictures(), out=tmp_path / name / "run") for name in ("first", "second")]
    assert finished_bytes(runs[0]) == finished_bytes(runs[1])


def test_another_seed_makes_another_model(tmp_path):
    first = mlp(seed=0).fit(pictures(), out=tmp_path / "a")
    second = mlp(seed=1).fit(pictures(), out=tmp_path / "b")
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


def test_a_resumed_run_continues_its_log(tmp_path):
    out = tmp_path / "run"
    mlp(steps=50, checkpoint_every=0).fit(pictures(), out=out)
    mlp(steps=120, checkpoint_every=0).fit(pictures(), out=out, resume=True)
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [50, 100, 120]


def test_15_changed_settings_are_refused_on_resume_and_shown(tmp_path):
    mlp(steps=2).fit(pictures(), out=tmp_path / "run")
    with pytest.raises(TrainingError, match=r"settings\.learning_rate was 0\.0002 and is now 0\.001"):
        mlp(steps=4, learning_rate=1e-3).fit(pictures(), out=tmp_path / "run", resume=True)


def test_other_data_is_refused_on_resume(tmp_path):
    mlp(steps=2).fit(pictures(), out=tmp_path / "run")
    with pytest.raises(TrainingError, match=r"data\.sha256"):
        mlp(steps=4).fit(pictures(count=63), out=tmp_path / "run", resume=True)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    folder = mlp().fit(pictures(), out=tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert mlp().fit(pictures(), out=folder, resume=True) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_is_not_started_over_another(tmp_path):
    folder = mlp().fit(pictures(), out=tmp_path / "run")
    with pytest.raises(TrainingError, match="use --resume to continue it"):
        mlp().fit(pictures(), out=folder)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(TrainingError, match="is not an empty folder and holds no training run"):
        mlp().fit(pictures(), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_checkpoint_whose_figure_is_no_number_is_not_taken_for_the_best(tmp_path):
    out = tmp_path / "run"
    mlp(steps=2).fit(pictures(), out=out)
    file = out / "checkpoints" / "step-00000002" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"figure": "best"}))
    (out / "checkpoints" / "step-00000001").mkdir()
    (out / "checkpoints" / "step-00000001" / "state.json").write_text("[]")
    mlp(steps=6, best_figure="loss_d", keep_checkpoints=1).fit(pictures(), out=out, resume=True)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000006"]


def test_the_switches_of_tf32_are_left_as_they_were(tmp_path):
    """Set in `build` here, since `prepare` sets them only for a CUDA device."""

    class Switching(architecture("vanilla_gan").trainer_class()):
        def build(self):
            super().build()
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not before

    before = torch.backends.cuda.matmul.allow_tf32
    also = torch.backends.cudnn.allow_tf32
    Switching(mlp().config, mlp(steps=1).settings, (1, 16, 16)).fit(pictures(), out=tmp_path / "run")
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (before, also)


def test_pictures_for_a_model_of_something_else_are_refused(tmp_path):
    trainer = mlp()
    trainer.sample_shape = (2,)
    with pytest.raises(DataError, match=r"is read as pictures, but the model makes \(2,\); pass a tensor"):
        trainer.fit(tmp_path / "photos", out=tmp_path / "run")


def test_a_run_in_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="run cannot be written: Not a directory"):
        mlp().fit(pictures(), out=tmp_path / "file" / "run")


def test_ctrl_c_ends_the_step_and_leaves_a_checkpoint_that_resumes(tmp_path):
    out = tmp_path / "run"
    trainer = mlp(steps=1_000_000, checkpoint_every=0)
    before = signal.getsignal(signal.SIGINT)

    def interrupt():
        while trainer.step < 5:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(TrainingError, match=r"stopped at step \d+ of 1000000; use --resume"):
        trainer.fit(pictures(), out=out)
    watcher.join()
    assert (out / "checkpoints" / f"step-{trainer.step:08d}" / "state.json").exists()
    assert not (out / "config.json").exists()
    assert signal.getsignal(signal.SIGINT) is before
    resumed = mlp(steps=trainer.step + 2, checkpoint_every=0)
    assert zoo.load(resumed.fit(pictures(), out=out, resume=True)).sample(1).shape == (1, 1, 16, 16)


def test_data_of_another_shape_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has samples of \(1, 8, 8\), but the model makes \(1, 16, 16\)"):
        mlp().fit(pictures(size=8), out=tmp_path / "run")


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DeviceError):
        mlp(device="cuda:99").fit(pictures(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_generator_that_no_plugin_registers_is_refused_before_training(tmp_path):
    class Stranger(type(mlp_networks()["generator"])):
        pass

    class StrangerTrainer(architecture("vanilla_gan").trainer_class()):
        def build(self):
            super().build()
            self.modules["generator"] = Stranger(self.config)

    with pytest.raises(PluginError, match="Stranger"):
        StrangerTrainer(mlp().config, mlp().settings, (1, 16, 16)).fit(pictures(), out=tmp_path / "run")


def test_a_build_that_forgets_the_generator_is_named(tmp_path):
    class Forgetful(architecture("vanilla_gan").trainer_class()):
        def build(self):
            self.modules, self.optimizers = {}, {}

    with pytest.raises(InterfaceError, match=r"Forgetful\.build did not set self\.modules\['generator'\]"):
        Forgetful(mlp().config, mlp().settings, (1, 16, 16)).fit(pictures(), out=tmp_path / "run")


def mlp_networks(trainer=None):
    trainer = trainer or mlp()
    prepare(trainer)
    return trainer.modules


def one_batch():
    return Batch(torch.rand(16, 1, 16, 16) * 2 - 1)


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_every_step_moves_both_networks():
    trainer = dcgan()
    prepare(trainer)
    before = {name: weights(module) for name, module in trainer.modules.items()}
    trainer.training_step(one_batch())
    for name, module in trainer.modules.items():
        unmoved = [i for i, (a, b) in enumerate(zip(before[name], weights(module), strict=True)) if torch.equal(a, b)]
        assert unmoved == [], name


def test_frozen_gives_back_only_what_it_took():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        assert not layer.weight.requires_grad
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_a_stale_low_precision_copy_of_the_weights_is_not_used_after_an_update():
    """Autocast caches bfloat16 weights inside its block; D's step must empty the cache before G's step."""
    trainer = mlp(precision="bf16")
    prepare(trainer)
    layer = trainer.modules["discriminator"].layers[0]
    x = torch.randn(4, 256)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        trainer.update("discriminator", before.float().square().mean() * 100)
        with torch.no_grad():
            layer.weight.mul_(0)
            layer.bias.mul_(0)
        assert layer(x).abs().max() == 0


def test_the_minimax_game_can_be_chosen_and_differs(tmp_path):
    standard = mlp().fit(pictures(), out=tmp_path / "a")
    minimax = mlp(loss="minimax").fit(pictures(), out=tmp_path / "b")
    assert (standard / "model.safetensors").read_bytes() != (minimax / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="loss"):
        mlp(loss="wasserstein-squared")


def test_07_the_averaged_weights_are_what_is_saved(tmp_path):
    averaged = mlp(ema_decay=0.9).fit(pictures(), out=tmp_path / "a")
    plain = mlp(ema_decay=0.0).fit(pictures(), out=tmp_path / "b")
    state = load_file(plain / "checkpoints" / "step-00000006" / "tensors.safetensors")
    for key, value in load_file(plain / "model.safetensors").items():
        assert torch.equal(value, state[f"modules.generator.{key}"])
    state = load_file(averaged / "checkpoints" / "step-00000006" / "tensors.safetensors")
    for key, value in load_file(averaged / "model.safetensors").items():
        assert torch.equal(value, state[f"average.{key}"])
        assert not torch.equal(value, state[f"modules.generator.{key}"])


def test_no_pickle_is_written(tmp_path):
    folder = dcgan().fit(pictures(), out=tmp_path / "run")
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".jsonl", ".safetensors", ".md", ".png"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains_and_keeps_its_master_weights(precision, tmp_path):
    folder = dcgan(precision=precision).fit(pictures(), out=tmp_path / "run")
    assert {
        tensor.dtype for key, tensor in load_file(folder / "model.safetensors").items() if "tracked" not in key
    } == {torch.float32}


def test_a_tensor_in_the_models_range_is_trained_on_as_it_is(tmp_path):
    samples = torch.rand(32, 1, 16, 16) * 2 - 1
    assert (mlp().fit(samples, out=tmp_path / "run") / "model.safetensors").exists()


@pytest.mark.cuda
@pytest.mark.parametrize("trainer", [dcgan, mlp, vae])
def test_training_on_cuda_ends_with_a_model(trainer, tmp_path):
    folder = trainer(device="cuda", precision="auto").fit(pictures(), out=tmp_path / "run")
    assert torch.isfinite(zoo.load(folder, device="cuda").sample(4)).all()
