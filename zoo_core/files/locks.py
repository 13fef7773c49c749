"""Locks between processes, by filelock: one process at a time, and a killed process frees its locks."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import OutputError, printable
from zoo_core.files.folders import CACHE_VARIABLE, cache_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

_SILENT_SECONDS = 0.5  # a longer wait is worth a message
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
