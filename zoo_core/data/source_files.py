"""Which files a data set was read from, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SourceFiles:
    """The files behind a data set.

    Attributes:
        key: sha256 that is another one once a file was changed, added or removed.
        size: of all of them, in bytes.
    """

    key: str
    size: int


def source_files(location: Path | None, rows: Any) -> SourceFiles | None:
    """The files of a folder or file, or else those that `datasets` put a Hub data set into; None where it has none.

    A file is known by its path, size and times, as git and make know it. Reading what is in it would be surer and takes
    as long as decoding on a slow disk; the time of the last change of the inode (ctime) also tells when a file was
    replaced by one with the same size and modification time, as from a reproducible archive. `datasets` has a
    fingerprint of its own, but that of a folder of pictures hashes paths, and that of any set is new once the library's
    cache was emptied.
    """
    if location is None:
        files: Iterable[Path] = [Path(entry["filename"]) for entry in rows.cache_files]
    else:
        location = location.resolve()
        files = [location] if location.is_file() else _files_below(location)
    digest, size, count = hashlib.sha256(), 0, 0
    try:
        for path in files:
            status = path.stat()
            fact = (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(repr(fact).encode())
            size, count = size + status.st_size, count + 1
    except OSError:  # one vanished meanwhile, or is a broken link
        return None
    return SourceFiles(digest.hexdigest(), size) if count else None


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file, through links too, since that is how `datasets` looks for them; each folder once, as links may turn
    back."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))
