"""What a run leaves and says: checkpoints that stay, the film, trackers, warnings, and what `auto` came to mean."""

import io
import json
import re

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from tests.builtin import architecture
from zoo_core import GANSettings
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import SettingsError, TrainingError
from zoo_core.kinds.films import evenly
from zoo_core.training.compilation import resolve_compile
from zoo_core.training.remedies import remedies

SHAPE = (1, 16, 16)


def pictures(count=64):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=generator)
    return TrainingData.from_tensors(samples, torch.arange(count) % 3)


def mlp(kind=None, conditional=False, **settings):
    """The trainer of small MLPs, or another `kind` of it."""
    gan = architecture("vanilla_gan")
    settings = {"steps": 6, "batch_size": 16, "sample_every": 0, "checkpoint_every": 2} | settings
    config = gan.config_class()(
        size=16, latent_size=4, generator_widths=(8,), discriminator_widths=(8,), conditional=conditional, num_classes=3
    )
    return (kind or gan.trainer_class())(config, GANSettings(**settings), SHAPE)


def kept(folder):
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize(("keep", "expected"), [(1, [6]), (2, [4, 6]), (10, [2, 4, 6])])
def test_as_many_checkpoints_stay_as_were_asked_for(keep, expected, tmp_path):
    assert kept(mlp(keep_checkpoints=keep).fit(pictures(), out=tmp_path / "run")) == expected


def test_the_best_checkpoint_by_a_figure_stays(tmp_path):
    best_at = 100

    class Scored(architecture("vanilla_gan").trainer_class()):
        def training_step(self, batch):
            score = abs(self.step + 1 - best_at) / 1.0
            return super().training_step(batch) | {"score": torch.tensor(score)}

    settings = {"steps": 300, "checkpoint_every": 50, "keep_checkpoints": 1, "best_figure": "score"}
    folder = mlp(Scored, **settings).fit(pictures(), out=tmp_path / "run")
    assert kept(folder) == [100, 300]  # the mean of steps 51 to 100 lies nearest


def test_the_film_shows_every_grid_and_rests_on_the_last(tmp_path):
    folder = mlp(sample_every=2).fit(pictures(), out=tmp_path / "run")
    with Image.open(folder / "training.gif") as film, Image.open(folder / "samples.png") as last:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        film.seek(2)
        assert film.info["duration"] == 2000
        difference = np.asarray(film.convert("L")).astype(int) - np.asarray(last)
        assert abs(difference).max() <= 4  # 255 greys


def test_a_long_film_is_thinned_out_evenly_between_its_first_and_last_frame():
    assert evenly(range(250), 3) == [0, 124, 249]
    assert evenly(range(250), 100)[::99] == [0, 249]
    assert evenly(range(2), 100) == [0, 1]


def test_one_grid_makes_no_film(tmp_path):
    folder = mlp(sample_every=6).fit(pictures(), out=tmp_path / "run")
    assert not (folder / "training.gif").exists()


def test_a_conditional_models_grid_has_a_column_for_every_class(tmp_path):
    folder = mlp(conditional=True).fit(pictures(), out=tmp_path / "run")
    with Image.open(folder / "samples.png") as grid:
        assert grid.size == (3 * (16 + 2) + 2, 8 * (16 + 2) + 2)


def test_tensorboard_gets_figures_and_grids_under_the_name_of_the_runs_folder(tmp_path, capfd):
    tracking = pytest.importorskip("accelerate.tracking")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = {"steps": 100, "checkpoint_every": 0, "sample_every": 50}
    folder = mlp(trackers=("tensorboard", "tensorboard"), **settings).fit(pictures(), out=tmp_path / "digits")
    assert capfd.readouterr().out == ""
    assert tracking.TensorBoardTracker.name == "tensorboard"
    (events,) = (folder / "tracking" / "digits").glob("events*")
    logged = accumulator.EventAccumulator(str(events)).Reload()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    scalars = logged.Scalars("loss_d")
    assert [scalar.step for scalar in scalars] == [50, 100]
    assert [scalar.value for scalar in scalars] == pytest.approx([line["loss_d"] for line in lines])
    grids = logged.Images("samples")
    assert [grid.step for grid in grids] == [50, 100]
    with Image.open(io.BytesIO(grids[-1].encoded_image_string)) as grid, Image.open(folder / "samples.png") as last:
        assert np.array_equal(np.asarray(grid.convert("L")), np.asarray(last))


def test_what_a_tracker_prints_stays_off_stdout(tmp_path, capfd, monkeypatch):
    tracking = pytest.importorskip("accelerate.tracking")
    pytest.importorskip("tensorboard")
    for name in ("start", "log", "finish"):
        before = getattr(tracking.TensorBoardTracker, name)

        def loud(self, *args, before=before, name=name, **kwargs):
            print(f"tracker: {name}")
            return before(self, *args, **kwargs)

        monkeypatch.setattr(tracking.TensorBoardTracker, name, loud)
    mlp(steps=2, trackers=("tensorboard",)).fit(pictures(), out=tmp_path / "run")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert [line for line in printed.err.splitlines() if "tracker" in line] == [
        "tracker: start",
        "tracker: log",
        "tracker: finish",
    ]


