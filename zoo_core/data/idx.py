"""The idx files of MNIST and its relatives, packed with gzip or not: pictures, and the labels beside them."""

from __future__ import annotations

import functools
import gzip
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo_core.data.pixel_arrays import PixelArray, check_room
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.errors import DataError, printable

# train-images-idx3-ubyte.gz, t10k-images.idx3-ubyte, emnist-letters-train-images-idx3-ubyte, …
_PICTURES = re.compile(r"(?P<set>.*)images[-._]idx3[-._]ubyte(\.gz)?$", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"[-._ ]")
_MAGIC = b"\0\0\x08"  # unsigned bytes; the number of dimensions follows
_GZIP = b"\x1f\x8b"


def is_idx(path: Path) -> bool:
    """Return whether a file begins as an idx file does. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP):
        try:
            with gzip.open(path) as unpacked:
                start = unpacked.read(4)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
    return len(start) == 4 and start.startswith(b"\0\0") and start[2] in range(8, 15) and 1 <= start[3] <= 8


def idx_pictures(names: Iterable[str]) -> list[str]:
    """Return those of the files of a folder that hold pictures, by their names as MNIST has them.

    Example:
        >>> idx_pictures(["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "a.png"])
        ['train-images-idx3-ubyte.gz']
    """
    return [name for name in names if _PICTURES.search(name)]


def open_idx(path: Path) -> PixelArray:
    """Open the pictures in an idx file, and the labels in the file beside it that is called so.

    Raises:
        DataError: for a file that is damaged, or does not hold pictures.
    """
    origin = printable(path, 200)
    labels = _labels_beside(path)
    files = [path.resolve(), *([labels.resolve()] if labels else [])]
    return PixelArray(
        functools.partial(_read, path, 3), _read(labels, 1) if labels else None, _name(path), origin, files
    )


def open_idx_folder(names: Iterable[str], folder: Path, split: str, origin: str) -> PixelArray:
    """Open one split of a folder of idx files: "train", or "test", which MNIST calls t10k.

    Args:
        names: of the files with pictures, relative to the folder.

    Raises:
        DataError: where there is no such split, or several files of it; and as `open_idx`.
    """
    by_split: dict[str, list[str]] = {}
    for name in names:
        by_split.setdefault(_stated_split(name), []).append(name)
    if set(by_split) == {""}:
        if split_of(split) != TRAIN:
            raise no_split(split, (), origin)
        chosen = ""
    else:
        (chosen,) = choose_split(split, in_order(filter(None, by_split)), origin)
    if len(by_split[chosen]) > 1:
        raise DataError(
            f"{origin} has several files of pictures: {', '.join(map(printable, by_split[chosen]))}; name one"
        )
    array = open_idx(folder / by_split[chosen][0])
    array.name = folder.resolve().name
    array.split, array.splits = chosen, in_order(filter(None, by_split))
    return array


def _stated_split(name: str) -> str:
    words = [word.lower() for word in _BETWEEN_WORDS.split(name.rpartition("/")[2])]
    if "t10k" in words:
        return "test"
    return next(filter(None, map(split_of, words)), "")


def _name(path: Path) -> str:
    found = _PICTURES.search(path.name)
    return (found["set"].strip("-._ ") if found else "") or path.resolve().parent.name


def _labels_beside(path: Path) -> Path | None:
    if not _PICTURES.search(path.name):
        return None
    name = re.sub("idx3", "idx1", re.sub("images", "labels", path.name))
    for candidate in (name, name.removesuffix(".gz"), f"{name}.gz"):
        if (path.parent / candidate).is_file():
            return path.parent / candidate
    return None


def _read(path: Path, dimensions: int) -> np.ndarray:
    """Return the array of an idx file with so many dimensions. Raises DataError."""
    where = printable(path, 200)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            if not packed:
                return _array(file, dimensions, where)
            with gzip.open(file) as unpacked:
                return _array(unpacked, dimensions, where)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} cannot be read as an idx file: {printable(error, 120)}") from error


def _array(file: BinaryIO | gzip.GzipFile, dimensions: int, where: str) -> np.ndarray:
    start = file.read(4)
    if start[:3] != _MAGIC or start[3] != dimensions:
        what = "pictures" if dimensions == 3 else "labels"
        raise DataError(f"{where} is no idx file of {what}: these have {dimensions} dimensions of unsigned bytes")
    shape = tuple(int(size) for size in np.frombuffer(_exactly(file, 4 * dimensions, where), ">u4"))
    needed = int(np.prod(shape, dtype=object))
    check_room(needed, where)
    return np.frombuffer(_exactly(file, needed, where), np.uint8).reshape(shape)


def _exactly(file: BinaryIO | gzip.GzipFile, count: int, where: str) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise DataError(f"{where} is cut off: it has {len(content):,} of {count:,} bytes")
    return content
