"""A folder of pictures as a data source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.folder_structure import Structure
from zoo_core.errors import DataError, printable


class PictureFolder(EncodedPictures):
    """The pictures below a folder.

    Args:
        folder: as the user named it.
        structure: which of its files are used, and what they are.
    """

    def __init__(self, folder: Path, structure: Structure) -> None:
        self.folder = folder.resolve()
        self.name = self.folder.name or str(self.folder)
        self.origin = f"the folder {printable(folder, 200)}"
        self.split, self.splits, self.notes = structure.split, structure.splits, structure.notes
        self._structure = structure

    def __len__(self) -> int:
        return len(self._structure.files)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [EncodedPicture(None, str(self.folder / self._structure.files[number])) for number in numbers]

    def where(self, number: int) -> str:
        return f"{self.name}/{self._structure.files[number]}"

    def labels(self) -> np.ndarray | None:
        return self._structure.labels

    def class_names(self) -> tuple[str, ...]:
        return self._structure.class_names

    def files(self) -> Iterable[Path]:
        return (self.folder / name for name in self._structure.files)

    def selection(self) -> tuple[object, ...]:
        return self.split, len(self)


def files_in(folder: Path) -> Iterator[str]:
    """Yield the names of all files below a folder, relative to it, with "/" between the parts.

    Links are followed. Each folder is visited once, as links may form circles; the one that stands there itself goes
    before a link to it.

    Raises:
        DataError: for a folder that cannot be read.
    """
    visited = {_identity(folder)}
    links: list[tuple[Path, str]] = []
    waiting = [(folder, "")]
    while waiting or links:
        path, prefix = waiting.pop() if waiting else links.pop(0)
        if prefix and not _first_visit(path, visited):
            continue
        for entry in _entries(path):
            name = prefix + entry.name
            if entry.is_dir():
                (links if entry.is_symlink() else waiting).append((Path(entry.path), f"{name}/"))
            elif entry.is_file() or entry.is_symlink():  # a broken link is a file that is missed, not one to pass over
                yield name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"the folder {printable(folder, 200)} cannot be read: {error.strerror or error}") from error


def _first_visit(folder: Path, visited: set[tuple[int, int]]) -> bool:
    identity = _identity(folder)
    new = identity not in visited
    visited.add(identity)
    return new


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
