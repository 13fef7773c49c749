"""Which file had which sha256 when it was last read, so that a second load need not read it.

A stamp holds size, time of modification, time of change, inode and sha256. It lies apart from the cache, one file a
stamp: no process waits for another, and one that is lost or cannot be written costs reading the file again. Like
the cache, it is the user's own: nothing from the Hub gets into it but digests that were computed here. Damage that
leaves all four as they were (a failing disk) is found by `zoo cache verify`, which uses no stamps.
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

_TICK = 20_000_000  # ns: file systems tell times at least so finely, and write the time of the last tick


class _Stamp(msgspec.Struct, frozen=True):
    path: str
    size: int
    modified: int
    changed: int
    inode: int
    sha256: str


def sha256_of(path: Path, folder: Path) -> str:
    """The sha256 of a file, read only where no stamp in `folder` fits it.

    Args:
        path: the file itself, no link.
        folder: of the stamps.

    Raises:
        OSError: where it cannot be read, or changes meanwhile.
    """
    place = _place(path, folder)
    facts = path.stat()
    stamp = _read(place)
    if stamp is not None and stamp == _stamp(path, facts, stamp.sha256):
        return stamp.sha256
    digest = file_sha256(path)
    after = path.stat()
    if _stamp(path, after, "") != _stamp(path, facts, ""):
        raise OSError(None, "it changes while it is read", str(path))
    _write(place, _stamp(path, facts, digest))
    return digest


def note(path: Path, folder: Path, digest: str) -> None:
    """Write down the sha256 of a file that was computed while it was written."""
    _write(_place(path, folder), _stamp(path, path.stat(), digest))


def forget(path: Path, folder: Path) -> None:
    """Remove the stamp of a file."""
    with contextlib.suppress(OSError):
        _place(path, folder).unlink()


def sweep(folder: Path) -> None:
    """Remove the stamps of files that are gone."""
    for place in folder.glob("*.json"):
        stamp = _read(place)
        if stamp is None or not Path(stamp.path).exists():
            with contextlib.suppress(OSError):
                place.unlink()


def _place(path: Path, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:40]}.json"


def _stamp(path: Path, facts: os.stat_result, digest: str) -> _Stamp:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _Stamp(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, digest)


def _read(place: Path) -> _Stamp | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=_Stamp)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(place: Path, stamp: _Stamp) -> None:
    # What is written within the tick of the last change would leave the file's times as they are.
    since = time.time_ns() - max(stamp.modified, stamp.changed)
    if 0 <= since < _TICK:
        time.sleep((_TICK - since) / 1e9)
    temporary = temporary_sibling(place)
    with contextlib.suppress(OSError):  # a cache that cannot be written is read each time
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(stamp))
        temporary.replace(place)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
