"""Tensors of any shape in files: .npz, .npy and .safetensors, and vectors as the rows of a .csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo_core.data.class_labels import UNKNOWN, number_classes
from zoo_core.data.columns import LABEL_COLUMNS, choose_column
from zoo_core.data.numpy_files import choose_array
from zoo_core.data.pixel_arrays import check_room
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, printable
from zoo_core.files.paths import user_path
from zoo_core.files.utf8_names import utf8_name

SUFFIXES = (".npz", ".npy", ".safetensors", ".csv")
_READ = ".npz, .npy, .safetensors or .csv"


def read_tensors(source: str | Path, *, split: str = TRAIN, label_column: str | None = None) -> TrainingData:
    """Read the tensors in a file, or in a folder that has a file for each split.

    An .npz or .safetensors has one array of samples, (N, …), and may have one of labels, (N,). A .csv has a vector in
    each row; it may have names of columns in the first, and a column of labels. Vectors state how many `features` they
    have.

    Args:
        source: a path, taken literally.
        split: part of the data set; "train" is also the whole of one that has no parts.
        label_column: column of a .csv with the classes, by default "label", "labels" or "fine_label", where there is
            one.

    Raises:
        DataError: where nothing is there, or it holds no such tensors, or has no such split or column.
    """
    path, notes = user_path(source), tuple[str, ...]()
    if not path.exists():
        raise DataError(f"there is no file {printable(path, 200)}; tensors are read from {_READ}")
    if path.is_dir():
        path, split, notes = _file_in(path, split)
    suffix, origin = path.suffix.lower(), printable(path, 200)
    if suffix not in SUFFIXES:
        raise DataError(f"{origin} cannot be read as tensors; what can be: {_READ}")
    if label_column and suffix != ".csv":
        raise DataError(f"{origin} has no columns: --label-column is for .csv")
    if suffix in (".safetensors", ".csv") and split_of(split) != TRAIN:
        raise no_split(split, (), origin)
    if suffix == ".csv":
        return _read_table(path, origin, label_column, notes)
    if suffix == ".safetensors":
        samples, labels = _read_safetensors(path, origin)
        return _data(samples, labels, path, notes)
    chosen = choose_array(path, split, _may_be_samples, "of samples, (N, …),")
    if not _may_be_samples(chosen.shape):
        raise DataError(f"{origin} has an array of shape {chosen.shape}; samples are (N, …)")
    return _data(chosen.load(), chosen.labels, path, (*notes, *chosen.notes), chosen.before)


def _file_in(folder: Path, split: str) -> tuple[Path, str, tuple[str, ...]]:
    """Return the file of a split, the part of that file, and what is to be said about it."""
    origin = f"the folder {printable(folder, 200)}"
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    readable = [path for path in files if path.suffix.lower() in SUFFIXES]
    if len(readable) == 1:
        return readable[0], split, _left_out(files, readable)
    if not readable:
        raise DataError(f"{origin} has no file that can be read as tensors; what can be: {_READ}")
    stems = [path.stem for path in readable]
    if len(set(stems)) < len(stems) or not all(map(split_of, stems)):
        names = ", ".join(printable(path.name, 40) for path in readable[:4])
        raise DataError(
            f"{origin} has {len(readable)} files of tensors: {names}{', …' if len(readable) > 4 else ''}; name one of "
            "them, or call them train, validation and test"
        )
    (chosen,) = choose_split(split, in_order(stems), origin)
    return next(path for path in readable if path.stem == chosen), TRAIN, _left_out(files, readable)


def _left_out(files: Sequence[Path], readable: Sequence[Path]) -> tuple[str, ...]:
    others = [printable(path.name, 40) for path in files if path not in readable]
    if not others:
        return ()
    return (f"not used, since no tensors are read from such files: {', '.join(others[:4])}{', …' * (len(others) > 4)}",)


def _data(
    samples: np.ndarray | Tensor,
    labels: np.ndarray | Sequence[object] | None,
    path: Path,
    notes: Sequence[str],
    before: np.ndarray | None = None,
) -> TrainingData:
    numbers, names = None, tuple[str, ...]()
    if labels is not None:
        values = labels.reshape(-1).tolist() if isinstance(labels, np.ndarray) else list(labels)
        earlier = before.reshape(-1).tolist() if before is not None else ()
        classes = number_classes(values, before=earlier)
        if classes is not None and (classes.numbers == UNKNOWN).any():
            raise DataError(f"{printable(path, 200)}: sample {int(np.argmin(classes.numbers))} has no label")
        if classes is not None:
            numbers, names = torch.from_numpy(classes.numbers), classes.names
    count, shape = len(samples), " x ".join(map(str, samples.shape[1:])) or "one value"
    found = f"{count:,} {'tensor' if count == 1 else 'tensors'} of {shape} from {printable(path, 200)}"
    return TrainingData.from_tensors(
        samples,
        numbers,
        name=path.stem,
        notes=[found, *notes],
        class_names=names,
        values={"features": samples.shape[1]} if samples.ndim == 2 else None,
    )


def _may_be_samples(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and 0 not in shape


def _read_safetensors(path: Path, origin: str) -> tuple[Tensor, np.ndarray | None]:
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
            samples = [key for key, shape in shapes.items() if _may_be_samples(shape)]
            if len(samples) != 1:
                found = ", ".join(f"{printable(key, 40)} {shape}" for key, shape in shapes.items()) or "none"
                raise DataError(
                    f"{origin} must have one tensor of samples, (N, …), and may have one of labels, (N,); its tensors: "
                    f"{found}"
                )
            check_room(path.stat().st_size, origin)
            labels = [key for key, shape in shapes.items() if shape == shapes[samples[0]][:1]]
            one = file.get_tensor(labels[0]).numpy() if len(labels) == 1 else None
            return file.get_tensor(samples[0]), one
    except (OSError, SafetensorError) as error:
        raise DataError(f"{origin} cannot be read as a .safetensors: {printable(error, 200)}") from error


def _read_table(path: Path, origin: str, label_column: str | None, notes: Sequence[str]) -> TrainingData:
    check_room(path.stat().st_size, origin)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{origin} cannot be read as a .csv: {printable(error, 200)}") from error
    header = _header(lines[0][1]) if lines else None
    rows = lines[1:] if header else lines
    if not rows:
        raise DataError(f"{origin} has no row of numbers")
    columns = header or [str(number) for number in range(1, len(rows[0][1]) + 1)]
    for number, row in rows:
        if len(row) != len(columns):
            raise DataError(
                f"{origin}, line {number}: there are {len(row)} values, and {len(columns)} in the first line"
            )
    of_labels = choose_column(columns, label_column, LABEL_COLUMNS if header else (), origin, "classes")
    taken = [number for number, column in enumerate(columns) if column != of_labels]
    if not taken:
        raise DataError(f"{origin} has no column of numbers beside {printable(of_labels, 80)!r}")
    samples = _numbers([(number, [row[place] for place in taken]) for number, row in rows], origin)
    labels = None
    if of_labels is not None:
        labels = [_value(row[columns.index(of_labels)]) for _, row in rows]
    return _data(samples, labels, path, notes)


def _header(row: list[str]) -> list[str] | None:
    """Return the names of the columns, if the first row has them: not all of it is numbers."""
    try:
        _ = [float(value) for value in row]
    except ValueError:
        return [name.strip() for name in row]
    return None


def _numbers(rows: list[tuple[int, list[str]]], origin: str) -> np.ndarray:
    """Return rows of texts as float32, or as int64 if all are whole numbers."""
    whole = all(_is_whole(value) for _, row in rows for value in row)
    array = np.empty((len(rows), len(rows[0][1])), np.int64 if whole else np.float32)
    for place, (number, row) in enumerate(rows):
        try:
            array[place] = [int(value) for value in row] if whole else [float(value) for value in row]
        except (ValueError, OverflowError) as error:
            raise DataError(f"{origin}, line {number}: {printable(error, 120)}") from error
    return array


def _is_whole(text: str) -> bool:
    return text.strip().removeprefix("-").isdecimal()


def _value(text: str) -> object:
    """Return a label as the number that it is, so that 10 comes behind 9, or as the text."""
    return int(text) if _is_whole(text) else text.strip()
