"""Push: one commit that is there whole or not at all, and nothing of anybody's is overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard, hf_hub_download

import zoo_core as zoo
from tests.builtin import bundled_here
from tests.hub import ALICE, Hub, cut, flip, hang, lie, lose, refuse, reset, resize, status
from tests.hub.client import ROOT
from tests.hub_models import REPO, environment, fails, put, read, start, succeeds
from zoo_core.cli import main
from zoo_core.errors import HubError, ModelFolderError, OutputError, RegistryError, UnreachableError
from zoo_core.hub import client
from zoo_core.hub.errors import HubResource
from zoo_core.hub.plan import make_plan
from zoo_core.hub.push import publish
from zoo_core.hub.retrying import attempt
from zoo_core.registries import editing

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")
NAMES = {"config.json", "model.safetensors", "README.md", "samples.png", "training.yaml", "golden.safetensors"}


def files_of(hub: Hub, repo: str = REPO, revision: str = "main") -> dict[str, bytes]:
    """All that the Hub has at a revision."""
    api = hub.api()
    names = [name for name in api.list_repo_files(repo, revision=revision) if name != ".gitattributes"]
    home = hub.folder / "reading"
    shutil.rmtree(home, ignore_errors=True)
    return {
        name: Path(
            hf_hub_download(repo, name, revision=revision, endpoint=hub.url, token=ALICE, cache_dir=home)
        ).read_bytes()
        for name in names
    }


def commits(hub: Hub, repo: str = REPO) -> list[str]:
    return [commit.title for commit in hub.api().list_repo_commits(repo)]


def changes_asked_for(hub: Hub) -> list[str]:
    """Requests that change something; checking a card, and asking what would be LFS, do not."""
    harmless = ("validate-yaml", "paths-info", "preupload")
    return [r.path for r in hub.requests() if r.method not in ("GET", "HEAD") and r.path.split("/")[-2:][0] not in harmless and "validate-yaml" not in r.path]  # fmt: skip


# what push does


def test_push_publishes_the_model_and_prints_its_entry(hub: Hub, folder, command, tmp_path, monkeypatch):
    done = command("push", folder, REPO, "--register", tmp_path / "team.yaml")
    succeeds(done)
    there = files_of(hub)
    assert set(there) == NAMES
    assert {name: there[name] for name in NAMES - {"README.md"}} == {
        name: content for name, content in read(folder).items() if name != "README.md"
    }
    (tmp_path / "printed.yaml").write_text(
        "version: 1\nmodels:\n  " + done.stdout.rstrip().replace("\n", "\n  ") + "\n"
    )
    printed = zoo.Registry.from_file(tmp_path / "printed.yaml")["digits"]
    entry = zoo.Registry.from_file(tmp_path / "team.yaml")["digits"]
    assert printed.to_dict() == entry.to_dict()
    assert entry.hub.repo == REPO
    assert entry.hub.revision == hub.api().model_info(REPO).sha
    assert set(entry.files) == NAMES
    assert (entry.architecture, entry.plugin, entry.sample_shape, entry.parameters) == (
        "vae",
        "zoo-vae",
        (1, 28, 28),
        zoo.registry()["vae-mnist"].parameters,
    )
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "team.yaml"))
    pulled = Path(succeeds(command("pull", "digits"))[0])
    assert read(pulled) == there


def test_everything_goes_into_one_commit(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO))
    assert len(commits(hub)) == 2  # the Hub's own first one, and ours
    assert len(hub.requests("POST", "*/commit/main")) == 1


def test_a_hub_without_xet_is_served_through_lfs_with_no_switch_set(hub: Hub, folder, zoo):
    assert "HF_HUB_DISABLE_XET" not in os.environ
    succeeds(zoo("push", folder, REPO))
    assert hub.requests("GET", "*/xet-write-token/main")
    assert hub.requests("PUT", "/upload/*", "cdn")


def test_a_push_from_python_gives_the_entry(hub: Hub, folder, tmp_path):
    entry = zoo.push(folder, REPO, private=True, register=tmp_path / "team.yaml", name="mine", tag="v1")
    assert entry.name == "mine"
    assert zoo.Registry.from_file(tmp_path / "team.yaml")["mine"].hub == entry.hub
    info = hub.api().model_info(REPO, revision="v1")
    assert (info.sha, info.private) == (entry.hub.revision, True)


def test_a_large_file_goes_in_parts(hub: Hub, folder, command):
    hub.settings(multipart_above=100_000, part=200_000)
    succeeds(command("push", folder, REPO))
    assert len(hub.requests("PUT", "/part/*", "cdn")) == -(-(folder / "model.safetensors").stat().st_size // 200_000)
    assert files_of(hub)["model.safetensors"] == (folder / "model.safetensors").read_bytes()


def test_what_is_there_already_is_not_sent_again(hub: Hub, folder, command):
    first = succeeds(command("push", folder, REPO))
    hub.forget()
    again = command("push", folder, REPO)
    assert succeeds(again) == first
    assert "nothing to change" in again.stderr
    assert changes_asked_for(hub) == []
    (folder / "samples.png").write_bytes((folder / "samples.png").read_bytes() + b"\0")
    succeeds(command("push", folder, REPO))
    assert len(commits(hub)) == 3
    assert [r.path.split("/")[-2][:8] for r in hub.requests("PUT", "/upload/*")] != []
    assert len(hub.requests("PUT", "/upload/*")) == 1


def test_a_push_over_a_model_of_another_architecture_says_so(hub: Hub, folder, command):
    config = (folder / "config.json").read_text().replace('"vae"', '"dcgan"', 1)
    hub.api().create_repo(REPO)
    hub.plant(REPO, {"config.json": config.encode(), "discriminator.safetensors": b"x"})
    for more in (["--dry-run"], []):
        told = command("push", folder, REPO, *more)
        succeeds(told)
        assert f"hf://{REPO} holds a model of the architecture dcgan, which this one of vae replaces" in told.stderr
        assert f"hf://{REPO} keeps discriminator.safetensors of the model before" in told.stderr


@pytest.mark.parametrize("what", ["the tag", "the registry"])
def test_what_fails_after_the_commit_names_it_and_the_same_push_mends_it(
    hub: Hub, folder, command, tmp_path, monkeypatch, what
):
    pushed = ("push", folder, REPO, "--tag", "v1", "--register", tmp_path / "team.yaml")
    if what == "the tag":
        hub.fail(status(403), path="*/tag/*", method="POST")
        fails(command(*pushed), "was made, and lacks only the tag")
        assert "digits" in zoo.Registry.from_file(tmp_path / "team.yaml")
    else:

        def full(*_: object) -> None:
            raise OutputError("team.yaml cannot be written: No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(editing, "write_entry", full)
            fails(command(*pushed), "No space left", "was published as the commit", "the same push will register it")
    succeeds(command(*pushed))
    entry = zoo.Registry.from_file(tmp_path / "team.yaml")["digits"]
    assert entry.hub.revision == hub.api().model_info(REPO, revision="v1").sha
    assert len(commits(hub)) == 2


def test_the_folder_is_never_written_to(hub: Hub, folder, command):
    (folder / "README.md").unlink()
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    succeeds(command("push", folder, REPO))
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before
    assert "README.md" in files_of(hub)


def test_what_is_no_part_of_a_model_is_left_out_and_named(hub: Hub, folder, command):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "secret").write_text("x")
    (folder / ".env").write_text("TOKEN=1")
    (folder / "modeling.py").write_text("")
    told = command("push", folder, REPO)
    succeeds(told)
    assert set(files_of(hub)) == NAMES
    assert "left out, because they are not part of a model: .env, checkpoints, modeling.py" in told.stderr


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(hub: Hub, folder, command):
    lines = succeeds(command("push", folder, REPO, "--dry-run"))
    assert lines[0] == f"hf://{REPO}, a new repository"
    assert {tuple(line.split()[:2]) for line in lines[1:7]} == {("send", name) for name in NAMES}
    assert changes_asked_for(hub) == []
    succeeds(command("push", folder, REPO))
    hub.forget()
    lines = succeeds(command("push", folder, REPO, "--dry-run"))
    assert {line.split()[0] for line in lines[1:7]} == {"there"}
    assert changes_asked_for(hub) == []


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"HF_TOKEN": "hf_expired"}, "the token was refused"),
        ({}, "there is no such repository, or it is private: log in"),
    ],
)
def test_a_dry_run_needs_neither_network_nor_login(hub: Hub, folder, zoo, variables, reason):
    env = environment(**variables)
    if "HF_TOKEN" not in variables:
        del env["HF_TOKEN"]
    done = zoo("push", folder, REPO, "--dry-run", env=env)
    lines = succeeds(done)
    assert lines[0].startswith(f"hf://{REPO}, not compared with the Hub: ")
    assert reason in lines[0]
    facts = [line.split() for line in lines[1:7]]
    assert {name for _, name, _, _ in facts} == NAMES
    assert {fate for fate, *_ in facts} == {"unknown"}
    assert all(len(digest) == 64 for *_, digest in facts)
    assert "trying again" not in done.stderr
    assert all(request.method == "GET" for request in hub.requests())


def test_a_dry_run_shows_the_entry_and_the_card_that_a_push_then_publishes(hub: Hub, folder, command):
    (trial,) = json.loads(command("push", folder, REPO, "--dry-run", "--json").stdout)
    assert (trial["repo"], trial["head"], trial["not_compared"]) == (REPO, None, None)
    shown = command("push", folder, REPO, "--dry-run").stdout
    done = succeeds(command("push", folder, REPO, "--json"))
    (entry,) = json.loads("\n".join(done))
    assert {**trial["entry"], "hub": entry["hub"]} == entry
    assert {file["name"]: file["sha256"] for file in trial["files"]} == {
        name: facts["sha256"] for name, facts in entry["files"].items()
    }
    assert trial["card"] == their_readme(hub)
    assert "\n# README.md\n---\n" in shown
    assert "  plugin: zoo-vae\n" in shown  # with the indentation that YAML needs


@pytest.mark.parametrize("offline", ["", "1"])
def test_a_dry_run_refuses_what_a_push_would_refuse(hub: Hub, folder, command, tmp_path, monkeypatch, offline):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", bool(offline))
    (tmp_path / "team.yaml").write_text("models: [")
    fails(command("push", folder, REPO, "--dry-run", "--register", tmp_path / "team.yaml"), "team.yaml")
    fails(command("push", folder, "digits", "--dry-run"), "is not a repository: write user/repo")
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")  # no bundled model any more
    (folder / "README.md").write_text("---\na: [\n---\n")
    fails(command("push", folder, REPO, "--dry-run"), "README.md")
    (folder / "model.safetensors").write_bytes(b"")
    fails(command("push", folder, REPO, "--dry-run"), "model.safetensors")


def test_a_pull_request_leaves_the_branch_as_it_is(hub: Hub, folder, command):
    put(hub, {"config.json": b"{}"})
    head = hub.api().model_info(REPO).sha
    told = command("push", folder, REPO, "--pr")
    succeeds(told)
    assert "pull request: http://127.0.0.1" in told.stderr
    assert hub.api().model_info(REPO).sha == head
    assert set(files_of(hub, revision="refs/pr/1")) == NAMES


def test_a_stranger_may_open_a_pull_request_and_not_push(hub: Hub, folder, zoo):
    put(hub, {"config.json": b"{}"})
    bob = environment(HF_TOKEN="hf_other")
    fails(zoo("push", folder, REPO, env=bob), "this token has no permission to write it")
    succeeds(zoo("push", folder, REPO, "--pr", env=bob))


def test_a_pull_request_needs_a_repository(hub: Hub, folder, command):
    fails(command("push", folder, REPO, "--pr"), "no such repository to open a pull request in")
    assert changes_asked_for(hub) == []


def test_a_tag_is_set_once_and_never_moved(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO, "--tag", "v1"))
    succeeds(command("push", folder, REPO, "--tag", "v1"))  # it stands where it shall
    first = hub.api().model_info(REPO, revision="v1").sha
    (folder / "samples.png").unlink()
    (folder / "training.yaml").write_text("steps: 1\n")
    hub.forget()
    fails(command("push", folder, REPO, "--tag", "v1"), "has the tag v1 at", "tags are not moved")
    assert changes_asked_for(hub) == []
    assert hub.api().model_info(REPO, revision="v1").sha == first


def test_private_never_ends_up_in_public(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO, "--private"))
    assert hub.api().model_info(REPO).private
    succeeds(command("push", folder, REPO))  # stays private
    assert hub.api().model_info(REPO).private
    hub.api().create_repo("alice/open")
    hub.forget()
    fails(command("push", folder, "alice/open", "--private"), "exists already and is public")
    assert changes_asked_for(hub) == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["folder"], ["folder", "a/b", "--namespace", "x"], ["--all"], ["folder", "a/b", "--all", "--namespace", "x"]],
)
def test_wrong_usage_exits_with_2(command, arguments):
    assert command("push", *arguments).exit_code == 2


@pytest.mark.parametrize("repo", ["digits", "a/b/c", "../x", "a/", "hf://a/b", "a b/c", "a/" + "x" * 97])
def test_what_is_no_repository_is_said(hub: Hub, folder, command, repo):
    fails(command("push", folder, repo), "is not a repository: write user/repo")


# what is not published


def test_a_folder_that_would_not_load_is_refused_before_the_hub_is_asked(hub: Hub, folder, command, tmp_path):
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    for broken, reason in ((content[:-8], "cut off"), (b"\x80\x04" + content, "is a pickle")):
        weights.write_bytes(broken)
        fails(command("push", folder, REPO), reason)
    weights.write_bytes(content)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(re.sub(r'"latent_size": \d+', '"latent_size": 17', config))
    fails(command("push", folder, REPO), "the weights do not fit the configuration")
    fails(command("push", tmp_path / "nowhere", REPO), "nowhere")
    assert hub.requests() == []


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
@pytest.mark.parametrize("name", ["README.md", "samples.png", "training.yaml"])
def test_a_link_out_of_the_folder_is_refused(hub: Hub, folder, command, tmp_path, name):
    (tmp_path / "secret").write_text("---\nlicense: secret\n---\n")
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret")
    fails(command("push", folder, REPO), name, "is a link out of the folder")
    (tmp_path / "secret").unlink()
    fails(command("push", folder, REPO), "is a link to a file that does not exist")
    assert hub.requests() == []


def test_what_was_pulled_is_pushed_on_though_the_cache_is_made_of_links(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO))
    pulled = succeeds(command("pull", f"hf://{REPO}"))[0]
    succeeds(command("push", pulled, "alice/copy"))
    assert files_of(hub, "alice/copy")["model.safetensors"] == (folder / "model.safetensors").read_bytes()


# the card


def their_readme(hub: Hub) -> str:
    return files_of(hub)["README.md"].decode()


def edit_readme(hub: Hub, text: str) -> None:
    put(hub, {"README.md": text.encode()})


def test_the_card_has_all_facts_and_passes_the_hubs_checks(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO))
    card = ModelCard(their_readme(hub))
    facts = card.data
    assert (facts.library_name, facts.pipeline_tag, facts.license) == (
        "zoo-core",
        "unconditional-image-generation",
        "apache-2.0",
    )
    assert facts.datasets == ["mnist"]
    assert {"zoo-core", "vae"} <= set(facts.tags)
    assert facts["zoo"] == {"architecture": "vae", "plugin": "zoo-vae"}
    for part in ("## Sample", f"zoo sample hf://{REPO}", f'zoo.load("hf://{REPO}")', "![Samples](samples.png)", "| steps | 40000 |",
                 "## Limits and intended use", "under `apache-2.0`", "## Citation", "arxiv.org/abs/1312.6114"):  # fmt: skip
        assert part in card.text
    assert hub.requests("POST", "/api/validate-yaml")[-1].status == 200
    assert hub.api().model_info(REPO).library_name == "zoo-core"


def test_a_card_without_a_preview_shows_none(hub: Hub, folder, command):
    (folder / "samples.png").unlink()
    succeeds(command("push", folder, REPO))
    assert "samples.png)" not in their_readme(hub)


def test_measured_figures_go_into_the_model_index(hub: Hub, folder):
    from msgspec.structs import replace

    from zoo_core.registries import Metric

    known = replace(
        zoo.registry()["vae-mnist"],
        metrics={
            "fid": Metric(
                value=9.5, error=0.2, dataset="mnist", split="test", samples=10_000, seed=0, extractor="inception-v3"
            )
        },
    )
    publish(make_plan(folder, REPO, known=known))
    (result,) = ModelCard(their_readme(hub)).data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name, result.dataset_split) == (
        "fid",
        9.5,
        "mnist",
        "test",
    )
    assert result.metric_args == {"samples": 10_000, "seed": 0, "extractor": "inception-v3", "error": 0.2}
    assert "| fid | 9.5 ± 0.2 | mnist test | 10,000 | 0 | inception-v3 | - |" in their_readme(hub)


def test_what_a_person_wrote_on_the_hub_stays(hub: Hub, folder, command):
    succeeds(command("push", folder, REPO))
    before = their_readme(hub)
    edited = before.replace("<!-- zoo-core: generated from", "My own words.\n\n<!-- zoo-core: generated from")
    edited = edited.replace("license: apache-2.0", "license: mit  # as agreed").replace(
        "- grey\n", "- grey\n- my-tag\n"
    )
    edited = edited.replace("library_name: zoo-core\n", "language: en\nlibrary_name: other\n") + "\nA word below.\n"
    edited = edited.replace("## Configuration", "## Changed by hand")
    edit_readme(hub, edited)
    succeeds(command("push", folder, REPO))
    after = their_readme(hub)
    for kept in ("My own words.", "A word below.", "license: mit  # as agreed", "- my-tag", "language: en"):
        assert kept in after
    assert "library_name: zoo-core" in after
    assert "## Configuration" in after
    assert "Changed by hand" not in after
    hub.forget()
    succeeds(command("push", folder, REPO))
    assert changes_asked_for(hub) == []


@pytest.mark.parametrize("lfs", [[], ["README.md"]])
def test_a_card_that_was_changed_in_transit_is_not_published(hub: Hub, folder, command, lfs):
    """A figure, for example: everything that comes from the Hub is compared with the digests of its commit."""
    hub.api().create_repo(REPO)
    hub.plant(REPO, {"README.md": b"# Mine\n\nFID 14.7\n"}, lfs=lfs)
    for action in (flip(12), resize(5), resize(-3), status(200, body="# Mine\n\nFID 04.7\n")):
        hub.forget()
        hub.fail(action, method="GET", path="*/README.md" if not lfs else "/cdn/*")
        fails(command("push", folder, REPO), "README.md: what was received is not the file of that commit")
        assert changes_asked_for(hub) == []
        hub.heal()
    succeeds(command("push", folder, REPO))
    assert "FID 14.7" in their_readme(hub)


def test_a_program_sends_nothing_through_code_that_would_take_the_token_elsewhere(hub: Hub, folder, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(client._Process, "owned", False)
    zoo.push(folder, REPO)
    assert not hub.requests("GET", "*/xet-write-token/*")
    monkeypatch.setattr(client._Process, "owned", True)
    assert client.keeps_the_token()


def test_a_card_without_an_end_is_not_read_to_the_end(hub: Hub, folder, command):
    hub.api().create_repo(REPO)
    hub.plant(REPO, {"README.md": b"# Mine\n"})
    hub.fail(status(200, body="x" * 3_000_000), method="GET", path="*/README.md")
    fails(command("push", folder, REPO), "sends more than 2,097,152 bytes")
    hub.plant(REPO, {"README.md": b"x" * 3_000_000})
    fails(command("push", folder, REPO), "has 3,000,000 bytes, more than 2,097,152; shorten it on the Hub first")


def test_a_card_that_is_all_a_persons_gets_its_metadata_alone(hub: Hub, folder, command):
    edit_readme(hub, "---\ntitle: x\n---\n# All mine\r\n\r\ntext  \n")
    succeeds(command("push", folder, REPO))
    after = their_readme(hub)
    assert after.endswith("---\n# All mine\r\n\r\ntext  \n")
    assert "generated" not in after
    assert ModelCard(after).data.library_name == "zoo-core"


def test_a_card_without_metadata_gets_some(hub: Hub, folder, command):
    edit_readme(hub, "# All mine\n")
    succeeds(command("push", folder, REPO))
    assert their_readme(hub).endswith("---\n# All mine\n")
    assert ModelCard(their_readme(hub)).data.license == "apache-2.0"


def test_the_folders_own_words_are_published_at_first(hub: Hub, folder, command):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n\nMy words.\n")
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")  # no registry's model any more
    succeeds(command("push", folder, REPO))
    text = their_readme(hub)
    assert "My words." in text
    assert "license: mit" in text
    assert "zoo sample hf://alice/digits" in text


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{k}: &{k} [*{j}, *{j}, *{j}]\n" for j, k in zip("abcdefgh", "bcdefghi", strict=True)
)
HEADS = {
    "no YAML": "a: [",
    "no mapping": "- a",
    "aliases that stand for billions": ALIASES,
    "deep nesting": "a: " + "[" * 100 + "]" * 100,
    "too long": "a: " + "x" * 200_000,
}


@pytest.mark.parametrize("case", HEADS)
def test_metadata_that_cannot_be_kept_is_not_overwritten(hub: Hub, folder, command, case):
    hub.api().create_repo(REPO)
    hub.plant(REPO, {"README.md": f"---\n{HEADS[case]}\n---\n# Mine\n".encode()})
    hub.forget()
    fails(command("push", folder, REPO), "the README has metadata that cannot be read")
    assert changes_asked_for(hub) == []


# the registry file


def test_registering_keeps_comments_and_order_and_changes_nothing_else(hub: Hub, folder, command, tmp_path):
    file = tmp_path / "team.yaml"
    text = (
        "# ours\nversion: 1   # the format\nmodels:\n\n  # first\n  zebra:\n    architecture: vae  # a remark\n    license: 'mit'\n"
        "    tags: [a,  b]\n    dataset: on\n    training: {steps: 0x10, seed: 0, batch_size: 1}\n"
    ).replace("0x10", "10")
    digits = "  digits:\n    architecture: vae\n    summary: Our own words\n    license:\n\n# the end\n"
    file.write_text(text + digits)
    succeeds(command("push", folder, REPO, "--register", file))
    after = file.read_text()
    assert after.startswith(
        "# ours\nversion: 1   # the format\nmodels:\n\n  # first\n  zebra:\n    architecture: vae  # a remark\n"
    )
    assert "    license: 'mit'\n" in after
    assert "    dataset: on\n" in after
    assert "summary: Our own words" in after
    assert "# the end\n" in after
    found = zoo.Registry.from_file(file)
    assert list(found) == ["digits", "zebra"]
    assert found["digits"].summary == "Our own words"
    assert found["digits"].license == "apache-2.0"
    succeeds(command("push", folder, REPO, "--register", file))
    assert file.read_text() == after
    assert [path.name for path in tmp_path.iterdir() if "team" in path.name] == ["team.yaml"]


def test_a_registry_that_is_wrong_is_told_before_anything_is_pushed(hub: Hub, folder, command, tmp_path):
    file = tmp_path / "team.yaml"
    file.write_text("version: 1\nmodels:\n  a:\n    architectur: vae\n")
    fails(command("push", folder, REPO, "--register", file), "team.yaml, line 4")
    fails(command("push", folder, REPO, "--register", tmp_path / "no" / "such.yaml"), "cannot be written")
    assert hub.requests() == []


def test_a_registry_that_would_be_wrong_stays_as_it_was(tmp_path):
    file = tmp_path / "team.yaml"
    text = "version: 1\nmodels:\n  other:\n    architecture: vae\n    aliases: [digits]\n"
    file.write_text(text)
    with pytest.raises(RegistryError, match="digits is already the name of a model"):
        editing.write_entry(file, zoo.ModelEntry(name="digits", architecture="vae"))
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_many_who_register_at_once_are_all_there(hub: Hub, tmp_path):
    file = tmp_path / "team.yaml"
    script = (
        "import sys; from pathlib import Path; from zoo_core.registries.editing import write_entry;"
        "from zoo_core.registries import ModelEntry\n"
        "for i in range(5): write_entry(Path(sys.argv[1]), ModelEntry(name=f'm{sys.argv[2]}-{i}', architecture='vae'))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(file), str(n)]) for n in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert len(zoo.Registry.from_file(file)) == 20


@pytest.mark.parametrize("digest", ["0" * 64, "1" * 32 + "e" + "2" * 31, "0" * 62 + "1e"])
def test_a_digest_that_looks_like_a_number_stays_text(tmp_path, digest):
    import yaml

    from zoo_core.registries import FileFacts

    file = tmp_path / "team.yaml"
    entry = zoo.ModelEntry(name="m", architecture="vae", files={"a": FileFacts(sha256=digest, size=1)})
    editing.write_entry(file, entry)
    editing.write_entry(file, entry)
    assert zoo.Registry.from_file(file)["m"].files == entry.files
    assert yaml.safe_load(file.read_text())["models"]["m"]["files"]["a"] == {"sha256": digest, "size": 1}


# faults: the old commit or the new one, and the command says which

SENDING = {"method": "PUT", "path": "/upload/*"}
COMMIT = {"method": "POST", "path": "*/commit/main"}
MENDED = {
    "503 on sending": [(status(503), SENDING)],
    "500 on sending": [(status(500), SENDING)],
    "a connection that ends while sending": [(refuse(), SENDING)],
    "an answer that is lost after sending": [(lose(), SENDING)],
    "503 on committing": [(status(503), COMMIT)],
    "500 on committing": [(status(500), COMMIT | {"times": 2})],
    "a connection that ends on committing": [(refuse(), COMMIT)],
    "an answer that is lost after the commit": [(lose(), COMMIT)],
    "an answer to the commit that is reset": [(reset(), COMMIT)],
    "a 503 in place of the commit's answer": [(lose(503), COMMIT)],
    "503 on asking what is there": [(status(503), {"path": f"/api/models/{REPO}"})],
    "503 on creating": [(status(503), {"path": "/api/repos/create"})],
    "an answer that is lost after creating": [(lose(), {"path": "/api/repos/create"})],
    "503 on asking for Xet": [(status(503), {"path": "*/xet-write-token/*"})],
    "503 on preupload": [(status(503), {"path": "*/preupload/*"})],
    "429 on the LFS batch": [(status(429, retry_after=1), {"path": "*/objects/batch"})],
    "503 on LFS verify": [(status(503), {"path": "*/objects/verify"})],
    "503 on checking the commit": [(status(503), {"path": "*/paths-info/*"})],
    "an answer that is cut": [(cut(5), {"path": f"/api/models/{REPO}"})],
    "an answer that is reset": [(reset(5), {"path": "*/refs"})],
}  # fmt: skip


@pytest.mark.parametrize("case", MENDED)
def test_a_fault_that_passes_costs_time_only(hub: Hub, folder, command, case):
    numbers = [hub.fail(action, **where) for action, where in MENDED[case]]
    succeeds(command("push", folder, REPO, "--tag", "v1"))
    assert all(hub.hits(number) for number in numbers)
    assert files_of(hub)["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert len(commits(hub)) == 2


@pytest.mark.parametrize("kind", ["ReadError", "WriteError", "RemoteProtocolError", "ConnectError", "ReadTimeout"])
def test_every_failure_of_the_connection_is_tried_again(impatient, kind):
    """Which of them a connection that ends is, depends on what was on its way."""
    asked = []

    def ask() -> None:
        asked.append(kind)
        raise getattr(httpx2, kind)("no luck")

    with pytest.raises(UnreachableError, match="cannot be reached"):
        attempt(HubResource(REPO), ask, attempts=2)
    assert len(asked) == 2


REFUSED = {
    "401": (status(401, message="Invalid credentials in Authorization header"), {"path": "*/preupload/*"}, "the token was refused"),
    "403 on creating": (status(403), {"path": "/api/repos/create"}, "no permission to make it"),
    "403 on committing": (status(403), COMMIT, "no permission to write it"),
    "404 on committing": (status(404, error="RepoNotFound"), COMMIT, "there is no such repository"),
    "412": (status(412), COMMIT, "was changed by somebody else in the meantime"),
    "429 for an hour": (status(429, retry_after=3600), COMMIT, "asks to wait 3600 s"),
    "503 for ever": (status(503), COMMIT | {"times": None}, "the Hub answers 503"),
    "refusals for ever": (refuse(), COMMIT | {"times": None}, "cannot be reached"),
    "403 on sending": (status(403), SENDING, "the storage http://127.0.0.1"),
    "another size at the end": (lie(1), {"path": "*/paths-info/*", "times": None}, "the Hub holds another"),
    "a bit that is flipped in an answer": (flip(0), {"path": "*/preupload/*"}, "as a Hub does ("),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_that_stays_is_one_line_and_the_next_push_succeeds(hub: Hub, folder, command, case):
    action, where, reason = REFUSED[case]
    hub.fail(action, **where)
    fails(command("push", folder, REPO), reason)
    hub.heal()
    succeeds(command("push", folder, REPO))
    assert len(commits(hub)) == 2
    assert set(files_of(hub)) == NAMES


def test_a_hub_that_is_down_is_one_line(hub: Hub, folder, command):
    hub.stop()
    fails(command("push", folder, REPO), f"{hub.url} cannot be reached")


def test_whoever_pushed_in_between_is_not_overwritten(hub: Hub, folder, impatient):
    succeeds(CliRunner().invoke(main, ["push", str(folder), REPO]))
    (folder / "samples.png").unlink()
    (folder / "training.yaml").write_text("steps: 2\n")
    plan = make_plan(folder, REPO)
    put(hub, {"README.md": b"# theirs\n"})
    with pytest.raises(HubError, match="was changed by somebody else in the meantime"):
        publish(plan)
    assert files_of(hub)["README.md"] == b"# theirs\n"


def test_a_lost_answer_and_somebody_elses_commit_are_told_apart(hub: Hub, folder, impatient):
    hub.api().create_repo(REPO)
    plan = make_plan(folder, REPO)
    hub.fail(status(503), **COMMIT, times=None)
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            publish(plan)
        except HubError as error:
            failures.append(error)

    worker = threading.Thread(target=attempt)
    worker.start()
    worker.join(60)
    assert failures
    assert "503" in str(failures[0])
    assert len(commits(hub)) == 1


# the token


def test_without_a_token_nothing_is_asked_of_the_hub(hub: Hub, folder, zoo):
    env = environment()
    del env["HF_TOKEN"]
    fails(zoo("push", folder, REPO, env=env), "needs a token: log in with `hf auth login`, or set HF_TOKEN")
    assert hub.requests() == []


def test_a_token_that_is_not_accepted_is_told_and_not_shown(hub: Hub, folder, zoo):
    done = zoo("push", folder, REPO, env=environment(HF_TOKEN="hf_expired_secret"))
    fails(done, "the token was refused")
    assert "secret" not in done.stderr


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_the_token_is_never_shown_written_or_passed_on(hub: Hub, folder, zoo, hub_home, tmp_path, debug):
    """Not by a Hub that repeats it in its answers either."""
    hub.fail(status(400, message="you sent hf_test", body='{"error": "Bearer hf_test"}'), **COMMIT)
    done = zoo(*debug, "push", folder, REPO, "--register", "team.yaml", env=environment(HF_DEBUG="1"))
    assert done.returncode == 1
    assert "hf_test" not in done.stdout + done.stderr
    done = zoo(*debug, "push", folder, REPO, "--register", "team.yaml")
    assert done.returncode == 0
    assert "hf_test" not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "team.yaml" in written
    for path in written:
        assert b"hf_test" not in path.read_bytes(), path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_has_the_token_in_its_arguments(hub: Hub, folder):
    hub.fail(hang(), path="*/preupload/*")
    process = start("push", folder, REPO)
    while not hub.requests(path="*/preupload/*"):
        assert process.poll() is None, process.communicate()
        assert not any(b"hf_test" in command for command in commands_at_work())
        time.sleep(0.05)
    commands = commands_at_work()
    assert any(b"push" in command for command in commands)
    assert not any(b"hf_test" in command for command in commands)
    hub.heal()
    told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def commands_at_work() -> list[bytes]:
    """The arguments of every process."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(file.read_bytes())
    return found


