"""`zoo info` of a folder, a training run and a repository; and what a name that is none of them is told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo_core as zoo
from tests.builtin import architecture
from tests.hub import Hub
from tests.hub_models import BUNDLED, REPO, blobs, fails, put, read, succeeds
from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, UnknownModelError

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def facts(*arguments) -> dict[str, str]:
    return dict(re.split(r"  +", line, maxsplit=1) for line in succeeds(run("info", *arguments)))


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Path:
    """A finished run of two steps, with a checkpoint."""
    import torch

    monkeypatch.chdir(tmp_path)
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=8, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    data = TrainingData.from_tensors(torch.zeros(8, 1, 8, 8, dtype=torch.uint8), name="squares")
    settings = zoo.GANSettings(steps=2, batch_size=4, sample_every=0, checkpoint_every=2)
    gan.trainer_class()(config, settings, (1, 8, 8)).fit(data, out=tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_shown_with_its_model_its_settings_and_its_data(trained):
    shown = facts("./run")
    assert shown["architecture"] == "vanilla_gan"
    assert "latent_size 4" in shown["configuration"]
    assert shown["run"] == "finished, newest checkpoint at step 2 of 2"
    assert shown["settings"].startswith("steps 2, batch_size 4, ")
    assert shown["data"].startswith("squares, 8 samples")
    assert shown["sample"] == "1 x 8 x 8"
    assert shown["model.safetensors"] == f"{(trained / 'model.safetensors').stat().st_size:,} bytes"


def test_a_run_without_a_model_yet_is_shown_and_cannot_be_sampled(trained):
    for name in ("config.json", "model.safetensors"):
        (trained / name).unlink()
    record = json.loads((trained / "run.json").read_text())
    (trained / "run.json").write_text(json.dumps(record | {"finished": False}))
    shown = facts("./run")
    assert shown["run"] == "not finished, newest checkpoint at step 2 of 2"
    assert "latent_size 4" in shown["configuration"]
    assert "weights" not in shown
    fails(run("sample", "./run"), "it has no config.json; it is a training run without a model yet")
    shutil.rmtree(trained / "checkpoints")
    assert facts("./run")["run"] == "not finished, no checkpoint yet of 2 steps"


def test_a_run_as_json_holds_every_fact(trained):
    found = json.loads(run("info", "./run", "--json").stdout)
    assert (found["architecture"], found["installed"], found["checkpoint"]) == ("vanilla_gan", True, 2)
    assert found["config"]["latent_size"] == 4
    assert found["run"]["settings"]["steps"] == 2
    assert found["weights"]["dtypes"] == ["F32"]


@pytest.mark.plugins("zoo-vae")
def test_a_model_folder_is_shown_as_it_is():
    shown = facts(BUNDLED)
    assert "latent_size 24" in shown["configuration"]
    assert "run" not in shown


@pytest.mark.plugins("zoo-vae")
def test_the_entry_of_a_model_on_this_machine_is_shown_with_its_configuration():
    assert "latent_size 24" in facts("vae-mnist")["configuration"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("other.txt", "x", "is neither a model nor a training run: it has no config.json and no run.json"),
        ("config.json", "{", "config.json"),
        ("run.json", "{}", "run.json: is not the record of a training run"),
    ],
)
def test_a_folder_of_something_else_is_told(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    fails(run("info", tmp_path), reason)


@pytest.mark.plugins("zoo-vae")
@pytest.mark.parametrize("revision", ["", "@main"])
def test_a_repository_is_shown_and_only_its_configuration_downloaded(
    hub: Hub, without_xet: None, hub_home: Path, command, revision
):
    put(hub, read(BUNDLED))
    shown = succeeds(command("info", f"hf://{REPO}{revision}"))
    assert any(line.startswith("configuration") and "latent_size 24" in line for line in shown)
    assert any(line.startswith("weights") and "zoo pull" in line for line in shown)
    assert [path.stat().st_size for path in blobs(hub_home)] == [(BUNDLED / "config.json").stat().st_size]
    succeeds(command("pull", f"hf://{REPO}"))
    found = json.loads(command("info", f"hf://{REPO}{revision}", "--json").stdout)
    assert found["weights"]["tensors"] > 0


def test_a_repository_that_there_is_not_is_told(hub: Hub, command):
    fails(command("info", "hf://nobody/nothing"), "nobody/nothing")


# Names that are something else


@pytest.mark.parametrize("name", ["alice/digits", "alice/digits@v1"])
@pytest.mark.parametrize("command", ["pull", "info", "sample"])
def test_a_repository_without_its_scheme_is_told_how_it_is_written(tmp_path, monkeypatch, name, command):
    monkeypatch.chdir(tmp_path)
    fails(run(command, name), f"there is no such folder; a repository on the Hub is written hf://{name}")


def test_the_page_of_a_repository_is_told_how_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "https://huggingface.co/alice/digits/tree/v1"
    fails(run("pull", page), "written hf://alice/digits@v1")
    with pytest.raises(ModelFolderError, match=r"written hf://alice/digits$"):
        zoo.load("alice/digits")


def test_a_folder_of_that_name_is_used_and_one_without_a_slash_told(tmp_path, monkeypatch, trained):
    (tmp_path / "alice").mkdir()
    shutil.copytree(trained, tmp_path / "alice" / "digits")
    assert facts("alice/digits")["architecture"] == "vanilla_gan"
    fails(run("sample", "run"), "there is no model named 'run'; the folder of that name is ./run")
    with pytest.raises(UnknownModelError, match=r"the folder of that name is \./run"):
        zoo.load("run")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (
            "https://example.com/registry.yaml",
            "give a file on this machine, or a repository on the Hub as hf://user/repo",
        ),
        ("s3://bucket/registry.yaml", "cannot be read as a registry"),
        ("https://huggingface.co/alice/team", "a repository on the Hub as hf://alice/team"),
        ("alice/team", "there is no such file; a repository on the Hub is written hf://user/repo"),
        (".", "is a folder; give the registry.yaml in it"),
    ],
)
def test_a_place_that_no_registry_is_read_from_is_told_what_is(tmp_path, monkeypatch, place, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    fails(run("registry", "add", place), reason)
    assert not (tmp_path / "config").exists()
