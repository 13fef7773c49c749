"""Records of verified files: the sha256 of each when it was last read, so that a second load need not read it again.

A record holds the size, the times of modification and of change, the inode and the sha256 of a file. Records are kept
apart from the cache, each in a file of its own, so that no process waits for another; where one is lost or cannot be
written, the file is read again. Like the cache they are the user's own: nothing from the Hub gets into them but
digests that were computed here. Damage that changes neither size, times nor inode (a failing disk) is found by
`zoo cache verify`, which ignores the records.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

import msgspec

from zoo_core.files.atomic import temporary_sibling
from zoo_core.files.digests import file_sha256

_TICK = 20_000_000  # ns: an upper bound of the resolution with which file systems record times


class _Record(msgspec.Struct, frozen=True):
    path: str
    size: int
    modified: int
    changed: int
    inode: int
    sha256: str


def sha256_of(path: Path, folder: Path) -> str:
    """Return the sha256 of a file, and read it only where no record in `folder` fits it.

    Args:
        path: the file itself, not a link to it.
        folder: the folder of the records.

    Raises:
        OSError: where the file cannot be read, or changes in the meantime.
    """
    place = _record_file(path, folder)
    facts = path.stat()
    record = _read(place)
    if record is not None and record == _record(path, facts, record.sha256):
        return record.sha256
    digest = file_sha256(path)
    after = path.stat()
    if _record(path, after, "") != _record(path, facts, ""):
        raise OSError(None, "it changes while it is read", str(path))
    _write(place, _record(path, facts, digest))
    return digest


def forget(path: Path, folder: Path) -> None:
    """Remove the record of a file."""
    with contextlib.suppress(OSError):
        _record_file(path, folder).unlink()


def sweep(folder: Path) -> None:
    """Remove the records of files that no longer exist."""
    for place in folder.glob("*.json"):
        record = _read(place)
        if record is None or not Path(record.path).exists():
            with contextlib.suppress(OSError):
                place.unlink()


def recorded(folder: Path) -> set[str]:
    """Return the digests of all records."""
    return {record.sha256 for record in map(_read, folder.glob("*.json")) if record is not None}


def _record_file(path: Path, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:40]}.json"


def _record(path: Path, facts: os.stat_result, digest: str) -> _Record:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _Record(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, digest)


def _read(place: Path) -> _Record | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(place: Path, record: _Record) -> None:
    # A change within the same tick as the last one would leave the times of the file as they are, so wait it out.
    since = time.time_ns() - max(record.modified, record.changed)
    if 0 <= since < _TICK:
        time.sleep((_TICK - since) / 1e9)
    temporary = temporary_sibling(place)
    with contextlib.suppress(OSError):  # without a record the file is read each time
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(place)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
