"""Registries on the Hub: copied when the user says so, read without a connection, and never first to a name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

import zoo_core as zoo
from tests.hub import Hub, flip, status
from tests.hub_models import BUNDLED, entry_of, fails, put, read, succeeds
from zoo_core.errors import RegistryError
from zoo_core.registries import editing

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")
PLACE = "hf://guild/registry"


@pytest.fixture
def team(hub: Hub, without_xet, tmp_path) -> Path:
    """A team's registry on the Hub, with `digits`; returns the file that it was made from."""
    files = read(BUNDLED)
    file = tmp_path / "team.yaml"
    editing.write_entry(file, entry_of(files, put(hub, files)))
    publish(hub, file)
    return file


def publish(hub: Hub, file: Path) -> str:
    return put(hub, {"registry.yaml": file.read_bytes()}, "guild/registry")


def test_a_registry_on_the_hub_is_added_once_and_read_without_a_connection(hub: Hub, team, command):
    assert succeeds(command("registry", "add", PLACE))[0].startswith(f"{PLACE}: 1 model at commit ")
    succeeds(command("pull", "digits"))
    hub.stop()
    assert "digits" in zoo.list_models()
    assert any(line.split()[0] == "digits" for line in succeeds(command("list")))
    assert ["registry", PLACE, "(zoo", "registry", "add)"] in map(str.split, succeeds(command("info", "digits")))
    succeeds(command("pull", "digits"))


def test_update_copies_it_anew_and_a_failure_keeps_the_old_copy(hub: Hub, team, command):
    succeeds(command("registry", "add", PLACE))
    editing.write_entry(team, zoo.ModelEntry(name="more", architecture="vae"))
    publish(hub, team)
    assert "more" not in zoo.list_models()
    assert succeeds(command("registry", "update"))[0].startswith(f"{PLACE}: 2 models")
    zoo.registry.cache_clear()
    assert "more" in zoo.list_models()
    for text, reason in ((b"version: 2\nmodels: {}\n", "version"), (b"a: [", "registry.yaml")):
        put(hub, {"registry.yaml": text}, "guild/registry")
        done = command("registry", "update")
        assert done.exit_code == 1
        assert reason in done.stderr
        assert "hf://guild/registry/registry.yaml" in done.stderr
    hub.fail(flip(3), method="GET", path="*/registry.yaml")
    publish(hub, team)
    assert "but the Hub states" in command("registry", "update").stderr
    hub.fail(status(404, error="RepoNotFound"), path="/api/models/*")
    assert "there is no such repository" in command("registry", "update").stderr
    assert any(line.split()[0] == "more" for line in succeeds(command("list")))


def test_update_lists_what_has_other_digests_and_what_came_and_went(hub: Hub, team, command):
    entry = zoo.Registry.from_file(team)["digits"]
    for name in ("gone", "same"):
        editing.write_entry(team, msgspec.structs.replace(entry, name=name))
    publish(hub, team)
    succeeds(command("registry", "add", PLACE))
    assert succeeds(command("registry", "update"))[1:] == []  # nothing differs
    files = dict(entry.files)
    before, after = files.pop("README.md").sha256, "f" * 64
    files["model.safetensors"] = msgspec.structs.replace(files["model.safetensors"], sha256=after)
    team.unlink()
    for changed in (msgspec.structs.replace(entry, files=files), entry, entry):
        name = ("digits", "new", "same")[len(zoo.Registry.from_file(team)) if team.exists() else 0]
        editing.write_entry(team, msgspec.structs.replace(changed, name=name))
    publish(hub, team)
    weights = entry.files["model.safetensors"].sha256
    assert succeeds(command("registry", "update"))[1:] == [
        f"  changed: digits, README.md: {before[:12]} -> not named",
        f"  changed: digits, model.safetensors: {weights[:12]} -> {after[:12]}",
        "  removed: gone",
        "  added: new",
    ]


