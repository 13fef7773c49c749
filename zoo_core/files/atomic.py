"""Atomic writes: a file or folder appears complete, or not at all.

Each is written under a temporary name beside its target, flushed to the disk, and renamed. What replaces an older file
or folder keeps its mode and, as far as the system allows, its owner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zoo_core.errors import OutputError, printable


def temporary_sibling(target: Path, token: str | None = None) -> Path:
    """Return a new name beside `target`: on the same file system, so that it can be renamed to `target`.

    Args:
        token: part of the name, for processes that have to agree on it; random by default.

    Example:
        >>> temporary_sibling(Path("run/model"), token="7f3a").as_posix()
        'run/.model.7f3a.tmp'
    """
    return target.with_name(f".{target.name}.{token or secrets.token_hex(4)}.tmp")


@contextmanager
def atomic_file(target: Path, *, follow_link: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file that becomes `target` when the block ends normally, and is deleted otherwise.

    Args:
        target: the file to create or to replace. Its folder must exist.
        follow_link: if `target` is a symbolic link, replace the file that it points to, for files that a person edits.
            By default the link is replaced: in the Hub's cache it points to a file that other models share.

    Raises:
        OutputError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_file(Path(folder) / "digits.txt") as file:
        ...         _ = file.write(b"0123")
        ...         print(len(list(Path(folder).glob("*.txt"))))
        ...     (Path(folder) / "digits.txt").read_text()
        0
        '0123'
    """
    written = Path(os.path.realpath(target)) if follow_link else target
    replaced = _facts_of(written)
    temporary = temporary_sibling(written)
    # Created with the mode of the file that it replaces, so that nobody can read a private file while it is written.
    mode = 0o666 if replaced is None else stat.S_IMODE(replaced.st_mode)
    try:
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _keep_owner_and_mode(temporary, replaced)
        temporary.replace(written)
        sync_folder(written.parent)
    except OSError as error:
        raise OutputError.unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes, *, follow_link: bool = False) -> None:
    """Write `data` to `target` as `atomic_file` does, replacing what is there.

    Raises:
        OutputError: if the file cannot be written.
    """
    with atomic_file(target, follow_link=follow_link) as file:
        file.write(data)


@contextmanager
def atomic_folder(target: Path, *, durable: bool = True, token: str | None = None) -> Iterator[Path]:
    """Create a folder that becomes `target` when the block ends normally, and is deleted otherwise.

    An older folder of that name is moved aside and deleted at the end; it is moved back if the new one cannot take its
    place.

    Args:
        target: the folder to create or to replace. Parents are created.
        durable: wait until every file is on the disk; for a million small files this takes minutes.
        token: part of the temporary name, for other processes that write into the folder; random by default.

    Raises:
        OutputError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_folder(Path(folder) / "pictures") as pictures:
        ...         _ = (pictures / "0.png").write_bytes(b"")
        ...     [path.name for path in (Path(folder) / "pictures").iterdir()]
        ['0.png']
    """
    temporary, aside = temporary_sibling(target, token), temporary_sibling(target)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if durable:
            for path in temporary.rglob("*"):
                if path.is_file():
                    _sync(path)
            sync_folder(temporary)
        if os.path.lexists(target):
            _keep_owner_and_mode(temporary, _facts_of(target))
            target.rename(aside)
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError.unwritable(target, error) from error
    finally:
        if os.path.lexists(aside) and not os.path.lexists(target):
            aside.rename(target)
        for leftover in (temporary, aside):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


@contextmanager
def protected_output(target: Path, name: str, *, token: str | None = None) -> Iterator[Path]:
    """Yield a path beside `target` for any writer; what is there when the block ends normally becomes `target`.

    It is in a temporary folder of its own, which is deleted with all that a writer may have left in it.

    Args:
        target: the file to create or to replace, or the folder to create; one that exists must be empty.
        name: what the file or folder is called while it is written.
        token: part of the temporary name, for other processes that write into the folder; random by default.

    Raises:
        OutputError: if it cannot be written, or nothing was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with protected_output(Path(folder) / "A.CSV", "samples.csv") as place:
        ...         _ = place.write_text("1,2")
        ...     [path.name for path in Path(folder).iterdir()]
        ['A.CSV']
    """
    replaced, temporary = _facts_of(target), temporary_sibling(target, token)
    try:
        temporary.mkdir(0o700)  # what replaces a private file is private from the first
        place = temporary / name
        yield place
        if place.is_dir():
            if os.path.lexists(target):
                target.rmdir()  # which refuses a folder that was filled meanwhile
        elif place.is_file():
            _sync(place)
            _keep_owner_and_mode(place, replaced)
        else:
            raise OutputError(f"{printable(target, 200)} cannot be written: nothing was")
        place.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError.unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. On Windows this does nothing: the system does it on its own."""
    if os.name != "nt":
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _facts_of(path: Path) -> os.stat_result | None:
    """Return the mode and owner of the file or folder at `path`; None if there is none, or it is a link."""
    try:
        facts = path.lstat()
    except (OSError, ValueError):
        return None  # whatever is wrong with the path is reported when it is written
    return None if stat.S_ISLNK(facts.st_mode) else facts


def _keep_owner_and_mode(new: Path, replaced: os.stat_result | None) -> None:
    """Give `new` the owner, the group and the mode of what it replaces, each as far as the system allows."""
    if replaced is None:
        return
    if hasattr(os, "chown"):  # not on Windows
        facts = new.stat()
        for owner, group in ((replaced.st_uid, -1), (-1, replaced.st_gid)):
            if owner not in (-1, facts.st_uid) or group not in (-1, facts.st_gid):
                with contextlib.suppress(OSError):  # only root may give a file away
                    os.chown(new, owner, group)
    with contextlib.suppress(OSError):  # some file systems have no modes; `new` was created with no wider one
        new.chmod(stat.S_IMODE(replaced.st_mode))
