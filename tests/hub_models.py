"""What the tests of pull, push and the cache share: models on the loopback Hub, and what a command owes its user."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from tests.hub import Hub
from zoo_core import catalog
from zoo_core.registries import FileFacts, HubLocation, ModelEntry
from zoo_core.registries.editing import write_entry

ROOT = Path(__file__).parent.parent
BUNDLED = ROOT / "plugins" / "vae" / "zoo_vae" / "weights" / "vae-mnist"
REPO = "alice/digits"


def put(hub: Hub, files: dict[str, bytes], repo: str = REPO) -> str:
    """Commit files, as any client does; returns the commit."""
    from huggingface_hub import CommitOperationAdd

    api = hub.api()
    api.create_repo(repo, exist_ok=True)
    done = api.create_commit(repo, [CommitOperationAdd(*file) for file in files.items()], commit_message="Files")
    hub.forget()
    return str(done.oid)


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def entry_of(files: dict[str, bytes], commit: str, repo: str = REPO, name: str = "digits") -> ModelEntry:
    """An entry that pins these files."""
    facts = {key: FileFacts(sha256=hashlib.sha256(value).hexdigest(), size=len(value)) for key, value in files.items()}
    hub = HubLocation(repo=repo, revision=commit)
    return ModelEntry(name=name, architecture="vae", plugin="zoo-vae", files=facts, hub=hub)


def use(entry: ModelEntry, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ZOO_REGISTRY be a file with this entry."""
    write_entry(file, entry)
    monkeypatch.setenv("ZOO_REGISTRY", str(file))
    catalog.registry.cache_clear()


def fails(result: Result | subprocess.CompletedProcess[str], *parts: str) -> list[str]:
    """The contract of every failure: exit code 1, nothing on stdout, a last line that says why; returns the others."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert (code, result.stdout) == (1, ""), (result.stdout, result.stderr)
    *before, last = result.stderr.splitlines()
    assert last.startswith("zoo: ")
    for part in parts:
        assert part in last, last
    assert all(line.startswith("zoo: ") for line in before), before
    assert "Traceback" not in result.stderr
    return before


def succeeds(result: Result | subprocess.CompletedProcess[str]) -> list[str]:
    """Exit code 0; returns the lines of stdout."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 0, result.stderr
    return result.stdout.splitlines()


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The command in a process of its own, at work."""
    command = [sys.executable, "-m", "zoo_core", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(pipes | options))  # type: ignore[call-overload, no-any-return]


def cache(home: Path) -> Path:
    return home / "hub"


def blobs(home: Path) -> list[Path]:
    """Every blob in the cache, unfinished ones too."""
    return sorted(path for path in cache(home).glob("models--*/blobs/*"))


def environment(**variables: str) -> dict[str, str]:
    return os.environ | variables
