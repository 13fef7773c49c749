"""The cache: what is ours in it is listed, removed, pruned and read again; other tools' models are left alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import zoo_core as zoo
from tests.hub import Hub
from tests.hub_models import BUNDLED, REPO, blobs, fails, put, read, succeeds
from zoo_core.files.sizes import readable_size

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
SIZE = readable_size(sum(len(content) for content in read(BUNDLED).values()))
pytestmark = pytest.mark.plugins("zoo-vae")


@pytest.fixture
def pulled(pinned, command) -> Path:
    """The pinned model, in the cache."""
    return Path(succeeds(command("pull", "digits"))[0])


@pytest.fixture
def foreign(hub: Hub, without_xet) -> Path:
    """Another tool's model, in the same cache."""
    from huggingface_hub import snapshot_download

    put(hub, {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights" * 1000}, "alice/bert")
    return Path(snapshot_download("alice/bert"))


def test_an_empty_cache_is_said(hub: Hub, command):
    done = command("cache", "list")
    assert succeeds(done) == []
    assert "the cache holds no model of zoo-core" in done.stderr
    assert succeeds(command("cache", "verify")) == []
    succeeds(command("cache", "prune"))


def test_list_shows_address_size_branches_and_names(pinned, pulled, foreign, command):
    commit = pinned.hub.revision
    assert [line.split() for line in succeeds(command("cache", "list"))] == [
        [f"hf://{REPO}@{commit[:12]}", *SIZE.split(), "-", "digits"]
    ]
    succeeds(command("pull", f"hf://{REPO}"))
    (model,) = json.loads(command("cache", "list", "--json").stdout)
    assert (model["address"], model["references"], model["names"]) == (f"hf://{REPO}@{commit}", ["main"], ["digits"])
    assert model["folder"] == str(pulled)


@pytest.mark.parametrize("at", ["name", "", "@main", "@commit", "@abbreviated"])
def test_remove_takes_a_model_out_and_nothing_else(hub_home, pinned, pulled, foreign, command, at):
    succeeds(command("pull", f"hf://{REPO}"))
    commit = pinned.hub.revision
    at = at.replace("commit", commit).replace("abbreviated", commit[:9])
    done = command("cache", "remove", "digits" if at == "name" else f"hf://{REPO}{at}")
    assert succeeds(done) == [f"hf://{REPO}@{commit}"]
    assert f"{SIZE} freed" in done.stderr
    assert not pulled.exists()
    assert (foreign / "model.safetensors").read_bytes()
    assert {path.parent.parent.name for path in blobs(hub_home)} == {"models--alice--bert"}


@pytest.mark.parametrize("name", ["digits", f"hf://{REPO}", "hf://alice/bert", "nothing"])
def test_what_is_not_there_is_not_removed(foreign, command, name):
    fails(command("cache", "remove", name), f"{name} is not in the cache")
    assert (foreign / "config.json").exists()


def test_prune_removes_what_nothing_stands_for(hub: Hub, hub_home, pinned, pulled, foreign, command):
    first = succeeds(command("pull", f"hf://{REPO}"))
    second = put(hub, {"README.md": b"# two\n"})
    succeeds(command("pull", f"hf://{REPO}"))
    third = put(hub, {"README.md": b"# three\n"})
    succeeds(command("pull", f"hf://{REPO}"))
    assert succeeds(command("cache", "prune", "--dry-run")) == [f"hf://{REPO}@{second}"]
    assert len(json.loads(command("cache", "list", "--json").stdout)) == 3
    assert succeeds(command("cache", "prune")) == [f"hf://{REPO}@{second}"]
    left = [model["commit"] for model in json.loads(command("cache", "list", "--json").stdout)]
    assert sorted(left) == sorted([pinned.hub.revision, third])
    assert read(Path(first[0])) == read(BUNDLED)
    assert (foreign / "model.safetensors").exists()


def test_prune_removes_what_a_kill_left_once_it_is_old(hub_home, pulled, foreign, command):
    ours = pulled.parent.parent / "blobs" / "abc.12345678.incomplete"
    theirs = foreign.parent.parent / "blobs" / "abc.12345678.incomplete"
    new = pulled.parent.parent / "blobs" / "def.12345678.incomplete"
    for path in (ours, theirs, new):
        path.write_bytes(b"half" * 1000)
    for path in (ours, theirs):
        os.utime(path, (time.time() - 7200,) * 2)
    assert succeeds(command("cache", "prune", "--dry-run")) == [str(ours)]
    assert "4.0 kB freed" in command("cache", "prune").stderr
    assert (ours.exists(), theirs.exists(), new.exists()) == (False, True, True)


def test_verify_reads_every_byte_again_whatever_the_times_say(pulled, command, monkeypatch):
    assert succeeds(command("cache", "verify"))[0].endswith(f": {len(read(BUNDLED))} files verified")
    blob = (pulled / "model.safetensors").resolve()
    facts, content = blob.stat(), bytearray(blob.read_bytes())
    content[-9] ^= 1
    blob.write_bytes(content)
    os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    done = command("cache", "verify")
    assert done.exit_code == 1
    assert done.stdout.endswith(": 1 damaged\n")
    assert "sha256 is" in done.stderr
    assert "1 of 1 models were damaged; use zoo pull to download what is missing" in done.stderr
    assert not blob.exists()
    succeeds(command("pull", "digits"))
    succeeds(command("cache", "verify", "digits"))


def test_verify_finds_damage_in_small_files_and_links_that_lead_nowhere(pulled, command):
    (pulled / "README.md").resolve().write_bytes(b"x")
    (pulled / "samples.png").resolve().unlink()
    told = command("cache", "verify", f"hf://{REPO}")
    assert told.exit_code == 1
    assert "README.md" in told.stderr
    assert "samples.png: is a link to a file that is gone; pull the model again" in told.stderr


def test_the_cache_is_looked_after_without_a_connection(hub: Hub, pulled, command):
    hub.stop()
    for arguments in (["list"], ["verify"], ["prune"], ["remove", "digits"]):
        succeeds(command("cache", *arguments))


def test_stamps_of_what_is_gone_are_swept(hub_home, pulled, command):
    stamps = hub_home / "assets" / "zoo-core" / "verified"
    assert list(stamps.iterdir())
    succeeds(command("cache", "remove", "digits"))
    assert list(stamps.iterdir()) == []


def test_a_removed_model_comes_back(hub: Hub, pulled, command):
    succeeds(command("cache", "remove", "digits"))
    assert zoo.load("digits", device="cpu").sample(1).shape == (1, 1, 28, 28)
