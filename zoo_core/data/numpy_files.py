"""Arrays of pictures in NumPy's files: .npz, as `zoo sample -o x.npz` writes it, and .npy. Nothing is unpickled."""

from __future__ import annotations

import functools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from zoo_core.data.pixel_arrays import PixelArray, check_room, is_array_of_pictures
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.errors import DataError, printable

_BETWEEN_WORDS = re.compile(r"[-._ ]")


def open_numpy(path: Path, split: str) -> PixelArray:
    """Open the pictures in a .npy or .npz file.

    An .npz has one array of pictures, as `arr_0`, and may have one of labels, (N,). Where each array states a split in
    its name, as `train_images` and `y_test` do, these are the splits.

    Raises:
        DataError: for a file that cannot be read, or has no such split, or no pictures, or several arrays of them.
    """
    origin = printable(path, 200)
    if path.suffix.lower() == ".npy":
        if split_of(split) != TRAIN:
            raise no_split(split, (), origin)
        return PixelArray(functools.partial(_load_npy, path, origin), None, path.stem, origin, [path.resolve()])
    return _open_npz(path, split, origin)


def _open_npz(path: Path, split: str, origin: str) -> PixelArray:
    shapes = _shapes_in(path, origin)
    pictures = [name for name, shape in shapes.items() if is_array_of_pictures(shape)]
    by_split: dict[str, list[str]] = {}
    for name in pictures:
        by_split.setdefault(_stated_split(name), []).append(name)
    splits = in_order(by_split) if "" not in by_split else ()
    if splits:
        (split,) = choose_split(split, splits, origin)
        pictures = by_split[split]
    elif split_of(split) != TRAIN:
        raise no_split(split, (), origin)
    if len(pictures) != 1:
        found = ", ".join(f"{printable(name, 40)} {shape}" for name, shape in shapes.items()) or "none"
        raise DataError(
            f"{origin} must have one array of pictures, (N, H, W) or (N, H, W, C), and may have one of labels, (N,); "
            f"its arrays: {found}"
        )

    def labels_of(wanted: str, count: int) -> np.ndarray | None:
        fitting = [
            name
            for name, shape in shapes.items()
            if shape in ((count,), (count, 1)) and (not splits or _stated_split(name) == wanted)
        ]
        return _load_npz(path, origin, fitting[0]) if len(fitting) == 1 else None

    before = None
    if splits and split != TRAIN and len(by_split.get(TRAIN, [])) == 1:
        before = labels_of(TRAIN, shapes[by_split[TRAIN][0]][0])
    array = PixelArray(
        functools.partial(_load_npz, path, origin, pictures[0]),
        labels_of(split, shapes[pictures[0]][0]),
        path.stem,
        origin,
        [path.resolve()],
        part=pictures[0],
        before=before,
    )
    if splits:
        array.split, array.splits = split, splits
    used = {pictures[0]} | {name for name, shape in shapes.items() if len(shape) <= 2 or splits}
    unused = [printable(name, 40) for name in shapes if name not in used]
    if unused:
        array.notes = (f"arrays that are not used: {', '.join(unused)}",)
    return array


def _stated_split(name: str) -> str:
    stated = map(split_of, _BETWEEN_WORDS.split(name))
    return next(filter(None, stated), "")


def _shapes_in(path: Path, origin: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array in an .npz, by name, without reading the arrays."""
    shapes = {}
    with _reading(origin), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as stream:
                shapes[info.filename.removesuffix(".npy")] = _header(stream)[0]
    return shapes


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Return the shape of an array, and the bytes that it takes."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return tuple(shape), int(np.prod(shape, dtype=object)) * dtype.itemsize


def _load_npz(path: Path, origin: str, name: str) -> np.ndarray:
    with _reading(origin), zipfile.ZipFile(path) as archive:
        with archive.open(f"{name}.npy") as stream:
            check_room(_header(stream)[1], origin)
        with archive.open(f"{name}.npy") as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            return array


def _load_npy(path: Path, origin: str) -> np.ndarray:
    with _reading(origin):
        return np.lib.format.open_memmap(path, mode="r")


@contextmanager
def _reading(origin: str) -> Iterator[None]:
    """Make one line of whatever is wrong with a file."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{origin} cannot be read as arrays of NumPy: {printable(error, 200)}") from error
    except MemoryError:
        raise DataError(f"{origin} does not fit into memory") from None
