"""Locks between processes, by filelock: one process at a time, and a killed process frees its locks."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo_core.errors import OutputError, ZooError, printable
from zoo_core.files.atomic import write_bytes
from zoo_core.files.folders import CACHE_VARIABLE, cache_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

_SILENT_SECONDS = 0.5  # a longer wait is worth a message
# What a network drive answers that knows files but no locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
_log = logging.getLogger("zoo_core")


@contextmanager
def locked(lock_file: Path, purpose: str) -> Iterator[None]:
    """Hold a lock while the block runs. If another process holds it, say so and wait.

    Args:
        lock_file: the file to lock, empty; created with its folder if it does not exist, and never deleted: a process
            that waits for a deleted file would not exclude one that creates it again.
        purpose: what the other process does, as the end of a sentence: `it pulls hf://user/repo`.

    Raises:
        OSError: if the lock file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / "lock", "it counts"):
        ...     pass  # one process at a time
    """
    from filelock import FileLock  # when a lock is taken: every look-up of a model imports this module

    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquired(FileLock(lock_file), purpose)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_for_editing(file: Path) -> Iterator[None]:
    """Hold the lock of a file that is read, changed and written again, so that no change of another process is lost.

    The lock is kept in the user's cache, so that no stray file appears beside the user's own.

    Raises:
        OutputError: if the cache cannot be written.

    Example:
        >>> with locked_for_editing(Path("registry.yaml")):
        ...     pass  # read it, change it, write it
    """
    # By its real path: all names of one file have one lock.
    key = hashlib.sha256(os.path.realpath(file).encode(errors="surrogateescape")).hexdigest()[:40]
    lock_file = cache_folder() / "locks" / f"{key}.lock"
    with ExitStack() as held:
        try:
            held.enter_context(locked(lock_file, f"it writes {printable(file)}"))
        except OSError as error:
            hint = f"; set {CACHE_VARIABLE} to a folder that can"
            raise OutputError.unwritable(lock_file, error, hint=hint) from error
        yield


def holder_file(lock_file: Path) -> Path:
    """Return the file beside a lock that states who holds it.

    Example:
        >>> holder_file(Path("run/.lock")).as_posix()
        'run/.lock.json'
    """
    return lock_file.with_name(f"{lock_file.name}.json")


@contextmanager
def held_alone(lock_file: Path, refusal: Callable[[str], ZooError]) -> Iterator[None]:
    """Hold a lock while the block runs. If another process holds it, do not wait: raise an error that says who.

    Who holds the lock stands in a file beside it. Both files are removed at the end; those of a killed process lock
    nothing. On a file system without locks, a warning says so and the block runs.

    Args:
        lock_file: the file to lock, in an existing folder.
        refusal: makes the error, from a text such as `process 4711 on gpu-box, since 2026-01-31 12:00:00 UTC`.

    Raises:
        OSError: if the lock file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, held_alone(Path(folder) / ".lock", ZooError):
        ...     holder_file(Path(folder) / ".lock").exists()
        True
    """
    lock = _acquired_at_once(lock_file, refusal)
    try:
        write_bytes(holder_file(lock_file), msgspec.json.encode(_Holder.of_this_process()))
        yield
    finally:
        # Removed while the lock is held, so that only a new file can be locked by the next process.
        for file in (holder_file(lock_file), lock_file):
            with suppress(OSError):  # Windows keeps a file that is open; it locks nothing once it is released
                file.unlink()
        if lock is not None:
            lock.release()


class _Holder(msgspec.Struct):
    """Who holds a lock."""

    process: int
    host: str
    since: datetime

    @classmethod
    def of_this_process(cls) -> _Holder:
        return cls(os.getpid(), platform.node(), datetime.now(UTC).replace(microsecond=0))

    def __str__(self) -> str:
        return f"process {self.process} on {printable(self.host, 80)}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"


def _acquired_at_once(lock_file: Path, refusal: Callable[[str], ZooError]) -> BaseFileLock | None:
    """Return the lock, held; None on a file system that has none."""
    from filelock import FileLock, SoftFileLock, Timeout

    lock = FileLock(lock_file)
    try:
        with warnings.catch_warnings(action="ignore"):  # of the soft lock below
            lock.acquire(timeout=_SILENT_SECONDS)
    except Timeout:
        if not isinstance(lock, SoftFileLock):
            raise refusal(_who(lock_file)) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        _warn_of_no_locks(lock_file)
        return None
    if isinstance(lock, SoftFileLock):  # which a newer filelock takes instead, and which a killed process never frees
        lock.release()
        _warn_of_no_locks(lock_file)
        return None
    if not lock_file.exists():  # its last holder removed it after this process had opened it
        lock.release()
        return _acquired_at_once(lock_file, refusal)
    return lock


def _warn_of_no_locks(lock_file: Path) -> None:
    _log.warning(
        "%s: this file system has no locks; a second process would not be noticed", printable(lock_file.parent)
    )


def _who(lock_file: Path) -> str:
    try:
        return str(msgspec.json.decode(holder_file(lock_file).read_bytes(), type=_Holder))
    except (OSError, ValueError):  # it has only begun, or the file is damaged
        return "another process"


def _acquired(lock: BaseFileLock, purpose: str) -> BaseFileLock:
    from filelock import SoftFileLock, Timeout

    try:
        lock.acquire(timeout=_SILENT_SECONDS)
    except Timeout:
        _log.warning("waiting for another process: %s", purpose)
        lock.acquire()
    except NotImplementedError:  # a file system without locks, such as some network drives: lock by the file's presence
        return _acquired(SoftFileLock(lock.lock_file), purpose)
    return lock
