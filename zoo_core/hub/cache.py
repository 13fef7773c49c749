"""The cache that all tools of the Hub share: what is in it, and whether it is intact. Opens no connection.

models--user--repo/refs/main                     the commit that a name stood for when it was last requested
models--user--repo/snapshots/COMMIT/config.json  a link into blobs, or the file itself where there are no links
models--user--repo/blobs/ETAG                    ETAG: the sha256 of a file under LFS, git's sha1 of any other
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from zoo_core.errors import DigestError, ModelFolderError, printable
from zoo_core.files import locks, verified_digests
from zoo_core.files.atomic import write_bytes
from zoo_core.files.digests import file_sha256
from zoo_core.files.paths import stays_inside
from zoo_core.hub.errors import disk_problem
from zoo_core.hub.settings import cache_folder, state_folder
from zoo_core.registries import FileFacts
from zoo_core.registries.address import COMMIT, SHA256

REMOVED = "it was removed from the cache, pull again to download it again"


class StatedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stated of a file: its size, and its sha256 or the sha1 that git gives it.

    Attributes:
        by: who states it, for messages.

    Example:
        >>> StatedFile(0, sha1="e69de29bb2d1d6434b8b29ae775ad8c2e48c5391").by
        'the registry'
    """

    size: int
    sha256: str | None = None
    sha1: str | None = None
    by: str = "the registry"

    @classmethod
    def of(cls, facts: FileFacts) -> StatedFile:
        """Return what a registry states of a file."""
        return cls(facts.size, sha256=facts.sha256)


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


def holds(folder: Path, name: str, stated: StatedFile | None, *, trust_records: bool = True) -> bool:
    """Whether a snapshot has a file and the file is intact. A damaged file is removed.

    Args:
        stated: what is stated of the file; None compares it with the digest that its blob is named by.
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
        expected = stated or stated_by_name(real)
        if expected is not None:
            _compare_or_remove(path, real, expected, trust_records=trust_records)
    except (FileNotFoundError, NotADirectoryError):  # another process removed it as damaged, or there is no cache
        return False
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
    return True


def stated_by_name(path: Path) -> StatedFile | None:
    """Return what the name of a file's blob states of its content: its sha256, git's sha1, or nothing.

    Raises:
        OSError: where there is no such file.
    """
    real, by = path.resolve(strict=True), "its name in the cache"
    if SHA256.fullmatch(real.name):
        return StatedFile(real.stat().st_size, sha256=real.name, by=by)
    if COMMIT.fullmatch(real.name) and real.parent.name == "blobs":
        return StatedFile(real.stat().st_size, sha1=real.name, by=by)
    return None


def _compare_or_remove(path: Path, real: Path, expected: StatedFile, *, trust_records: bool) -> None:
    def sha256() -> str:
        return verified_digests.sha256_of(real, verified_folder()) if trust_records else file_sha256(real)

    try:
        compare(path, expected, real.stat().st_size, sha256=sha256, sha1=lambda: git_sha1_of(real))
    except ModelFolderError:
        _remove(path, real)
        raise


def compare(
    place: Path | str,
    stated: StatedFile,
    size: int,
    *,
    sha256: Callable[[], str],
    sha1: Callable[[], str],
    note: str = REMOVED,
) -> None:
    """Compare a file with what is stated of it.

    Args:
        place: the file, for messages.
        size: its size in bytes.
        sha256, sha1: compute its digests.
        note: what becomes of a file that differs.

    Raises:
        ModelFolderError, DigestError: where it differs.
    """
    if size != stated.size:
        raise ModelFolderError(place, f"has {size:,} bytes, but {stated.by} states {stated.size:,}; {note}")
    if stated.sha256 is not None and (found := sha256()) != stated.sha256:
        raise DigestError(place, stated.sha256, found, by=stated.by, note=note)
    if stated.sha1 is not None and (found := sha1()) != stated.sha1:
        raise ModelFolderError(place, f"git's sha1 is {found}, but {stated.by} states {stated.sha1}; {note}")


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


def git_sha1_of(path: Path) -> str:
    """Return the name that git gives to a file, which is read in pieces. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


# what was downloaded


def adopt(partial: Path, repo: str, commit: str, name: str, digest: str) -> None:
    """Give a file that was downloaded and verified its name among the blobs, and link it into a snapshot.

    Args:
        digest: the name of the blob.

    Raises:
        OSError: where the cache cannot be written.
    """
    blob = repository_folder(repo) / "blobs" / digest
    partial.replace(blob)
    _link(blob, snapshot_folder(repo, commit) / name)


def link_blob(repo: str, commit: str, name: str, digest: str, stated: StatedFile | None) -> bool:
    """Link a blob that another commit brought into a snapshot. Return whether there was one, and intact.

    Raises:
        OSError: where the cache cannot be written.
    """
    blob = repository_folder(repo) / "blobs" / digest
    try:
        expected = stated or stated_by_name(blob)
        if expected is None or not blob.is_file():
            return False
        _compare_or_remove(blob, blob, expected, trust_records=True)
    except (OSError, ModelFolderError):
        return False
    _link(blob, snapshot_folder(repo, commit) / name)
    return True


def _link(blob: Path, place: Path) -> None:
    """Make `place` a relative link to a blob; where there are no links, as on Windows, move the blob there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{secrets.token_hex(4)}.tmp")
    try:
        temporary.symlink_to(os.path.relpath(blob, place.parent))
    except (NotImplementedError, OSError):
        blob.replace(place)
        return
    try:
        temporary.replace(place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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


def read_listing(repo: str, commit: str) -> dict[str, StatedFile | None] | None:
    """Return what the Hub stated of the files that were pulled of a commit, or None unless the pull was completed."""
    try:
        return msgspec.json.decode(_listing(repo, commit).read_bytes(), type=dict[str, StatedFile | None])
    except (OSError, msgspec.MsgspecError):  # earlier versions recorded the names alone
        return None


def write_listing(repo: str, commit: str, files: Mapping[str, StatedFile | None]) -> None:
    """Record that these files of a commit were all pulled. Where this cannot be written, the Hub is asked again."""
    path = _listing(repo, commit)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, msgspec.json.encode(dict(files)))


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
