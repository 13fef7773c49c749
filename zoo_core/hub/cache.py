"""What lies in the cache that all tools of the Hub share, and checking it. Opens no connection.

models--user--repo/refs/main                     the commit that a name stood for when it was last asked
models--user--repo/snapshots/COMMIT/config.json  a link into blobs, or the file itself where there are no links
models--user--repo/blobs/ETAG                    ETAG: the sha256 of what is under LFS, git's sha1 of all else
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import urllib.parse
from pathlib import Path

import msgspec

from zoo_core.errors import DigestError, ModelFolderError, printable
from zoo_core.files.atomic import write_bytes
from zoo_core.files.digests import file_sha256
from zoo_core.files.paths import stays_inside
from zoo_core.hub import client, verified_digests
from zoo_core.registries import FileFacts
from zoo_core.registries.address import COMMIT

REMOVED = "it was removed from the cache, pull again to fetch it anew"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SMALL = 64 * 2**20  # bytes; what is not under LFS is smaller


def repository_folder(repo: str) -> Path:
    """Where the cache keeps a repository of models."""
    return client.cache_folder() / f"models--{repo.replace('/', '--')}"


def snapshot_folder(repo: str, commit: str) -> Path:
    """Where the cache keeps the files of one commit."""
    return repository_folder(repo) / "snapshots" / commit


def stamps_folder() -> Path:
    """Where it is written down which file was verified."""
    return client.state_folder() / "verified"


def lock_file(name: str) -> Path:
    """Of a lock between processes that concerns `name`; beside the client's own, where the cache's scans pass it by."""
    return client.cache_folder() / ".locks" / "zoo-core" / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.lock"


def holds(folder: Path, name: str, facts: FileFacts | None, *, stamped: bool = True) -> bool:
    """Whether a snapshot has a file, verified; one that is damaged is removed.

    Args:
        facts: what the registry states of it; None: compare it with the digest that its blob is named by.
        stamped: trust what was verified before and did not change since.

    Raises:
        ModelFolderError, DigestError: where the file is another one than is stated.
    """
    path = folder / name
    if not stays_inside(name):
        raise ModelFolderError(folder, f"the file name {printable(name, 80)!r} leaves the folder")
    try:
        if not path.exists():
            with contextlib.suppress(OSError):  # what keeps it from being removed keeps the download from being written
                path.unlink()  # a link to a blob that was removed
            return False
        real = path.resolve(strict=True)
        # A repository's folder may itself be a link, to a disk with more room.
        homes = (client.cache_folder().resolve(), folder.parent.parent.resolve())
        if not any(real.is_relative_to(home) for home in homes):
            raise ModelFolderError(path, "is a link that leaves the cache; remove it")
        if not real.is_file():
            raise ModelFolderError(path, "is not a regular file; remove it")
        expected = facts or _facts_by_name(real)
        if expected is not None:
            _compare(path, real, expected, "the registry" if facts else "its name in the cache", stamped=stamped)
    except (FileNotFoundError, NotADirectoryError):  # another process found it damaged first, or there is no cache
        return False
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
    return True


def is_verifiable(folder: Path, name: str) -> bool:
    """Whether a file's blob is named by a digest, so that it can be verified without a registry."""
    return _facts_by_name((folder / name).resolve()) is not None


def _facts_by_name(real: Path) -> FileFacts | str | None:
    """What a blob's name says of its content: a sha256, git's sha1, or nothing."""
    if _SHA256.fullmatch(real.name):
        return FileFacts(sha256=real.name, size=real.stat().st_size)
    return real.name if COMMIT.fullmatch(real.name) and real.parent.name == "blobs" else None


def _compare(path: Path, real: Path, expected: FileFacts | str, by: str, *, stamped: bool) -> None:
    size = real.stat().st_size
    if isinstance(expected, str):
        found = git_sha1(real.read_bytes()) if size <= _SMALL else "not computed, since it is too large"
        if found != expected:
            remove(path, real)
            raise ModelFolderError(path, f"git's sha1 is {found}, but the Hub states {expected}; {REMOVED}")
        return
    if size != expected.size:
        remove(path, real)
        raise ModelFolderError(path, f"has {size:,} bytes, but {by} states {expected.size:,}; {REMOVED}")
    found = verified_digests.sha256_of(real, stamps_folder()) if stamped else file_sha256(real)
    if found != expected.sha256:
        remove(path, real)
        raise DigestError(path, expected.sha256, found, by=by, note=REMOVED)


def remove(path: Path, real: Path) -> None:
    """Take a file out of the cache: the link and what it leads to."""
    verified_digests.forget(real, stamps_folder())
    for each in {path, real}:
        with contextlib.suppress(OSError):
            each.unlink()


def git_sha1(content: bytes) -> str:
    """The name that git gives to a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# what was asked for by name


def read_reference(repo: str, revision: str) -> str | None:
    """The commit that a branch or tag stood for when it was last pulled, or None."""
    try:
        text = (repository_folder(repo) / "refs" / revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if COMMIT.fullmatch(text) else None


def write_reference(repo: str, revision: str, commit: str) -> None:
    """Note the commit that a branch or tag stands for. Raises OutputError."""
    path = repository_folder(repo) / "refs" / revision
    if read_reference(repo, revision) != commit:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, commit.encode())


def read_listing(repo: str, commit: str) -> list[str] | None:
    """The files of a commit that were pulled, where all of them were."""
    try:
        return msgspec.json.decode(_listing(repo, commit).read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        return None


def write_listing(repo: str, commit: str, names: list[str]) -> None:
    """Note that these files of a commit are all there. A cache that cannot be written is asked for them again."""
    path = _listing(repo, commit)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, msgspec.json.encode(names))


def forget_listing(repo: str, commit: str) -> None:
    """Remove the note of what was pulled of a commit."""
    with contextlib.suppress(OSError):
        _listing(repo, commit).unlink()


def _listing(repo: str, commit: str) -> Path:
    return _pulled() / urllib.parse.quote(repo, safe="") / f"{commit}.json"


def note_pull(repo: str) -> None:
    """Note that files of a repository are about to be downloaded, so that what a kill leaves can be found."""
    with contextlib.suppress(OSError):
        (_pulled() / urllib.parse.quote(repo, safe="")).mkdir(parents=True, exist_ok=True)


def pulled_repositories() -> list[str]:
    """The repositories of which files were downloaded, or were about to be."""
    return [urllib.parse.unquote(folder.name) for folder in _pulled().iterdir()] if _pulled().is_dir() else []


def _pulled() -> Path:
    return client.state_folder() / "pulled"
