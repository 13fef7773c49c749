"""Locks between processes, by filelock. A process that is killed frees its locks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from zoo_core.errors import OutputError, printable
from zoo_core.files.folders import cache_folder

_SILENT_SECONDS = 0.5  # a wait that is longer than this is worth a message
_log = logging.getLogger("zoo_core")


@contextmanager
def locked(lock_file: Path, purpose: str) -> Iterator[None]:
    """Hold a lock while the block runs; wait for another process that holds it, and say so.

    Args:
        lock_file: created where it does not exist; holds nothing.
        purpose: what the other process does, as the end of a sentence: `it pulls hf://user/repo`.

    Raises:
        OSError: where the lock file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / "lock", "it counts"):
        ...     pass  # one process at a time
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquired(FileLock(lock_file), purpose)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_for_editing(file: Path) -> Iterator[None]:
    """Hold the lock of a file that is read, changed and written again, so that no change of another process is lost.

    The lock is kept in the user's cache: no stray file appears beside the user's own.

    Raises:
        OutputError: where the cache cannot be written.
    """
    key = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:40]
    lock_file = cache_folder() / "locks" / f"{key}.lock"
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(lock_file.parent, error) from error
    with locked(lock_file, f"it writes {printable(file)}"):
        yield


def _acquired(lock: BaseFileLock, purpose: str) -> BaseFileLock:
    try:
        lock.acquire(timeout=_SILENT_SECONDS)
    except Timeout:
        _log.warning("waiting for another process: %s", purpose)
        lock.acquire()
    except NotImplementedError:  # a file system without locks, such as some network drives: a file stands for one
        return _acquired(SoftFileLock(lock.lock_file), purpose)
    return lock