# everything


def test_every_bundled_model_comes_back_bit_for_bit(hub: Hub, hub_home, command, tmp_path, monkeypatch):
    """Publish all, forget all, pull and sample; then again with the Hub stopped."""
    done = command("push", "--all", "--namespace", "guild", "--register", tmp_path / "all.yaml")
    succeeds(done)
    names = bundled_here()
    assert list(zoo.Registry.from_file(tmp_path / "all.yaml")) == names
    text = (tmp_path / "all.yaml").read_text()
    for name in names:
        text = text.replace(f"  {name}:\n", f"  far-{name}:\n")
    (tmp_path / "team.yaml").write_text(text)
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "team.yaml"))
    shutil.rmtree(hub_home, ignore_errors=True)
    for running in (True, False):
        if not running:
            hub.stop()
        folders = succeeds(command("pull", *(f"far-{name}" for name in names)))
        for name, folder in zip(names, folders, strict=True):
            bundled = zoo.registry()[name].folder
            assert (Path(folder) / "model.safetensors").read_bytes() == (bundled / "model.safetensors").read_bytes()
            pictures = []
            for model in (name, f"far-{name}"):
                out = tmp_path / f"{running}-{model}.png"
                succeeds(CliRunner().invoke(main, ["sample", model, "-n", "4", "-o", str(out), "--device", "cpu"]))
                pictures.append(out.read_bytes())
            assert pictures[0] == pictures[1]


