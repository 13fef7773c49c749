"""The cache that all tools of the Hub share: what is in it, and whether it is intact. Opens no connection.

models--user--repo/refs/main                     the commit that a name stood for when it was last requested
models--user--repo/snapshots/COMMIT/config.json  a link into blobs, or the file itself where there are no links
models--user--repo/blobs/ETAG                    ETAG: the sha256 of a file under LFS, git's sha1 of any other
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zoo_core.errors import DigestError, ModelFolderError, printable
from zoo_core.files import locks
from zoo_core.files.atomic import write_bytes
from zoo_core.files.digests import file_sha256
from zoo_core.files.paths import stays_inside
from zoo_core.hub import verified_digests
from zoo_core.hub.errors import disk_problem
from zoo_core.hub.settings import cache_folder, state_folder
from zoo_core.registries import FileFacts
from zoo_core.registries.address import COMMIT

REMOVED = "it was removed from the cache, pull again to download it again"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SMALL = 64 * 2**20  # bytes; what is not under LFS is smaller


def repository_folder(repo: str) -> Path:
    """Return the folder of a repository of models in the cache. It may not exist yet."""
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def snapshot_folder(repo: str, commit: str) -> Path:
    """Return the folder of the files of one commit in the cache. It may not exist yet."""
    return repository_folder(repo) / "snapshots" / commit


def verified_folder() -> Path:
    """Return the folder in which zoo-core records which files it has verified. It may not exist yet."""
    return state_folder() / "verified"


@contextlib.contextmanager
def locked_repository(repo: str) -> Iterator[None]:
    """Hold the lock of a repository, so that one process downloads and the others wait. A kill frees it.

    The lock is kept beside huggingface_hub's own, where scans of the cache pass it by.

    Raises:
        HubError: where the cache cannot be written.
    """
    key = hashlib.sha256(os.fsencode(repository_folder(repo))).hexdigest()[:40]
    path = cache_folder() / ".locks" / "zoo-core" / f"{key}.lock"
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(path, f"it pulls hf://{repo}"))
        except OSError as error:
            raise disk_problem(error, path.parent) from error
        yield


def holds(folder: Path, name: str, facts: FileFacts | None, *, trust_records: bool = True) -> bool:
    """Whether a snapshot has a file and the file is intact. A damaged file is removed.

    Args:
        facts: what the registry states of the file; None compares it with the digest that its blob is named by.
        trust_records: do not read again a file that was verified before and has not changed since.

    Raises:
        ModelFolderError, DigestError: where the file is not the one that is stated.
    """
    path = folder / name
    if not stays_inside(name):
        raise ModelFolderError(folder, f"the file name {printable(name, 80)!r} leaves the folder")
    try:
        if not path.exists():
            with contextlib.suppress(OSError):  # where this fails, the download will fail with the reason
                path.unlink()  # a link to a blob that was removed
            return False
        real = path.resolve(strict=True)
        # A repository's folder may itself be a link, to a larger disk.
        homes = (cache_folder().resolve(), folder.parent.parent.resolve())
        if not any(real.is_relative_to(home) for home in homes):
            raise ModelFolderError(path, "is a link that leaves the cache; remove it")
        if not real.is_file():
            raise ModelFolderError(path, "is not a regular file; remove it")
        expected = facts or _facts_by_name(real)
        if expected is not None:
            _compare(
                path, real, expected, "the registry" if facts else "its name in the cache", trust_records=trust_records
            )
    except (FileNotFoundError, NotADirectoryError):  # another process removed it as damaged, or there is no cache
        return False
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
    return True


def is_verifiable(folder: Path, name: str) -> bool:
    """Whether the blob of a file is named by a digest, so that it can be verified without a registry."""
    return _facts_by_name((folder / name).resolve()) is not None


def _facts_by_name(real: Path) -> FileFacts | str | None:
    """Return what the name of a blob states of its content: size and sha256, git's sha1, or nothing."""
    if _SHA256.fullmatch(real.name):
        return FileFacts(sha256=real.name, size=real.stat().st_size)
    return real.name if COMMIT.fullmatch(real.name) and real.parent.name == "blobs" else None


def _compare(path: Path, real: Path, expected: FileFacts | str, by: str, *, trust_records: bool) -> None:
    size = real.stat().st_size
    if isinstance(expected, str):
        sha1 = git_sha1(real.read_bytes()) if size <= _SMALL else "not computed, since it is too large"
        if sha1 != expected:
            _remove(path, real)
            raise ModelFolderError(path, f"git's sha1 is {sha1}, but the Hub states {expected}; {REMOVED}")
        return
    if size != expected.size:
        _remove(path, real)
        raise ModelFolderError(path, f"has {size:,} bytes, but {by} states {expected.size:,}; {REMOVED}")
    sha256 = verified_digests.sha256_of(real, verified_folder()) if trust_records else file_sha256(real)
    if sha256 != expected.sha256:
        _remove(path, real)
        raise DigestError(path, expected.sha256, sha256, by=by, note=REMOVED)


def _remove(path: Path, real: Path) -> None:
    """Remove a file from the cache: the link, and the blob that it leads to."""
    verified_digests.forget(real, verified_folder())
    for each in {path, real}:
        with contextlib.suppress(OSError):
            each.unlink()


def git_sha1(content: bytes) -> str:
    """Return the name that git gives to a file of this content, in hexadecimal.

    Example:
        >>> git_sha1(b"")
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# what branches and tags stood for, and what was pulled


def read_reference(repo: str, revision: str) -> str | None:
    """Return the commit that a branch or tag stood for when it was last pulled, or None."""
    try:
        text = (repository_folder(repo) / "refs" / revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if COMMIT.fullmatch(text) else None


def write_reference(repo: str, revision: str, commit: str) -> None:
    """Record the commit that a branch or tag stands for. Raises OutputError."""
    path = repository_folder(repo) / "refs" / revision
    if read_reference(repo, revision) != commit:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, commit.encode())


def read_listing(repo: str, commit: str) -> list[str] | None:
    """Return the names of a commit's files that were pulled, or None unless the pull was completed."""
    try:
        return msgspec.json.decode(_listing(repo, commit).read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        return None


def write_listing(repo: str, commit: str, names: list[str]) -> None:
    """Record that these files of a commit were all pulled. Where this cannot be written, the Hub is asked again."""
    path = _listing(repo, commit)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, msgspec.json.encode(names))


def forget_listing(repo: str, commit: str) -> None:
    """Remove the record of what was pulled of a commit."""
    with contextlib.suppress(OSError):
        _listing(repo, commit).unlink()


def _listing(repo: str, commit: str) -> Path:
    return _pulled() / urllib.parse.quote(repo, safe="") / f"{commit}.json"


def note_pull(repo: str) -> None:
    """Record that a download from a repository begins, so that what a killed process leaves can be found."""
    with contextlib.suppress(OSError):
        (_pulled() / urllib.parse.quote(repo, safe="")).mkdir(parents=True, exist_ok=True)


def pulled_repositories() -> list[str]:
    """Return the repositories from which files were downloaded, or were about to be."""
    return [urllib.parse.unquote(folder.name) for folder in _pulled().iterdir()] if _pulled().is_dir() else []


def _pulled() -> Path:
    return state_folder() / "pulled"
