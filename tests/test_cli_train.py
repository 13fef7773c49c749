"""`zoo train`: what the user writes becomes a configuration and settings, and a run ends with a model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, RegistryError, SettingsError, TrainingError, UnknownArchitectureError
from zoo_core.plugins import manager
from zoo_core.training.setup import prepare_training

pytestmark = pytest.mark.plugins("zoo-vanilla-gan")

MNIST = Path(__file__).parent / "data" / "mnist"
TINY = {"generator_widths": "8", "discriminator_widths": "8,4", "latent_size": "4"}
TINY_SETS = [part for key, value in TINY.items() for part in ("--set", f"model.{key}={value}")]
SHORT = ["--steps", 4, "--set", "batch_size=16", "--set", "sample_every=0", "--device", "cpu"]


def prepare(*assignments, architecture="vanilla_gan", **options):
    return prepare_training(architecture, MNIST, assignments=assignments, **options)[0]


def config_file(tmp_path, text):
    file = tmp_path / "training.yaml"
    file.write_text(text)
    return file


# From words to a configuration


def test_defaults_are_the_classes_own_and_the_shape_is_the_datas():
    trainer, data = prepare_training("vanilla_gan", MNIST)
    assert trainer.settings == type(trainer).Settings()
    assert trainer.config == type(trainer.config)(size=28, channels=1)
    assert trainer.sample_shape == data.sample_shape == (1, 28, 28)


@pytest.mark.plugins("zoo-dcgan")
def test_dcgan_takes_the_next_power_of_two_and_the_data_follows():
    trainer, data = prepare_training("dcgan", MNIST)
    assert trainer.config.size == 32
    assert data.sample_shape == (1, 32, 32)
    assert "512 were resized to 32 x 32 (bicubic)" in data.notes


def test_a_size_and_channels_that_are_given_win_over_the_data():
    trainer, data = prepare_training("vanilla_gan", MNIST, assignments=["model.size=12", "model.channels=3"])
    assert trainer.config.size == 12
    assert data.sample_shape == (3, 12, 12)


def test_an_assignment_is_parsed_by_the_type_of_its_field():
    trainer = prepare(
        "steps=2000", "learning_rate=1e-3", "betas=0.5, 0.9", "model.generator_widths=64,32", "loss=minimax"
    )
    settings = trainer.settings
    assert (settings.steps, settings.learning_rate, settings.betas, settings.loss) == (
        2000,
        1e-3,
        (0.5, 0.9),
        "minimax",
    )
    assert trainer.config.generator_widths == (64, 32)


def test_a_list_of_one_needs_no_comma_and_brackets_are_allowed():
    assert prepare("model.generator_widths=64").config.generator_widths == (64,)
    assert prepare("model.generator_widths=[64, 32]").config.generator_widths == (64, 32)


def test_a_file_gives_way_to_assignments_and_a_later_assignment_wins(tmp_path):
    file = config_file(tmp_path, "steps: 100\nseed: 7\nmodel: {size: 8, latent_size: 4}\n")
    trainer = prepare("steps=200", "steps=300", "model.latent_size=5", config_file=file)
    assert (trainer.settings.steps, trainer.settings.seed) == (300, 7)
    assert (trainer.config.size, trainer.config.latent_size) == (8, 5)


def test_a_file_of_comments_alone_changes_nothing(tmp_path):
    assert prepare(config_file=config_file(tmp_path, "# steps: 5\n")).settings == prepare().settings


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("stepz=5", r"^stepz: there is no such field; did you mean steps\?$"),
        ("model.sise=5", r"^model\.sise: there is no such field; did you mean size\?$"),
        ("steps=0", r"^steps: Expected `int` >= 1$"),
        ("steps=many", r"^steps: Expected `int`"),
        ("betas=0.5", r"^betas: Expected `array` of length 2"),
        ("betas=0.5,1.5", r"^betas: Expected `float` < 1"),
        ("learning_rate=inf", r"^learning_rate: Expected a finite number"),
        ("model.size=100000", r"^model\.size: Expected `int` <= 256"),
        ("model.channels=2", r"^model\.channels: "),
        ("steps", r"^--set steps: write key=value$"),
        ("=5", r"^--set =5: write key=value$"),
    ],
)
def test_a_wrong_assignment_is_one_line_that_names_the_field(assignment, problem):
    with pytest.raises(SettingsError, match=problem) as caught:
        prepare(assignment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("seed: 1\nsteps: none\n", 2, "steps"),
        ("seed: 1\nstepz: 5\n", 2, "stepz"),
        ("model:\n  size: 0\n", 2, "model.size"),
        ("model:\n  sise: 8\n", 2, "model.sise"),
        ("model: 5\n", 1, "model"),
        ("betas: [0.5, 2]\n", 1, "betas.1"),
        ("- steps\n", 1, None),
        ("steps: 1\nsteps: 2\n", 2, "steps"),
    ],
)
def test_a_wrong_file_is_told_with_its_line_and_field(tmp_path, text, line, field):
    file = config_file(tmp_path, text)
    with pytest.raises(RegistryError) as caught:
        prepare(config_file=file)
    assert (caught.value.file, caught.value.line, caught.value.field) == (file, line, field)


def test_a_missing_file_or_data_or_architecture_is_told(tmp_path):
    with pytest.raises(RegistryError, match="No such file"):
        prepare(config_file=tmp_path / "none.yaml")
    with pytest.raises(DataError, match="there is no file or folder"):
        prepare_training("vanilla_gan", tmp_path / "none")
    with pytest.raises(UnknownArchitectureError, match="did you mean vanilla_gan"):
        prepare(architecture="vanila_gan")


def test_an_architecture_without_a_trainer_is_told(monkeypatch):
    from zoo_core.interfaces import Architecture

    monkeypatch.setattr(Architecture, "trainer_class", lambda self: None)
    with pytest.raises(TrainingError, match=r"^vanilla_gan cannot be trained: its plugin has no trainer for it$"):
        prepare()


# The command


def test_a_run_prints_its_folder_states_its_conversions_and_can_be_sampled(zoo, tmp_path):
    result = zoo("train", "vanilla_gan", "--data", MNIST, "--out", "run", "--size", 12, *SHORT, *TINY_SETS)
    assert (result.returncode, result.stdout) == (0, "run\n")
    found, planned, *done, gathered = result.stderr.splitlines()
    assert found == (
        f"512 pictures in 10 classes (0, 1, 2, 3, 4, 5, 6, 7, …) from the folder {MNIST}; split train of train, test"
    )
    assert planned.startswith(
        "512 pictures of 12 x 12 (image column 'image', label column 'label') take 73.7 kB of memory"
    )
    assert done == ["512 grey pictures of 12 x 12", "512 were resized to 12 x 12 (bicubic)"]
    assert gathered.startswith("batches are gathered from")
    stated = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stated["sample_shape"] == [1, 12, 12]
    assert stated["config"]["discriminator_widths"] == [8, 4]
    assert zoo("sample", "./run", "-n", 1).stdout == "run.png\n"


def test_shorthands_are_the_settings_of_those_names(tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "vanilla_gan", "--data", MNIST, "--out", out, *SHORT, *TINY_SETS,
                 "--seed", 5, "--precision", "bf16", "--channels", 3]  # fmt: skip
    assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    run = json.loads((out / "run.json").read_text())
    assert (run["settings"]["seed"], run["settings"]["precision"], run["settings"]["steps"]) == (5, "bf16", 4)
    assert (run["model"]["channels"], run["model"]["size"]) == (3, 28)


def test_resume_starts_where_nothing_is_goes_on_and_leaves_a_finished_run(tmp_path):
    out = tmp_path / "run"

    def train(*more):
        arguments = ["train", "vanilla_gan", "--data", MNIST, "--out", out, *SHORT, *TINY_SETS, *more]
        return CliRunner().invoke(main, list(map(str, arguments)))

    assert train("--resume").exit_code == 0
    assert train("--resume").stdout == f"{out}\n"
    assert train("--resume", "--steps", 6).exit_code == 0
    again = train()
    assert (again.exit_code, again.stdout) == (1, "")
    assert "use --resume to continue it" in again.stderr
    changed = train("--resume", "--seed", 9)
    assert changed.exit_code == 1
    assert "settings.seed was 0 and is now 9" in changed.stderr


def test_a_trained_run_is_repeated_from_a_file(tmp_path):
    text = "steps: 4\nbatch_size: 16\nsample_every: 0\ndevice: cpu\nmodel:\n  size: 8\n  latent_size: 4\n"
    file = config_file(tmp_path, text + "  generator_widths: [8]\n  discriminator_widths: [8]\n")
    for name in ("first", "second"):
        arguments = ["train", "vanilla_gan", "--data", MNIST, "--out", tmp_path / name, "--config", file]
        assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_wrong_setting_is_one_line_on_stderr(zoo, tmp_path):
    result = zoo("train", "vanilla_gan", "--data", MNIST, "--out", "run", "--set", "stepz=5")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "zoo: stepz: there is no such field; did you mean steps?\n"
    assert not (tmp_path / "run").exists()


@pytest.fixture
def without_the_extra(tmp_path):
    """An environment in which neither `datasets` nor pyarrow can be imported."""
    for name in ("datasets", "pyarrow"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('there is no {name}')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}


@pytest.mark.parametrize(
    ("data", "purpose"),
    [(MNIST, "reading Parquet files"), ("user/name", "user/name is no file or folder here, and a data set of the Hub")],
)
def test_a_missing_extra_is_named(zoo, data, purpose, without_the_extra):
    result = zoo("train", "vanilla_gan", "--data", data, "--out", "run", env=without_the_extra)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"zoo: {purpose} needs the extra 'train': pip install 'zoo-core[train]'\n"


def pictures(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_a_folder_of_pictures_needs_no_extra_and_its_counts_are_told(zoo, tmp_path, without_the_extra):
    folder = pictures(tmp_path / "pets", *(f"{name}/{n}.png" for name in ("train", "ship") for n in range(8)), "a.png")
    (folder / "train" / "1.txt").write_text("a train")
    result = zoo(
        "train",
        "vanilla_gan",
        "--data",
        folder,
        "--out",
        "run",
        *SHORT,
        *TINY_SETS,
        env=without_the_extra,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[:3] == [
        f"16 pictures in 2 classes (ship, train) from the folder {folder}",
        "1 file is no picture and is not used: 1 .txt",
        "1 picture left out: a.png lies beside the folders of the classes, and in none",
    ]


def test_damaged_pictures_stop_a_run_unless_they_are_skipped(tmp_path):
    folder = pictures(tmp_path / "pets", *(f"cat/{number}.png" for number in range(17)))
    (folder / "cat" / "3.png").write_bytes(b"")

    def train(*more):
        arguments = ["train", "vanilla_gan", "--data", folder, "--out", tmp_path / "run", *SHORT, *TINY_SETS, *more]
        return CliRunner().invoke(main, list(map(str, arguments)))

    stopped = train()
    assert (stopped.exit_code, stopped.stderr) == (
        1, "zoo: pets/cat/3.png: the picture cannot be decoded: it is empty (--skip-damaged leaves such out)\n",
    )  # fmt: skip
    assert not (tmp_path / "run").exists()
    done = train("--skip-damaged")
    assert done.exit_code == 0, done.stderr
    assert "1 of 17 pictures is damaged and left out: pets/cat/3.png" in done.stderr.splitlines()


def test_a_trainer_may_read_its_data_itself(tmp_path, monkeypatch):
    trainer_class = manager().architecture("vanilla_gan").trainer_class()
    asked = []

    def read_data(cls, source, config_class, values):
        asked.append((source, config_class.__name__, values))
        return TrainingData.from_tensors(torch.zeros(20, 1, 8, 8), name="zeros", notes=["20 times nothing"])

    monkeypatch.setattr(trainer_class, "read_data", classmethod(read_data))
    told = []
    trainer, data = prepare_training("vanilla_gan", "anything", assignments=["model.latent_size=3"], tell=told.append)
    assert asked == [("anything", "VanillaGANConfig", {"latent_size": 3})]
    assert (data.name, trainer.sample_shape, trainer.config.size) == ("zeros", (1, 8, 8), 8)
    assert told == ["20 times nothing"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on(zoo, tmp_path):
    arguments = ["train", "vanilla_gan", "--data", str(MNIST), "--out", "run", *map(str, SHORT), *TINY_SETS]
    endless = [*arguments, "--steps", "100000000", "--set", "checkpoint_every=0"]
    command = [sys.executable, "-m", "zoo_core", *endless]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, "")
    assert "use --resume to continue from there" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    steps = int(checkpoint.name.removeprefix("step-")) + 2
    assert zoo(*arguments, "--steps", steps, "--set", "checkpoint_every=0", "--resume").stdout == "run\n"


@pytest.mark.plugins("zoo-vae")
def test_settings_of_a_plugin_can_be_set():
    trainer = prepare("beta=4", architecture="vae")
    assert msgspec.structs.asdict(trainer.settings)["beta"] == 4.0


# Names that are no UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 alone")
def test_names_that_are_no_utf8_train_resume_sample_and_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, out = os.fsdecode(b"bilder\xe9"), os.fsdecode(b"out\xe9")
    for label in (b"h\xfcte", b"m\xfctzen"):
        folder = Path(data) / os.fsdecode(label)
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8), 30 * number).save(folder / os.fsdecode(b"\xe4%d.png" % number))
    ascii_terminal = CliRunner(charset="ascii")

    def run(*arguments):
        result = ascii_terminal.invoke(main, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result

    once = ["train", "vanilla_gan", "--data", data, "--out", out, *TINY_SETS, *SHORT, "--set", "checkpoint_every=2"]
    trained = run(*once)
    assert trained.stdout_bytes == b"out\xe9\n"
    assert r"from the folder bilder\xe9" in trained.stderr
    assert json.loads(Path(out, "run.json").read_bytes())["data"]["name"] == r"bilder\xe9"
    assert r"bilder\xe9" in Path(out, "README.md").read_text("utf-8")
    Path(out, "run.json").write_bytes(
        Path(out, "run.json").read_bytes().replace(b'"finished": true', b'"finished": false')
    )
    assert run(*once, "--resume").stdout_bytes == b"out\xe9\n"
    assert run("sample", Path.cwd() / out, "-n", 2, "-o", f"{out}.png").stdout_bytes == b"out\xe9.png\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 alone")
def test_a_damaged_picture_and_a_folder_that_is_not_there_are_named_whatever_their_bytes(tmp_path):
    folder = tmp_path / os.fsdecode(b"bilder\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xe4.png")).write_bytes(b"no picture")
    for data, message in (
        (folder, r"bilder\xe9/\xe4.png: the picture cannot be decoded"),
        (f"{folder}x", r"bilder\xe9x"),
    ):
        with pytest.raises(DataError) as refused:
            prepare_training("vanilla_gan", data)
        assert message in str(refused.value)
        str(refused.value).encode("ascii")
