"""Samples of a data set on the Hub. The only module that knows the library `datasets`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_core.data.class_labels import ClassLabels, number_classes
from zoo_core.data.columns import LABEL_COLUMNS, choose_column, choose_sample_column, why_no_classes
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.file_types import FileType
from zoo_core.data.picture_formats import PICTURES
from zoo_core.data.splits import TRAIN, choose_split
from zoo_core.errors import DataError, MissingExtraError, printable

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


class HubRows(EncodedPictures):
    """Rows with an image column and, in most sets, a label column.

    Args:
        rows: of one split, with an image column that `datasets` does not decode.
        labels: of the rows, or None.
    """

    def __init__(self, rows: Any, image_column: str, labels: ClassLabels | None, name: str) -> None:
        self.rows, self.image_column, self.name = rows, image_column, name
        self.origin = f"the data set {name} on the Hub"
        self.classes = labels

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [_encoded(cell) for cell in self.rows[list(numbers)][self.image_column]]

    def files(self) -> Iterable[Path]:
        """Return the files into which `datasets` put the data set; its own fingerprint changes with its cache."""
        return [Path(entry["filename"]) for entry in self.rows.cache_files]

    def selection(self) -> tuple[object, ...]:
        return str(self.rows.split), len(self), self.image_column


def may_be_id(source: str) -> bool:
    """Return whether a text may name a data set on the Hub: user/name, or just a name.

    Example:
        >>> may_be_id("ylecun/mnist"), may_be_id("mnist"), may_be_id("./mnist"), may_be_id("a[12]")
        (True, True, False, False)
    """
    return _ID.fullmatch(source) is not None


def open_hub_rows(
    source: str,
    split: str,
    image_column: str | None,
    label_column: str | None,
    *,
    beside: str = "",
    of: FileType = PICTURES,
) -> HubRows:
    """Open one split of a data set on the Hub.

    Args:
        beside: a hint about files of a close name, for the error where there is none of this one.
        of: what the samples are.

    Raises:
        DataError: where there is none of that name, or it cannot be read, or the split or a column is missing.
        MissingExtraError: where `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        near = f" ({beside.removeprefix('; ')})" if beside else ""
        raise MissingExtraError(
            "train", f"{printable(source)} is no file or folder here{near}, and a data set of the Hub"
        ) from None
    origin = f"the data set {source} on the Hub"
    with _without_progress_bars():
        rows, before = _load_split(source, split, origin, beside)
    if len(rows) == 0:
        raise DataError(f"{origin} has no rows")
    image = choose_sample_column(rows.column_names, image_column, of, origin)
    column = choose_column(rows.column_names, label_column, LABEL_COLUMNS, origin, "label")
    labels, refused = None, None
    if column is not None:
        names = tuple(getattr(rows.features[column], "names", None) or ())
        earlier = before[column][:] if before is not None else ()
        labels = number_classes(rows[column][:], names=names, before=earlier)
        refused = why_no_classes(labels, column, requested=label_column is not None, origin=origin, of=of)
        labels = None if refused else labels
    try:
        if of.feature:
            rows = rows.cast_column(image, getattr(datasets, of.feature)(decode=False))
    except Exception as error:  # which exception pyarrow or datasets raises depends on the type of the column
        raise DataError(f"{origin}: column {image!r} does not hold {of.several}: {printable(error, 120)}") from error
    found = HubRows(rows.select_columns([image]), image, labels, source)
    found.description = f"{of.role} column {image!r}" + (f", label column {column!r}" if labels else "")
    found.split, found.splits = split, tuple(rows.info.splits or ())
    found.notes = (refused,) if refused else ()
    return found


def _load_split(source: str, split: str, origin: str, beside: str) -> tuple[Any, Any]:
    """Return the rows of one split of a data set, and those of its training split where that is another one."""
    import datasets

    try:
        if "/" not in source:
            # Without an answer of the Hub, `datasets` takes what its cache has of that name, which may be a folder of
            # another time and place. In an empty cache there is none.
            with tempfile.TemporaryDirectory() as empty:
                datasets.load_dataset_builder(source, cache_dir=empty)
        builder = datasets.load_dataset_builder(source)
        builder.download_and_prepare()
        splits = tuple(builder.info.splits or ())
        (chosen,) = choose_split(split, splits, origin)
        before = builder.as_dataset(split=TRAIN) if TRAIN in splits and chosen != TRAIN else None
        return builder.as_dataset(split=chosen), before
    except DataError:
        raise
    except Exception as error:  # the causes range from the network's to pyarrow's
        raise DataError(f"there is no file or folder {source} here{beside}; {_why_not(error)}") from error


def _why_not(error: Exception) -> str:
    """Return why a name is no data set on the Hub that can be read, as a sentence."""
    kind = type(error).__name__
    if kind == "DatasetNotFoundError":
        return f"on the Hub: {printable(error, 200)}"
    if isinstance(error, ConnectionError):
        return f"the Hub cannot be asked for a data set of that name: {printable(error, 200)}"
    cause = error.__cause__ if kind == "DatasetGenerationError" and error.__cause__ else error
    return f"as a data set of the Hub it cannot be read: {type(cause).__name__}: {printable(cause, 200)}"


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


def _encoded(cell: Any) -> EncodedPicture | None:
    if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
        return None
    return EncodedPicture(cell.get("bytes") or None, cell.get("path"))