def test_publishing_everything_twice_changes_nothing(hub: Hub, command):
    first = succeeds(command("push", "--all", "--namespace", "guild"))
    hub.forget()
    assert succeeds(command("push", "--all", "--namespace", "guild")) == first
    assert changes_asked_for(hub) == []


PACKAGE = Path(os.environ.get("ZOO_JAVASCRIPT_HUB", ROOT / "tests" / "hub"))


@pytest.mark.skipif(
    shutil.which("node") is None or not (PACKAGE / "node_modules" / "@huggingface" / "hub").is_dir(),
    reason="there is no node, or no @huggingface/hub: npm install --prefix tests/hub",
)
def test_an_independent_client_reads_what_was_pushed_file_for_file(hub: Hub, folder, command):
    import hashlib

    succeeds(command("push", folder, REPO))

    def javascript(call: str, **arguments: object) -> object:
        request = {"call": call, "hubUrl": hub.url, "accessToken": ALICE, "repo": REPO} | arguments
        script = [shutil.which("node"), ROOT / "tests" / "hub" / "client.mjs", PACKAGE, json.dumps(request)]
        return json.loads(subprocess.run(script, capture_output=True, text=True, check=True, timeout=60).stdout)[
            "result"
        ]

    there = files_of(hub)
    listed = {item["path"]: item["size"] for item in javascript("listFiles", recursive=True) if item["path"] in NAMES}
    assert listed == {name: len(content) for name, content in there.items()}
    for name, content in there.items():
        assert javascript("download", path=name) == {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def test_a_folder_that_was_trained_here_is_published_with_what_its_run_says(hub: Hub, folder):
    run = {"settings": {"steps": 7, "seed": 3, "batch_size": 5}, "data": {"name": "my-data"}, "finished": True}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "README.md").unlink()
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")  # no registry's model any more
    entry = zoo.push(folder, REPO)
    assert (entry.dataset, entry.training.steps, entry.training.seed) == ("my-data", 7, 3)
    assert "| steps | 7 |" in their_readme(hub)


