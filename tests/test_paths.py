"""Paths that a user gives: a `~` is the home folder in every command and call, and stays one whoever passes it on."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core.cli import main
from zoo_core.errors import RegistryError, ZooError
from zoo_core.files.paths import user_path
from zoo_core.kinds.output import write_samples
from zoo_core.metrics import FeatureStatistics, RunningStatistics
from zoo_core.registries.sources import sources

MNIST = Path(__file__).parent / "data" / "mnist"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and a working folder beside it that must stay free of `~`."""
    folder, work = tmp_path / "home", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(work)
    yield folder
    assert not any(work.glob("~*"))


@pytest.fixture
def model(home):
    """A small model, ~/mine."""
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    return gan.generator_class()(config).save("~/mine")


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def training(out, *more):
    tiny = ["model.generator_widths=8", "model.discriminator_widths=8", "model.latent_size=4", "model.size=8"]
    settings = [*tiny, "steps=1", "batch_size=4", "sample_every=0", "device=cpu"]
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["train", "vanilla_gan", "--data", MNIST, f"--out={out}", *sets, *more]


# The one function


def test_a_tilde_is_the_home_folder_and_nothing_else_changes(home):
    assert user_path("~") == home
    assert user_path("~/runs/x") == user_path(Path("~/runs/x")) == home / "runs" / "x"
    assert user_path("runs/~") == Path("runs/~")
    assert user_path("a~") == Path("a~")


@pytest.mark.parametrize("name", ["./~", "./~/x", "./~nobody", ".//~"])
def test_a_folder_that_is_really_called_tilde_is_meant_by_a_dot_before_it_and_stays_meant(home, name):
    once = user_path(name)
    assert once == Path.cwd() / name.removeprefix(".").lstrip("/")
    assert user_path(once) == user_path(str(once)) == once


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "a path is empty"),
        ("a\0b", "NUL character"),
        ("~no-such-user/x", "~no-such-user has no home folder here; write ./~no-such-user/x"),
    ],
)
def test_a_path_that_means_nothing_is_one_clear_line(given, problem):
    with pytest.raises(ZooError, match=problem) as refused:
        user_path(given)
    assert "\n" not in str(refused.value)


# Every command


def test_a_run_in_the_home_folder_is_there_whole_and_a_finished_model_is_not_overwritten(model, home):
    before = {path: path.read_bytes() for path in model.iterdir()}
    refused = run(*training("~/mine"))
    assert refused.exit_code == 1
    assert "choose another --out" in refused.stderr
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    done = run(*training("~/runs/x"))
    assert (done.exit_code, done.stdout) == (0, f"{home / 'runs' / 'x'}\n")
    made = {path.name for path in (home / "runs" / "x").iterdir()}
    assert {"run.json", "log.jsonl", "checkpoints", "config.json", "model.safetensors", "README.md"} <= made


def test_a_training_file_of_the_home_folder_is_read(home):
    (home / "training.yaml").write_text("seed: 7\n")
    assert run(*training("~/run", "--config=~/training.yaml")).exit_code == 0
    assert json.loads((home / "run" / "run.json").read_text())["settings"]["seed"] == 7


@pytest.mark.parametrize("out", ["~/x.png", "~/x.npz", "~/pictures/"])
@pytest.mark.parametrize("option", ["-o{}", "--out={}"])
def test_samples_land_in_the_home_folder(model, home, out, option):
    result = run("sample", "~/mine", "-n", 1, option.format(out))
    assert (result.exit_code, result.stdout) == (0, f"{home / out[2:]}\n")
    assert (home / out[2:]).exists()


@pytest.mark.plugins("zoo-vae")
def test_pictures_of_every_other_command_come_from_the_home_folder_and_land_there(home):
    assert run("sample", "vae-mlp-mnist", "-n", 1, "-o", "~/digit.png").exit_code == 0
    assert run("reconstruct", "vae-mlp-mnist", "~/digit.png", "--out=~/again.png").exit_code == 0
    assert run("traverse", "vae-mlp-mnist", "-n", 1, "--steps", 2, "--out=~/row.png").exit_code == 0
    walk = ["interpolate", "vae-mlp-mnist", "-n", 1, "--through", 2, "--frames", 1]
    assert run(*walk, "--out=~/walk.png").exit_code == 0
    assert {path.name for path in home.glob("*.png")} == {"digit.png", "again.png", "row.png", "walk.png"}


def test_a_measurement_reads_and_writes_in_the_home_folder(model, home):
    assert run("sample", "~/mine", "-n", 4, "-o", "~/pictures/").exit_code == 0
    how = ["-n", 2, "--repeats", 1, "--extractor", "random-vgg"]
    picture = run("eval", "~/mine", "--data", "~/pictures", *how, "--metric=neighbours", "--out=~/near.png")
    assert (picture.exit_code, (home / "near.png").exists()) == (0, True)
    first = run("eval", "~/mine", "--data=~/pictures", *how, "--metric=fid", "--save-statistics=~/facts.safetensors")
    again = run("eval", "~/mine", "--data=~/facts.safetensors", *how, "--metric=fid")
    assert first.exit_code == again.exit_code == 0
    assert again.stdout.split()[:2] == first.stdout.split()[:2]


def test_a_registry_of_the_home_folder_is_checked_and_read(home, monkeypatch):
    (home / "team.yaml").write_text("version: 1\nmodels:\n  ring: {architecture: ring}\n")
    assert run("registry", "check", "~/team.yaml").exit_code == 0
    assert list(zoo.Registry.from_file("~/team.yaml")) == ["ring"]
    monkeypatch.setenv("ZOO_REGISTRY", "~/team.yaml")
    assert [source.file for source in sources(home)] == [home / "team.yaml"]
    monkeypatch.setenv("ZOO_REGISTRY", "~no-such-user/team.yaml")
    with pytest.raises(RegistryError, match="has no home folder here"):
        sources(home)


def test_a_wrong_path_is_wrong_usage_that_names_the_option():
    result = run(*training("~no-such-user/x"))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: Invalid value for '--out': ~no-such-user/x: ")


# Every call


def test_every_call_that_takes_a_path_knows_the_home_folder(model, home):
    trainer = architecture("vanilla_gan").trainer_class()
    settings = trainer.Settings(steps=1, batch_size=4, sample_every=0, device="cpu")
    generator = zoo.load("~/mine")
    run_folder = trainer(generator.config, settings, (1, 8, 8)).fit(zoo.load("~/mine").sample(4), out="~/run")
    assert run_folder == home / "run"
    assert type(generator).load(Path("~/mine")).config == generator.config
    assert write_samples([generator.sample(1)], 1, generator, "~/a.npz") == home / "a.npz"


def test_statistics_are_saved_to_the_home_folder_and_read_from_there(home):
    running = RunningStatistics(count=2, dimensions=1)
    running.add(0, torch.tensor([[1.0], [2.0]]))
    running.finish({"dataset": "ring"}).save("~/ring.safetensors")
    assert FeatureStatistics.load("~/ring.safetensors").facts == {"dataset": "ring"}