def test_a_tracker_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"there is no tracker 'tensorbord'; accelerate has .*tensorboard"):
        mlp(trackers=("tensorbord",)).fit(pictures(), out=tmp_path / "run")


def test_collapse_is_noticed_and_said_once(tmp_path, capfd):
    class Collapsed(architecture("vanilla_gan").trainer_class()):
        def training_step(self, batch):
            figures = super().training_step(batch)
            with torch.no_grad():
                self.modules["generator"].layers[0].weight.zero_()
            return figures

    mlp(Collapsed, sample_every=2, ema_decay=0.0).fit(pictures(), out=tmp_path / "run")
    assert capfd.readouterr().err.count("all samples are the same picture: the generator has collapsed; try") == 1


def test_the_advice_names_only_settings_that_the_trainer_has_and_does_not_use(tmp_path, capfd):
    vae = architecture("vae")

    class Collapsed(vae.trainer_class()):
        def training_step(self, batch):
            with torch.no_grad():
                self.modules["generator"].from_latent.weight.zero_()
            return {}

    settings = Collapsed.Settings(steps=2, batch_size=16, sample_every=2, ema_decay=0.0, checkpoint_every=0)
    Collapsed(vae.config_class()(size=16, widths=(8,)), settings, SHAPE).fit(pictures(), out=tmp_path / "run")
    assert "has collapsed; try another seed or a lower learning_rate\n" in capfd.readouterr().err
    for settings in (GANSettings(), GANSettings(r1_gamma=1.0), vae.trainer_class().Settings()):
        named = set(re.findall(r"--set (\w+)=", remedies(settings, "another seed")))
        assert named <= set(settings.__struct_fields__)
        assert all(not getattr(settings, field) for field in named)


def test_a_discriminator_that_has_won_is_noticed_and_said(tmp_path, capfd):
    class Won(architecture("vanilla_gan").trainer_class()):
        def training_step(self, batch):
            return super().training_step(batch) | {"loss_d": torch.tensor(1e-6)}

    mlp(Won).fit(pictures(), out=tmp_path / "run")
    assert "step 6: the discriminator's loss is at zero" in capfd.readouterr().err


def test_every_auto_is_resolved_and_recorded(tmp_path):
    folder = mlp().fit(pictures(), out=tmp_path / "run")
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert "auto" not in settings.values()
    assert settings["compile"] in ("on", "off")


def test_15_a_resumed_run_keeps_what_auto_meant_when_it_was_begun(tmp_path):
    """What was not written by hand is held too: another machine may not change the run."""
    folder = mlp(steps=2, precision="bf16", compile="off").fit(pictures(), out=tmp_path / "run")
    resumed = mlp(steps=4, precision="auto", compile="auto")
    resumed.fit(pictures(), out=folder, resume=True)
    assert resumed.settings.precision == "bf16"
    assert resumed.settings.compile == "off"


def test_the_length_of_a_scheduled_run_may_not_change(tmp_path):
    mlp(steps=2, schedule="cosine").fit(pictures(), out=tmp_path / "run")
    with pytest.raises(TrainingError, match="steps was 2 and is now 4"):
        mlp(steps=4, schedule="cosine").fit(pictures(), out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(("setting", "expected"), [("on", True), ("off", False), ("auto", False)])
def test_compiling_is_off_on_a_cpu_unless_it_is_asked_for(setting, expected):
    def never(steps):
        raise AssertionError("no step need be timed")

    assert resolve_compile(mlp(compile=setting), never) is expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself, in another way in each version
def test_a_compiled_run_is_the_eager_one_within_rounding_and_resumes_bit_for_bit(tmp_path):
    def dcgan(steps, compile):
        gan = architecture("dcgan")
        config = gan.config_class()(size=16, channels=1, width=4, latent_size=4, discriminator_norm="none")
        settings = GANSettings(
            steps=steps, batch_size=16, sample_every=0, compile=compile, r1_gamma=1.0, r1_every=2, device="cpu"
        )
        return gan.trainer_class()(config, settings, SHAPE)

    figures = {}
    for choice in ("off", "on"):
        folder = dcgan(4, choice).fit(pictures(), out=tmp_path / choice)
        figures[choice] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
        del figures[choice]["images_per_second"]
    assert figures["on"] == pytest.approx(figures["off"], rel=1e-3, abs=1e-4)
    for steps in (2, 4):
        dcgan(steps, "on").fit(pictures(), out=tmp_path / "again", resume=True)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "on" / "model.safetensors"
    ).read_bytes()


def test_settings_are_written_out_in_full(tmp_path):
    folder = mlp(r1_gamma=0.5, updates="simultaneous").fit(pictures(), out=tmp_path / "run")
    written = json.loads((folder / "run.json").read_text())["settings"]
    assert set(written) == set(msgspec.to_builtins(GANSettings()))
    assert (written["r1_gamma"], written["updates"]) == (0.5, "simultaneous")
