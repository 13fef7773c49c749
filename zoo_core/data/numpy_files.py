"""Arrays of samples in NumPy's files: .npz, as `zoo sample -o x.npz` writes it, and .npy. Nothing is unpickled."""

from __future__ import annotations

import functools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from zoo_core.data.pixel_arrays import PixelArray, check_room, is_array_of_pictures
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.errors import DataError, printable

_BETWEEN_WORDS = re.compile(r"[-._ ]")


@dataclass(frozen=True)
class ChosenArray:
    """The array of samples in a file, and what the file states about it.

    Attributes:
        load: reads the array.
        shape: of the array.
        labels: (N,) of any type, or None.
        before: the labels of the training split, where the array is of another; else None.
        split, splits: its split, and all of the file; empty without splits.
        notes: arrays that are not used.
        part: the name of the array; empty in a .npy.
    """

    load: Callable[[], np.ndarray]
    shape: tuple[int, ...]
    labels: np.ndarray | None = None
    before: np.ndarray | None = None
    split: str = ""
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part: str = ""


def open_numpy(path: Path, split: str) -> PixelArray:
    """Open the pictures in a .npy or .npz file.

    Raises:
        DataError: as `choose_array`, and for an array that does not hold pictures.
    """
    origin = printable(path, 200)
    chosen = choose_array(path, split, is_array_of_pictures, "of pictures, (N, H, W) or (N, H, W, C),")
    array = PixelArray(
        chosen.load, chosen.labels, path.stem, origin, [path.resolve()], part=chosen.part, before=chosen.before
    )
    if chosen.splits:
        array.split, array.splits = chosen.split, chosen.splits
    if chosen.notes:
        array.notes = chosen.notes
    return array


def choose_array(path: Path, split: str, is_samples: Callable[[tuple[int, ...]], bool], what: str) -> ChosenArray:
    """Find the array of samples in a .npy or .npz file.

    An .npz has one array of samples, as `arr_0`, and may have one of labels, (N,). Where each array states a split in
    its name, as `train_images` and `y_test` do, these are the splits.

    Args:
        is_samples: whether an array of that shape may hold samples.
        what: how messages describe such an array.

    Raises:
        DataError: for a file that cannot be read, or has no such split, or no samples, or several arrays of them.
    """
    origin = printable(path, 200)
    if path.suffix.lower() == ".npy":
        if split_of(split) != TRAIN:
            raise no_split(split, (), origin)
        return ChosenArray(functools.partial(_load_npy, path, origin), _load_npy(path, origin).shape)
    shapes = _shapes_in(path, origin)
    samples = [name for name, shape in shapes.items() if is_samples(shape)]
    by_split: dict[str, list[str]] = {}
    for name in samples:
        by_split.setdefault(_stated_split(name), []).append(name)
    splits = in_order(by_split) if "" not in by_split else ()
    if splits:
        (split,) = choose_split(split, splits, origin)
        samples = by_split[split]
    elif split_of(split) != TRAIN:
        raise no_split(split, (), origin)
    if len(samples) != 1:
        found = ", ".join(f"{printable(name, 40)} {shape}" for name, shape in shapes.items()) or "none"
        raise DataError(f"{origin} must have one array {what} and may have one of labels, (N,); its arrays: {found}")

    def labels_of(wanted: str, count: int) -> np.ndarray | None:
        fitting = [
            name
            for name, shape in shapes.items()
            if shape in ((count,), (count, 1)) and (not splits or _stated_split(name) == wanted)
        ]
        return load_npz(path, fitting[0]) if len(fitting) == 1 else None

    trained = by_split.get(TRAIN, []) if splits and split != TRAIN else []
    used = {samples[0]} | {name for name, shape in shapes.items() if len(shape) <= 2 or splits}
    unused = [printable(name, 40) for name in shapes if name not in used]
    return ChosenArray(
        functools.partial(load_npz, path, samples[0]),
        shapes[samples[0]],
        labels_of(split, shapes[samples[0]][0]),
        labels_of(TRAIN, shapes[trained[0]][0]) if len(trained) == 1 else None,
        split if splits else "",
        splits,
        (f"arrays that are not used: {', '.join(unused)}",) if unused else (),
        samples[0],
    )


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


def load_npz(path: Path, name: str) -> np.ndarray:
    """Read one array of an .npz.

    Raises:
        DataError: where there is none of that name, or it cannot be read or does not fit into memory.
    """
    origin = printable(path, 200)
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
