"""The files that a data set was read from, and whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceFiles:
    """The state of the files behind a data set.

    Attributes:
        key: a sha256 that differs once a file was changed, added or removed.
        size: of all of them together, in bytes.
    """

    key: str
    size: int


def state_of_files(files: Iterable[Path]) -> SourceFiles | None:
    """Return the state of the files; None where there are none, or one of them cannot be looked at.

    A file is identified by its path, inode, size and times, as git does it. Reading its content would be safer, but
    takes as long as decoding on a slow disk. The time of the last change of the inode (ctime) also reveals a file that
    was replaced by one of the same size and modification time, as from a reproducible archive.
    """
    digest, size, count = hashlib.sha256(), 0, 0
    try:
        for path in files:
            status = path.stat()
            fact = (str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(repr(fact).encode())
            size, count = size + status.st_size, count + 1
    except OSError:  # one vanished in the meantime, or is a broken link
        return None
    return SourceFiles(digest.hexdigest(), size) if count else None
