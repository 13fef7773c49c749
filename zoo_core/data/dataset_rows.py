"""Pictures in the rows of a data set of the library `datasets`: Parquet files, folders of pictures, sets on the Hub.

The only module that knows `datasets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.source_files import files_below
from zoo_core.errors import DataError, MissingExtraError, printable

IMAGE_COLUMNS = ("image", "img", "picture")
LABEL_COLUMNS = ("label", "labels", "fine_label")


class DatasetRows(EncodedPictures):
    """Rows with an image column and, in most sets, a label column.

    Args:
        rows: the rows of a data set, with an image column that `datasets` does not decode.
        location: file or folder that they were read from; None for a data set on the Hub.
    """

    def __init__(
        self, rows: Any, image_column: str, label_column: str | None, name: str, *, location: Path | None = None
    ) -> None:
        self.rows, self.image_column, self.label_column, self.name = rows, image_column, label_column, name
        self.location = location
        self.description = f"image column {image_column!r}"
        if label_column:
            self.description += f", label column {label_column!r}"

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [_encoded(cell) for cell in self.rows[list(numbers)][self.image_column]]

    def labels(self) -> np.ndarray | None:
        return np.array(self.rows[self.label_column][:], np.int64) if self.label_column else None

    def class_names(self) -> tuple[str, ...]:
        """Those of a ClassLabel column; for a folder of pictures these are its subfolders."""
        feature = self.rows.features[self.label_column] if self.label_column else None
        return tuple(getattr(feature, "names", None) or ())

    def files(self) -> Iterable[Path]:
        """Return the files at the location, or those into which `datasets` put a data set of the Hub.

        `datasets` has a fingerprint of its own, but for a folder of pictures it hashes only paths, and for any set it
        is a new one once the cache of the library was emptied.
        """
        if self.location is None:
            return [Path(entry["filename"]) for entry in self.rows.cache_files]
        return files_below(self.location.resolve())

    def selection(self) -> tuple[object, ...]:
        return str(self.rows.split), len(self), self.image_column


def open_rows(source: str, split: str, image_column: str | None, label_column: str | None) -> DatasetRows:
    """Open one split of a Parquet file or folder, a folder of pictures, or a data set on the Hub.

    Raises:
        DataError: where nothing is there, or the split or a column is missing or of another type.
        MissingExtraError: where `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("train", "reading training data") from None
    with _without_progress_bars():
        rows, name = _load_split(source, split)
    if len(rows) == 0:
        raise DataError(f"{name} has no rows")
    image = _choose_column(rows.column_names, image_column, IMAGE_COLUMNS, name, "image")
    if image is None:
        raise DataError(
            f"{name} has no image column; its columns are {', '.join(rows.column_names)}; use --image-column to name it"
        )
    label = _choose_column(rows.column_names, label_column, LABEL_COLUMNS, name, "label")
    if label is not None and not _holds_classes(rows, label):
        if label_column is not None:
            raise DataError(f"{name}: column {label!r} does not hold a class, a whole number from 0, in every row")
        label = None  # a column that merely has a usual name, and that nobody asked for
    try:
        rows = rows.cast_column(image, datasets.Image(decode=False))
    except Exception as error:  # which exception pyarrow or datasets raises depends on the type of the column
        raise DataError(f"{name}: column {image!r} does not hold pictures: {printable(error, 120)}") from error
    location = Path(source).expanduser()
    rows = rows.select_columns([image, label] if label else [image])
    return DatasetRows(rows, image, label, name, location=location if location.exists() else None)


def _load_split(source: str, split: str) -> tuple[Any, str]:
    import datasets

    path = Path(source).expanduser()
    name = path.resolve().name if path.exists() else source
    if not path.exists() and (source.count("/") > 1 or source.startswith((".", "/", "~")) or path.suffix):
        raise DataError(f"there is no file or folder {source}")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{source} is an empty folder")
    if path.is_file() and path.suffix != ".parquet":
        raise DataError(f"{source} is not a .parquet file; give a folder of pictures or Parquet files")
    try:
        if path.is_file():
            return datasets.load_dataset("parquet", data_files={"train": str(path)}, split=split), path.stem
        return datasets.load_dataset(str(path) if path.exists() else source, split=split), name
    except Exception as error:  # the causes range from pyarrow's to the network's; all mean that there is no data
        raise DataError(
            f"{source} cannot be read as training data: {type(error).__name__}: {printable(error, 200)}"
        ) from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Turn off the progress bars of `datasets`, a switch of the whole process, inside the block."""
    import datasets

    enabled = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if enabled:
            datasets.enable_progress_bars()


def _choose_column(
    columns: Sequence[str], requested: str | None, usual: Sequence[str], name: str, role: str
) -> str | None:
    if requested is not None:
        if requested not in columns:
            raise DataError(f"{name} has no column {requested!r} for the {role}; it has {', '.join(columns)}")
        return requested
    return next((column for column in usual if column in columns), None)


def _holds_classes(rows: Any, column: str) -> bool:
    """Whether every row of a column is a whole number from 0; many sets on the Hub write -1 for an unknown class."""
    values = rows.data.column(column)
    is_whole = str(values.type).lstrip("u").startswith("int") and values.null_count == 0
    return is_whole and bool(values.to_numpy().min() >= 0)


def _encoded(cell: Any) -> EncodedPicture | None:
    if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
        return None
    return EncodedPicture(cell.get("bytes") or None, cell.get("path"))
