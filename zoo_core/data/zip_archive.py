"""A .zip of samples as a data source. Nothing is unpacked: files are read from the archive, into memory."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.file_types import FileType
from zoo_core.data.folder_structure import structure_of
from zoo_core.data.picture_formats import PICTURES
from zoo_core.errors import DataError, printable

MOST_BYTES = 2**28  # of one unpacked picture; an archive that holds more is made to fill the memory


class ZipArchive(EncodedPictures):
    """The pictures in a .zip, which has the structure of a folder.

    Raises:
        DataError: for a file that is no archive, or has no pictures that can be read, or not this split.
    """

    def __init__(self, path: Path, split: str, of: FileType = PICTURES) -> None:
        self.path, self.name = path.resolve(), path.stem
        self.origin = printable(path, 200)
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        # Names from a stranger lead nowhere: they are looked up in the archive, and never opened as paths.
        members = {_relative(info.filename): info for info in self._open().infolist() if not info.is_dir()}
        structure = structure_of(members, split, self.origin, of)
        self.split, self.splits, self.notes = structure.split, structure.splits, structure.notes
        self._structure, self._noun = structure, of.one
        self._members = [members[name] for name in structure.files]

    def __len__(self) -> int:
        return len(self._members)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [self._read(number) for number in numbers]

    def _read(self, number: int) -> EncodedPicture:
        info, where = self._members[number], printable(self.where(number), 200)
        if info.file_size > MOST_BYTES:
            raise DataError(f"{where}: it has {info.file_size:,} bytes unpacked, too many for a {self._noun}")
        if info.flag_bits & 1:
            raise DataError(f"{where}: it is encrypted; unpack {self.origin} into a folder")
        try:
            with self._open().open(info) as stream:
                return EncodedPicture(stream.read(MOST_BYTES), None)
        except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{where}: it cannot be unpacked: {printable(error, 120)}") from error

    def where(self, number: int) -> str:
        return f"{self.path.name}/{self._structure.files[number]}"

    def labels(self) -> np.ndarray | None:
        return self._structure.labels

    def class_names(self) -> tuple[str, ...]:
        return self._structure.class_names

    def files(self) -> Iterable[Path]:
        return [self.path]

    def selection(self) -> tuple[object, ...]:
        return self.split, len(self)

    def _open(self) -> zipfile.ZipFile:
        """Return the open archive. Each process opens it for itself, since a shared position would be moved by all."""
        if self._archive is None or self._archive[0] != os.getpid():
            try:
                self._archive = os.getpid(), zipfile.ZipFile(self.path)
            except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
                raise DataError(f"{self.origin} is no .zip that can be read: {printable(error, 120)}") from error
        return self._archive[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None}


def _relative(name: str) -> str:
    """Return the name of a member without what would lead out of a folder."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
