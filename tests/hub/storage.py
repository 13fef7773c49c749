"""Repositories on disk: a folder each, with its refs in repository.json and its commits, blobs and LFS objects as files.

In DATA/model/alice/pets: repository.json with visibility, branches, tags and discussions; commits/SHA.json, written before
the branch moves, so that a kill leaves the old head or the new one; blobs/SHA1, lfs/SHA256, parts/UPLOAD/NUMBER.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import bad_request, conflict, revision_not_found
from .gitattributes import DEFAULT
from .gitobjects import File, blob_hash, commit_hash, tree_hash

KINDS = ("model", "dataset", "space")
NAME = re.compile(r"(?!\.|-)(?!.*(--|\.\.))[\w.-]{1,96}(?<![.-])")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Commit:
    """A state of the repository, and how it came about."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: dict[str, File]


@dataclass
class Repository:
    """One repository; what changes is written by `save`."""

    folder: Path
    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    granted: list[str] = field(default_factory=list)
    created: str = field(default_factory=now)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    discussions: list[dict[str, Any]] = field(default_factory=list)
    downloads: int = 0

    @property
    def namespace(self) -> str:
        return self.id.partition("/")[0]

    @property
    def pull_requests(self) -> dict[str, str]:
        """Heads by ref."""
        return {f"refs/pr/{d['num']}": d["head"] for d in self.discussions if d["pull_request"]}

    def save(self) -> None:
        values = {name: value for name, value in vars(self).items() if name != "folder"}
        write_atomically(self.folder / "repository.json", json.dumps(values, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> Repository:
        return cls(folder=folder, **json.loads((folder / "repository.json").read_bytes()))

    # revisions

    def resolve(self, revision: str) -> str:
        """The commit that a branch, tag, pull request or hash means."""
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        revision = "main" if revision == "HEAD" else revision
        for names in (self.branches, self.tags, self.pull_requests):
            if revision in names:
                return names[revision]
        if re.fullmatch("[0-9a-f]{40}", revision) and self._commit_file(revision).is_file():
            return revision
        raise revision_not_found(revision)

    def commit(self, revision: str) -> Commit:
        values = json.loads(self._commit_file(self.resolve(revision)).read_bytes())
        return Commit(**values | {"files": {path: File(**file) for path, file in values["files"].items()}})

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits behind a revision, newest first."""
        commit = self.commit(revision)
        yield commit
        while commit.parent:
            commit = self.commit(commit.parent)
            yield commit

    def record(self, parent: str | None, files: dict[str, File], author: str, title: str, message: str = "") -> Commit:
        """Store a commit that no ref points to yet."""
        sha = commit_hash(tree_hash(files), parent, author, f"{title}\n\n{message}".strip())
        commit = Commit(sha, parent, title, message, author, now(), dict(sorted(files.items())))
        write_atomically(self._commit_file(sha), json.dumps(asdict(commit), indent=1).encode())
        return commit

    def _commit_file(self, sha: str) -> Path:
        return self.folder / "commits" / f"{sha}.json"

    # content

    def add_blob(self, content: bytes) -> File:
        file = File(blob_hash(content), len(content))
        path = self.folder / "blobs" / file.oid
        if not path.exists():
            write_atomically(path, content)
        return file

    def lfs_path(self, sha256: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise bad_request(f"not a SHA-256: {sha256}")
        return self.folder / "lfs" / sha256

    def has_lfs(self, sha256: str) -> bool:
        return self.lfs_path(sha256).is_file()

    def content_path(self, file: File) -> Path:
        return self.lfs_path(file.lfs) if file.lfs else self.folder / "blobs" / file.oid

    def read(self, commit: Commit, path: str) -> bytes | None:
        file = commit.files.get(path)
        return self.content_path(file).read_bytes() if file else None

    def parts_folder(self, upload: str) -> Path:
        return self.folder / "parts" / upload


class Store:
    """All repositories, in memory and on disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.load()

    def load(self) -> None:
        moved = self.folder / "moved.json"
        self.moved: dict[str, str] = json.loads(moved.read_bytes()) if moved.exists() else {}
        found = (Repository.load(path.parent) for path in sorted(self.folder.glob("*/*/*/repository.json")))
        self._repositories = {(repository.kind, repository.id): repository for repository in found}

    def reset(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.load()

    def find(self, kind: str, id: str) -> Repository | None:
        return self._repositories.get((kind, id))

    def all(self, kind: str) -> list[Repository]:
        return [repository for (k, _), repository in self._repositories.items() if k == kind]

    def create(self, kind: str, id: str, owner: str, private: bool) -> Repository:
        """With the first commit that the Hub makes itself: a .gitattributes."""
        folder = self._folder(kind, id)
        if (kind, id) in self._repositories:
            raise conflict(f"You already created this {kind} repo: {id}")
        repository = Repository(folder, kind, id, private)
        first = repository.record(None, {".gitattributes": repository.add_blob(DEFAULT)}, owner, "initial commit")
        repository.branches["main"] = first.id
        repository.save()
        self._repositories[kind, id] = repository
        self._forward(kind, id, None)
        return repository

    def delete(self, repository: Repository) -> None:
        del self._repositories[repository.kind, repository.id]
        shutil.rmtree(repository.folder)

    def move(self, repository: Repository, id: str) -> None:
        """The old name goes on as a redirect."""
        folder = self._folder(repository.kind, id)
        if (repository.kind, id) in self._repositories:
            raise conflict(f"{id} already exists")
        del self._repositories[repository.kind, repository.id]
        folder.parent.mkdir(parents=True, exist_ok=True)
        repository.folder.rename(folder)
        old, repository.folder, repository.id = repository.id, folder, id
        repository.save()
        self._repositories[repository.kind, id] = repository
        self._forward(repository.kind, id, None)
        self._forward(repository.kind, old, id)

    def _forward(self, kind: str, old: str, new: str | None) -> None:
        self.moved.pop(f"{kind}:{old}", None)
        if new:
            self.moved[f"{kind}:{old}"] = new
        write_atomically(self.folder / "moved.json", json.dumps(self.moved).encode())

    def _folder(self, kind: str, id: str) -> Path:
        names = id.split("/")
        if kind not in KINDS or len(names) != 2 or not all(NAME.fullmatch(name) for name in names):
            raise bad_request(f"Invalid repository: {kind} {id}")
        return self.folder / kind / names[0] / names[1]


def write_atomically(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with receiving(path) as write:
        write(content)


class Receiver:
    """Content on its way into a file: call it with each piece."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
        self._file, self.temporary, self.path = os.fdopen(descriptor, "wb"), Path(name), path
        self.sha256, self.md5, self.size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0

    def __call__(self, piece: bytes) -> None:
        self._file.write(piece)
        self.sha256.update(piece)
        self.md5.update(piece)
        self.size += len(piece)

    def finish(self) -> None:
        self._file.close()
        self.temporary.replace(self.path)

    def abandon(self) -> None:
        self._file.close()
        self.temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def receiving(path: Path) -> Iterator[Receiver]:
    """Give a Receiver; the file appears when the block ends, and does not when it raises."""
    receiver = Receiver(path)
    try:
        yield receiver
    except BaseException:
        receiver.abandon()
        raise
    receiver.finish()


def directories(files: Mapping[str, File]) -> set[str]:
    """Every folder that the files imply, without the root."""
    return {parent for path in files for parent in _above(path)}


def _above(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: n + 1]) for n in range(len(parts)))