def test_a_model_of_a_stopped_run_is_published_with_the_steps_that_it_has_and_what_was_changed(hub: Hub, folder):
    change = {"step": 4, "settings": {"learning_rate": {"was": 0.1, "now": 0.05}}}
    settings = {"steps": 900, "seed": 3, "batch_size": 5, "learning_rate": 0.05}
    (folder / "run.json").write_text(json.dumps({"settings": settings, "model_step": 7, "changes": [change]}))
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")  # no registry's model any more
    entry = zoo.push(folder, REPO)
    assert entry.training.steps == 7
    assert "| steps | 7 (of 900 planned) |" in their_readme(hub)
    assert "| learning_rate | 0.05 (0.1 until step 4) |" in their_readme(hub)


def test_a_readme_that_is_not_text_is_refused(hub: Hub, folder):
    (folder / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelFolderError, match="is not UTF-8"):
        zoo.push(folder, REPO)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("run.json", b'{"settings": {"steps": 7', "is not JSON"),
        ("run.json", b'{"tool": "of another program"}', "is not the record of a training run"),
        ("training.yaml", b"a: &a [x]\nb: [*a, *a]\n", "line 1: anchors are not allowed"),
        ("training.yaml", b"steps: 1\nsteps: 2\n", "line 2: the key 'steps'"),
        ("training.yaml", b"- steps\n", "is not a mapping of settings"),
        ("training.yaml", b"steps: \xff\n", "is not UTF-8"),
        ("training.yaml", b"a: " + b"x" * 100_000, "is larger than 100,000 bytes"),
        ("training.yaml", b"a: " + b"[" * 50 + b"]" * 50, "is nested more than"),
    ],
)
def test_settings_that_cannot_be_read_are_named_before_the_hub_is_asked(hub: Hub, folder, name, content, problem):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=problem) as refused:
        make_plan(folder, REPO)
    assert str(refused.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(refused.value)
    assert hub.requests() == []


def test_the_cards_table_shows_settings_as_the_file_writes_them(hub: Hub, folder):
    (folder / "training.yaml").write_text(
        "steps: 020\nlearning_rate: 2.0e-4\nspectral_norm: true\naugment: [color, on]\n"
    )
    card = make_plan(folder, REPO).files["README.md"].read().decode()
    rows = "| steps | 020 |\n| learning_rate | 2.0e-4 |\n| spectral_norm | True |\n| augment | color, on |\n"
    assert rows in card
