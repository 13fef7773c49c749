"""Files and folders that are there whole or not at all: a temporary sibling, fsync, rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zoo_core.errors import OutputError


def temporary_sibling(target: Path, token: str | None = None) -> Path:
    """A new name beside `target`, on the same file system, so that it can be renamed onto it."""
    return target.with_name(f".{target.name}.{token or secrets.token_hex(4)}.tmp")


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """A binary file that becomes `target` when the block ends well, and vanishes otherwise.

    Raises:
        OutputError: where it cannot be written.
    """
    temporary = temporary_sibling(target)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError.unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes) -> None:
    """Put `data` at `target`, in place of what was there. Raises OutputError."""
    with atomic_file(target) as file:
        file.write(data)


@contextmanager
def atomic_folder(target: Path, *, durable: bool = True, token: str | None = None) -> Iterator[Path]:
    """A new folder that becomes `target` when the block ends well, and vanishes otherwise.

    An older folder of that name is put aside first, removed last, and put back where the new one cannot take its place.

    Args:
        durable: wait until every file is on the disk; a million small files take minutes so.
        token: stands in the folder's name meanwhile, for other processes that write into it; random by default.

    Raises:
        OutputError: where it cannot be written.
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
        if target.exists():
            target.rename(aside)
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError.unwritable(target, error) from error
    finally:
        if aside.exists() and not target.exists():
            aside.rename(target)
        for leftover in (temporary, aside):
            shutil.rmtree(leftover, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Windows has no such call: it does this by itself."""
    if os.name != "nt":
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
