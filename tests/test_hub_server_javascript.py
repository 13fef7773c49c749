"""An independent client agrees: @huggingface/hub from npm reads what Python pushed, and the reverse.

It is looked for in the folder that ZOO_JAVASCRIPT_HUB names, else in tests/hub: `npm install --prefix tests/hub`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, snapshot_download

from tests.hub import ALICE, BOB, Hub, status
from tests.hub.client import ROOT

pytest_plugins = ["tests.hub.fixture"]

CLIENT = ROOT / "tests" / "hub" / "client.mjs"
PACKAGE = Path(os.environ.get("ZOO_JAVASCRIPT_HUB", CLIENT.parent))
pytestmark = [
    pytest.mark.usefixtures("without_xet"),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node"),
    pytest.mark.skipif(
        not (PACKAGE / "node_modules" / "@huggingface" / "hub").is_dir(),
        reason="there is no @huggingface/hub: npm install --prefix tests/hub",
    ),
]

REPO = "alice/pets"
FILES = {
    "README.md": b"---\nlicense: mit\nlibrary_name: zoo-core\ntags: [gan]\n---\n# Pets\n",
    "config.json": b'{"latent": 64}\n',
    "model.safetensors": bytes(range(256)) * 5000,
    "deep/er/grid one.png": b"\x89PNG\r\n\x1a\n\0" + bytes(500),
    "empty.txt": b"",
}
Javascript = Callable[..., Any]


@pytest.fixture
def javascript(hub: Hub) -> Javascript:
    """Carry out one call of the client in a process of its own; an error comes back as a dictionary."""

    def call(name: str, /, token: str | None = ALICE, **arguments: Any) -> Any:
        request = {"call": name, "hubUrl": hub.url} | ({"accessToken": token} if token else {}) | arguments
        command = ["node", str(CLIENT), str(PACKAGE), json.dumps(request)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        answer = json.loads(done.stdout)
        return answer.get("result", answer)

    return call


@pytest.fixture
def pushed(hub: Hub) -> str:
    """By Python."""
    api = hub.api()
    api.create_repo(REPO)
    return api.create_commit(REPO, [CommitOperationAdd(*file) for file in FILES.items()], commit_message="Files").oid


@pytest.fixture
def local(tmp_path: Path) -> dict[str, str]:
    """FILES on disk: where each is."""
    for name, content in FILES.items():
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: str(tmp_path / "local" / name) for name in FILES}


def test_it_lists_what_python_pushed(javascript: Javascript, hub: Hub, pushed: str) -> None:
    hub.settings(page=3)
    entries = {entry["path"]: entry for entry in javascript("listFiles", repo=REPO, recursive=True)}
    assert {path for path, entry in entries.items() if entry["type"] == "file"} == {*FILES, ".gitattributes"}
    assert {path: entries[path]["size"] for path in FILES} == {path: len(content) for path, content in FILES.items()}
    assert entries["model.safetensors"]["lfs"]["oid"] == hashlib.sha256(FILES["model.safetensors"]).hexdigest()


@pytest.mark.parametrize("path", [path for path in FILES if path != "empty.txt"])  # it asks for bytes=0-0 first
def test_it_downloads_what_python_pushed(javascript: Javascript, hub: Hub, pushed: str, path: str) -> None:
    content = FILES[path]
    expected = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert javascript("download", repo=REPO, path=path) == expected
    assert javascript("download", repo=REPO, path=path, revision=pushed) == expected
    assert not any(request.token for request in hub.requests(side="cdn"))


def test_it_reads_private_files_with_a_token(javascript: Javascript, hub: Hub, pushed: str) -> None:
    hub.api().update_repo_settings(REPO, private=True)
    assert javascript("download", repo=REPO, path="model.safetensors")["size"] == len(FILES["model.safetensors"])
    assert javascript("download", token=BOB, repo=REPO, path="config.json")["status"] == 404
    assert javascript("download", token=None, repo=REPO, path="config.json")["status"] == 401
    assert not any(request.token for request in hub.requests(side="cdn"))


def test_it_knows_what_is_there(javascript: Javascript, pushed: str) -> None:
    assert javascript("fileExists", repo=REPO, path="model.safetensors") is True
    assert javascript("fileExists", repo=REPO, path="missing") is False
    assert javascript("download", repo=REPO, path="missing") is None
    assert javascript("repoExists", repo={"type": "model", "name": REPO}) is True
    assert javascript("repoExists", repo={"type": "model", "name": "alice/missing"}) is False
    info = javascript("fileDownloadInfo", repo=REPO, path="model.safetensors")
    assert info["size"] == len(FILES["model.safetensors"])
    assert [entry["path"] for entry in javascript("pathsInfo", repo=REPO, paths=["config.json", "missing"])] == [
        "config.json"
    ]


def test_it_says_who_it_is(javascript: Javascript) -> None:
    assert javascript("whoAmI")["name"] == "alice"
    assert javascript("whoAmI", token="hf_nonsense")["status"] == 401


def test_it_finds_models(javascript: Javascript, hub: Hub, pushed: str) -> None:
    hub.api(BOB).create_repo("bob/vae")
    found = javascript("listModels", search={"tags": ["zoo-core"]})
    assert [model["name"] for model in found] == [REPO]
    assert [model["name"] for model in javascript("listModels", search={"owner": "bob"})] == ["bob/vae"]
    info = javascript("modelInfo", name=REPO, additionalFields=["sha", "tags", "cardData"])
    assert (info["name"], info["sha"], info["cardData"]["license"]) == (REPO, pushed, "mit")


def test_it_lists_commits(javascript: Javascript, hub: Hub, pushed: str) -> None:
    hub.settings(page=1)
    commits = javascript("listCommits", repo=REPO)
    assert [(commit["oid"], commit["title"]) for commit in commits[:1]] == [(pushed, "Files")]
    assert len(commits) == 2


@pytest.mark.parametrize("use_xet", [False, True], ids=["lfs", "it falls back from Xet"])
@pytest.mark.parametrize("part", [None, 200_000], ids=["whole", "in parts"])
def test_python_reads_what_it_pushed(
    javascript: Javascript, hub: Hub, local: dict[str, str], tmp_path: Path, use_xet: bool, part: int | None
) -> None:
    if part:
        hub.settings(multipart_above=part, part=part)
    javascript("createRepo", repo={"type": "model", "name": REPO})
    done = javascript(
        "upload", repo={"type": "model", "name": REPO}, files=local, commitTitle="From afar", useXet=use_xet
    )
    folder = Path(snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path / "cache"))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert folder.name == done["commit"]["oid"]
    assert hub.api().list_repo_commits(REPO)[0].title == "From afar"
    assert len(hub.requests("PUT", "/part/*")) == (7 if part else 0)


def test_its_pull_requests_and_deletions_are_seen_by_python(
    javascript: Javascript, hub: Hub, local: dict[str, str], pushed: str
) -> None:
    files = {"new.bin": local["model.safetensors"]}
    done = javascript("upload", repo=REPO, files=files, commitTitle="Proposal", isPullRequest=True)
    assert done["pullRequestUrl"] == f"{hub.url}/{REPO}/discussions/1"
    assert hub.api().file_exists(REPO, "new.bin", revision="refs/pr/1")
    javascript("deleteFiles", repo=REPO, paths=["config.json", "deep/er/grid one.png"])
    assert set(hub.api().list_repo_files(REPO)) == {".gitattributes", "README.md", "empty.txt", "model.safetensors"}


def test_it_is_refused_like_python(javascript: Javascript, hub: Hub, local: dict[str, str], pushed: str) -> None:
    upload = {"repo": REPO, "files": {"a.bin": local["model.safetensors"]}, "commitTitle": "x"}
    assert javascript("upload", token=BOB, **upload)["status"] == 403
    javascript("upload", parentCommit=pushed, **upload)
    assert (
        javascript("upload", parentCommit=pushed, **upload | {"files": {"b.txt": local["README.md"]}})["status"] == 412
    )


def test_faults_reach_it(javascript: Javascript, hub: Hub, pushed: str) -> None:
    hub.fail(status(503), path="*/resolve/*")
    assert javascript("download", repo=REPO, path="config.json")["status"] == 503


def test_it_branches_and_deletes(javascript: Javascript, hub: Hub, pushed: str) -> None:
    repo = {"type": "model", "name": REPO}
    javascript("createBranch", repo=repo, branch="try/this")
    assert [branch.name for branch in hub.api().list_repo_refs(REPO).branches] == ["main", "try/this"]
    javascript("deleteBranch", repo=repo, branch="try/this")
    assert [branch.name for branch in hub.api().list_repo_refs(REPO).branches] == ["main"]
    javascript("deleteRepo", repo=repo)
    assert not hub.api().repo_exists(REPO)
