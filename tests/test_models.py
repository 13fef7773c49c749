"""Models by name: what a name stands for, and what is said where it stands for nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo_core as zoo
from tests.builtin import DIGITS, MODELS, bundled_here, every_bundled_model, every_model_of_digits
from zoo_core import catalog, models
from zoo_core.errors import (
    DeviceError,
    DigestError,
    ModelFolderError,
    UnknownArchitectureError,
    UnknownModelError,
    ZooError,
)


@pytest.fixture
def fresh_registry():
    catalog.registry.cache_clear()
    yield
    catalog.registry.cache_clear()


def test_the_bundled_models_are_listed_in_order():
    assert zoo.list_models() == sorted(MODELS)
    assert zoo.list_models("*mnist*") == DIGITS
    assert zoo.list_models("dcgan-*") == ["dcgan-emoji-64", "dcgan-mnist", "dcgan-mnist-conditional"]
    assert zoo.list_models("nothing") == []


@pytest.mark.parametrize("name", every_bundled_model)
def test_every_bundled_model_is_whole_and_is_what_its_entry_says(name):
    entry = zoo.registry()[name]
    folder = zoo.pull(name)
    assert {path.name for path in folder.iterdir()} == set(entry.files)
    generator = zoo.load(name, device="cpu")
    assert tuple(generator.sample_shape) == entry.sample_shape
    assert sum(parameter.numel() for parameter in generator.parameters()) == entry.parameters
    assert entry.license
    assert entry.dataset
    assert entry.training.steps > 0


@pytest.mark.parametrize("name", every_model_of_digits)
def test_bundled_samples_are_digits_not_noise(name):
    """MNIST is mostly black with bright strokes; noise, blanks and one repeated digit are none of it."""
    samples = zoo.load(name, device="cpu").sample(64)
    assert 0.05 < samples.mean() < 0.25
    assert samples.amax((1, 2, 3)).min() > 0.5
    distances = torch.cdist(samples.flatten(1), samples.flatten(1)) + 100 * torch.eye(64)
    assert distances.min() > 1.0


def test_bundled_weights_fit_the_budget():
    total = sum(path.stat().st_size for name in bundled_here() for path in zoo.pull(name).iterdir())
    assert total < 30_000_000


@pytest.mark.plugins("zoo-vae")
def test_a_folder_is_named_by_a_path(tmp_path, monkeypatch):
    shutil.copytree(zoo.pull("vae-mnist"), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("./mine", "mine/", str(tmp_path / "mine"), Path("mine")):
        assert models.resolve(name) == (Path(name), None)
        assert zoo.load(name, device="cpu").sample(1).shape == (1, 1, 28, 28)
    with pytest.raises(UnknownModelError, match="no model named 'mine'"):
        zoo.load("mine")


@pytest.mark.parametrize("name", ["./nowhere", ".nowhere", "~/nowhere", "nowhere/", Path("nowhere")])
def test_a_folder_that_is_not_there_is_said(name):
    with pytest.raises(ModelFolderError, match="nowhere: there is no such folder"):
        zoo.load(name)


def test_a_file_in_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelFolderError, match="this is a file; give its folder"):
        zoo.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["./" + "x" * 5000, "~no-such-user", "~no-such-user/model"])
def test_what_cannot_be_a_path_is_said(name):
    with pytest.raises(ZooError, match=r"not a valid path|has no home folder here"):
        models.resolve(name)


@pytest.mark.plugins("zoo-dcgan")
def test_an_unknown_device_is_said():
    with pytest.raises(DeviceError, match="there is no device 'gpu'"):
        zoo.load("dcgan-mnist", device="gpu")


def write_registry(folder, text):
    file = folder / "team.yaml"
    file.write_text(f"version: 1\nmodels:\n{text}")
    return file


@pytest.mark.plugins("zoo-vae")
def test_a_users_registry_adds_models_and_its_files_are_verified(tmp_path, monkeypatch, fresh_registry):
    shutil.copytree(zoo.pull("vae-mnist"), tmp_path / "weights")
    files = "\n".join(
        f"      {name}: {{sha256: {facts.sha256}, size: {facts.size}}}"
        for name, facts in zoo.registry()["vae-mnist"].files.items()
    )
    file = write_registry(tmp_path, f"  team-vae:\n    architecture: vae\n    bundled: weights\n    files:\n{files}\n")
    catalog.registry.cache_clear()
    monkeypatch.setenv("ZOO_REGISTRY", str(file))
    assert zoo.load("team-vae", device="cpu").sample(1).shape == (1, 1, 28, 28)
    weights = bytearray((tmp_path / "weights" / "model.safetensors").read_bytes())
    weights[-5] ^= 16
    (tmp_path / "weights" / "model.safetensors").write_bytes(weights)
    for function in (zoo.load, zoo.pull):
        with pytest.raises(DigestError, match=r"model\.safetensors: sha256 is [0-9a-f]{64}, but the registry states"):
            function("team-vae")


def test_an_entry_without_its_plugin_says_so_and_only_the_core_suggests_an_installation(
    tmp_path, monkeypatch, fresh_registry
):
    file = write_registry(
        tmp_path, "  strange:\n    architecture: strange-net\n    plugin: evil-package\n    bundled: x\n"
    )
    monkeypatch.setenv("ZOO_REGISTRY", str(file))
    with pytest.raises(UnknownArchitectureError) as caught:
        zoo.load("strange")
    assert str(caught.value) == "strange: it needs the plugin evil-package, which is not installed"
    assert catalog.suggested_installation(zoo.registry()["strange"]) is None


@pytest.mark.plugins("zoo-vae")
def test_a_bundled_folder_that_is_missing_is_said(tmp_path, monkeypatch, fresh_registry):
    monkeypatch.setenv(
        "ZOO_REGISTRY", str(write_registry(tmp_path, "  mine:\n    architecture: vae\n    bundled: x\n"))
    )
    for function in (zoo.load, zoo.pull):
        with pytest.raises(ModelFolderError, match=r"x: the weights of mine are missing$"):
            function("mine")


@pytest.mark.plugins("zoo-vae")
def test_a_model_on_the_hub_without_digests_is_not_pulled(tmp_path, monkeypatch, fresh_registry):
    hub = f"  far:\n    architecture: vae\n    hub: {{repo: user/far, revision: {'0' * 40}}}\n"
    monkeypatch.setenv("ZOO_REGISTRY", str(write_registry(tmp_path, hub)))
    with pytest.raises(ZooError, match=r"far: the registry states no sha256 of config.json and model.safetensors"):
        zoo.pull("far")


@pytest.mark.plugins("zoo-vae")
def test_a_model_that_is_nowhere_is_said(tmp_path, monkeypatch, fresh_registry):
    monkeypatch.setenv("ZOO_REGISTRY", str(write_registry(tmp_path, "  far:\n    architecture: vae\n")))
    with pytest.raises(
        ZooError, match="far is not bundled with its plugin, and its registry names no place on the Hub"
    ):
        zoo.pull("far")


@pytest.mark.plugins("zoo-vae")
def test_an_entry_of_the_index_whose_plugin_is_missing_says_what_to_install():
    script = (
        "import zoo_core as zoo\nfrom zoo_core.errors import ZooError\n"
        "print(zoo.list_models())\n"
        "try: zoo.load('vae-mnist')\nexcept ZooError as error: print(error)"
    )
    environment = os.environ | {"ZOO_DISABLE_PLUGINS": "zoo-vae"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    listed, said = done.stdout.splitlines()
    assert "vae-mnist" in listed
    assert "zoo-vae" in said
    assert "disabled" in said