def test_update_refuses_a_commit_that_does_not_follow_the_last_one(hub: Hub, team, command):
    older = publish(hub, team)
    editing.write_entry(team, zoo.ModelEntry(name="more", architecture="vae"))
    newer = publish(hub, team)
    hub.api().create_branch("guild/registry", branch="stable", revision=newer)
    place = f"{PLACE}@stable"
    succeeds(command("registry", "add", place))
    hub.api().delete_branch("guild/registry", branch="stable")
    hub.api().create_branch("guild/registry", branch="stable", revision=older)
    done = command("registry", "update")
    assert done.exit_code == 1
    assert f"{place}: the commit {older[:12]} does not follow {newer[:12]}, which was copied last" in done.stderr
    assert "zoo registry update --allow-older" in done.stderr
    assert "more" in read_names()
    assert succeeds(command("registry", "update", "--allow-older"))[1:] == ["  removed: more"]
    assert "more" not in read_names()
    hub.api().delete_branch("guild/registry", branch="stable")
    hub.api().create_branch("guild/registry", branch="stable", revision=newer)
    assert succeeds(command("registry", "update"))[1:] == ["  added: more"]  # it follows the older one


def read_names():
    zoo.registry.cache_clear()
    return zoo.list_models()


def test_a_hub_without_a_list_of_commits_is_used_with_a_warning(hub: Hub, team, command):
    succeeds(command("registry", "add", PLACE))
    editing.write_entry(team, zoo.ModelEntry(name="more", architecture="vae"))
    publish(hub, team)
    hub.fail(status(404), method="GET", path="*/commits/*")
    done = command("registry", "update")
    assert done.exit_code == 0
    assert "the Hub does not list commits, so it is not known whether this one is older" in done.stderr
    assert "more" in read_names()


def test_a_registry_that_is_added_again_has_no_history(hub: Hub, team, command, tmp_path):
    older = publish(hub, team)
    editing.write_entry(team, zoo.ModelEntry(name="more", architecture="vae"))
    publish(hub, team)
    succeeds(command("registry", "add", PLACE))
    succeeds(command("registry", "remove", PLACE))
    hub.api().super_squash_history("guild/registry")
    assert older
    succeeds(command("registry", "add", PLACE))
    assert "more" in read_names()


def test_a_registry_that_is_too_large_is_not_downloaded(hub: Hub, team, command):
    put(hub, {"registry.yaml": b"#" * (64 * 2**20 + 1)}, "guild/registry")
    fails(command("registry", "add", PLACE), "hf://guild/registry/registry.yaml: is larger than 64 MB")
    assert hub.requests("GET", "*/resolve/*") == []


def test_the_variable_takes_addresses_among_paths(hub: Hub, team, command, monkeypatch, tmp_path):
    mine = tmp_path / "mine.yaml"
    editing.write_entry(mine, zoo.ModelEntry(name="mine", architecture="vae"))
    monkeypatch.setenv("ZOO_REGISTRY", os.pathsep.join([str(mine), PLACE]))
    fails(command("list"), f"{PLACE} has not been fetched yet: zoo registry update")
    assert hub.requests("GET", "/api/models/guild/*") == []
    succeeds(command("registry", "update"))
    assert {"mine", "digits"} <= {line.split()[0] for line in succeeds(command("list"))}


def test_a_later_registry_cannot_take_an_earlier_ones_name(hub: Hub, team, command, monkeypatch, tmp_path):
    evil = tmp_path / "evil.yaml"
    for name in ("vae-mnist", "digits"):
        editing.write_entry(evil, entry_of(read(BUNDLED), "f" * 40, "bob/evil", name))
    publish(hub, team)
    succeeds(command("registry", "add", PLACE))
    succeeds(command("registry", "add", evil))
    listed = command("list")
    for name in ("vae-mnist", "digits"):
        assert f"{name} is left out: an earlier registry has that name" in listed.stderr
    assert json.loads(command("info", "digits", "--json").stdout)["hub"]["repo"] == "alice/digits"
    rows = [line.split()[0] for line in succeeds(command("registry", "list"))]
    assert rows[-2:] == [PLACE, str(evil)]


def test_one_revision_of_a_registry_stays_what_it_is(hub: Hub, team, command):
    commit = hub.api().model_info("guild/registry").sha
    succeeds(command("registry", "add", f"{PLACE}@{commit}"))
    put(hub, {"registry.yaml": b"version: 1\nmodels:\n"}, "guild/registry")
    succeeds(command("registry", "update"))
    assert any(line.split()[0] == "digits" for line in succeeds(command("list")))


def test_remove_takes_a_registry_out_again(hub: Hub, team, command, tmp_path):
    succeeds(command("registry", "add", PLACE))
    fails(command("registry", "add", PLACE), f"{PLACE} was added already")
    succeeds(command("registry", "remove", PLACE))
    assert not any(line.split()[0] == "digits" for line in succeeds(command("list")))
    assert not list((tmp_path / "config").rglob("*.yaml"))
    fails(command("registry", "remove", PLACE), "was not added")


