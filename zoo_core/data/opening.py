"""Training data: pictures found through `datasets`, in a Parquet file, a folder of pictures or on the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo_core.data.image_source import ImageSource
from zoo_core.errors import DataError, MissingExtraError, printable

IMAGE_COLUMNS = ("image", "img", "picture")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def open_images(
    source: str | Path, *, split: str = "train", image_column: str | None = None, label_column: str | None = None
) -> ImageSource:
    """Find the pictures in a Parquet file or folder, an image folder, or a Hub data set: one split of it.

    Raises:
        DataError: where nothing is there, or not the split or the column asked for.
        MissingExtraError: where `datasets` is not installed.
    """
    rows, name = _load_split(str(source), split)
    if len(rows) == 0:
        raise DataError(f"{name} has no rows")
    image = _choose_column(rows.column_names, image_column, IMAGE_COLUMNS, name, "image")
    if image is None:
        raise DataError(
            f"{name} has no image column; its columns are {', '.join(rows.column_names)}; --image-column names one"
        )
    label = _choose_column(rows.column_names, label_column, LABEL_COLUMNS, name, "label")
    if label is not None and not _holds_classes(rows, label):
        if label_column is not None:
            raise DataError(f"{name}: column {label!r} does not hold a class, a whole number from 0, in every row")
        label = None  # a column of that name which is something else, and which nobody asked for
    from datasets import Image as ImageFeature

    try:
        rows = rows.cast_column(image, ImageFeature(decode=False))
    except Exception as error:  # pyarrow and datasets raise whatever fits the column's type
        raise DataError(f"{name}: column {image!r} does not hold pictures: {printable(error, 120)}") from error
    location = Path(source).expanduser()
    rows = rows.select_columns([image, label] if label else [image])
    return ImageSource(rows, image, label, name, location=location if location.exists() else None)


def _load_split(source: str, split: str) -> tuple[Any, str]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("train", "reading training data") from None
    path = Path(source).expanduser()
    name = path.resolve().name if path.exists() else source
    if not path.exists() and (source.count("/") > 1 or source.startswith((".", "/", "~")) or path.suffix):
        raise DataError(f"there is no file or folder {source}")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{source} is an empty folder")
    datasets.disable_progress_bars()
    try:
        if path.is_file():
            if path.suffix != ".parquet":
                raise DataError(f"{source} is not a .parquet file; give a folder of pictures or Parquet files")
            return datasets.load_dataset("parquet", data_files={"train": str(path)}, split=split), path.stem
        return datasets.load_dataset(str(path) if path.exists() else source, split=split), name
    except DataError:
        raise
    except Exception as error:  # the reasons range from pyarrow's to the network's; all mean: no data
        raise DataError(
            f"{source} cannot be read as training data: {type(error).__name__}: {printable(error, 200)}"
        ) from error


def _choose_column(columns: Sequence[str], asked: str | None, usual: Sequence[str], name: str, role: str) -> str | None:
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{name} has no column {asked!r} for the {role}; it has {', '.join(columns)}")
        return asked
    return next((column for column in usual if column in columns), None)


def _holds_classes(rows: Any, column: str) -> bool:
    """Whether every row of a column is a whole number from 0; many Hub sets write -1 where a class is not told."""
    values = rows.data.column(column)
    is_whole = str(values.type).lstrip("u").startswith("int") and values.null_count == 0
    return is_whole and bool(values.to_numpy().min() >= 0)