@pytest.mark.parametrize("place", ["hf://guild/nothing", "hf://guild", "nowhere.yaml"])
def test_what_cannot_be_read_is_not_added(hub: Hub, command, tmp_path, place):
    done = command("registry", "add", place)
    assert done.exit_code == 1
    assert not (tmp_path / "config" / "zoo" / "registries.txt").exists()


def test_a_repository_without_a_registry_is_said(hub: Hub, without_xet, command):
    put(hub, {"README.md": b"---\nlicense: mit\n---\n"}, "guild/registry")
    fails(command("registry", "add", PLACE), "registry.yaml: there is no such file")


def test_a_registry_on_the_hub_bundles_nothing_from_this_machine(hub: Hub, without_xet, command, tmp_path):
    text = b"version: 1\nmodels:\n  near:\n    architecture: vae\n    bundled: ../../../digits\n"
    put(hub, {"registry.yaml": text}, "guild/registry")
    fails(command("registry", "add", PLACE), "the path leaves the registry's own folder")


def test_the_list_of_registries_may_have_remarks(tmp_path, monkeypatch):
    folder = tmp_path / "config" / "zoo"
    folder.mkdir(parents=True)
    editing.write_entry(tmp_path / "mine.yaml", zoo.ModelEntry(name="mine", architecture="vae"))
    (folder / "registries.txt").write_text(f"# ours\n\n{tmp_path / 'mine.yaml'}\n")
    assert "mine" in zoo.list_models()
    (folder / "registries.txt").write_bytes(b"\xff")
    zoo.registry.cache_clear()
    with pytest.raises(RegistryError, match=r"registries\.txt: cannot be read"):
        zoo.registry()


# zoo search


@pytest.fixture
def models(hub: Hub, without_xet) -> list[str]:
    """Seven of this zoo, by two people, and one of another library."""
    names = [f"{who}/{word}-{n}" for who, word in (("alice", "faces"), ("guild", "digits")) for n in range(4)]
    for name in names[:-1]:
        zoo.push(BUNDLED, name)
    put(hub, {"README.md": b"---\nlibrary_name: other\n---\n"}, names[-1])
    hub.forget()
    return [f"hf://{name}" for name in names[:-1]]


def test_search_finds_models_of_this_zoo_and_says_what_each_needs(hub: Hub, models, command):
    lines = succeeds(command("search", "digits"))
    assert [line.split()[0] for line in sorted(lines)] == [name for name in models if "digits" in name]
    assert lines[0].split(None, 1)[1].strip() == "vae  needs zoo-vae, installed  apache-2.0"
    assert len(succeeds(command("search"))) == 7
    found = json.loads(command("search", "faces", "--json").stdout)
    assert {(model["architecture"], model["plugin"]) for model in found} == {("vae", "zoo-vae")}


def test_search_asks_for_no_more_pages_than_it_needs(hub: Hub, models, command):
    hub.settings(page=2)
    assert len(succeeds(command("search", "--limit", 3))) == 3
    assert len(hub.requests("GET", "/api/models")) == 2
    assert len(succeeds(command("search"))) == 7


def test_search_says_when_there_is_nothing(hub: Hub, command):
    assert "no model on the Hub matches" in command("search", "nothing").stderr
    hub.fail(status(503), path="/api/models")
    succeeds(command("search", "nothing"))


@pytest.mark.slow
def test_search_says_what_it_waits_for_in_lines_of_its_own(hub: Hub, zoo):
    hub.stop()
    done = zoo("search", "nothing")
    assert done.returncode == 1
    *waits, last = done.stderr.splitlines()
    assert [line for line in waits if "Connection refused; trying again in" not in line] == []
    assert len(waits) == 4
    assert last.startswith(f"zoo: {hub.url} cannot be reached")


def test_a_strangers_plugin_is_named_and_never_suggested(hub: Hub, without_xet, command):
    card = '---\nlibrary_name: zoo-core\nzoo:\n  architecture: "e\\e[31mvil"\n  plugin: evil\n---\n'
    put(hub, {"README.md": card.encode()})
    (line,) = succeeds(command("search"))
    assert "needs evil, not installed" in line
    assert "pip install" not in line
    assert "\x1b" not in line
