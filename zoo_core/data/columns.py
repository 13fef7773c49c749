"""The columns of a table that hold samples and classes."""

from __future__ import annotations

from collections.abc import Sequence

from zoo_core.data.class_labels import ClassLabels
from zoo_core.data.file_types import FileType
from zoo_core.errors import DataError, printable

LABEL_COLUMNS = ("label", "labels", "fine_label")
SAMPLE_OPTION = "--column"  # of the command, for the column of the samples
_MOST_CLASSES = 100  # of a column that nobody asked for, where more than half of the rows have a value of their own


def choose_column(
    columns: Sequence[str], requested: str | None, usual: Sequence[str], origin: str, role: str
) -> str | None:
    """Return the column that a user requested, or else the first that has a usual name; None where none has.

    Args:
        role: what the column is for, in the message about one that is missing.

    Raises:
        DataError: where the table has no column that was requested.

    Example:
        >>> choose_column(["img", "label"], None, ("image", "img"), "pets.parquet", "image")
        'img'
    """
    if requested is not None:
        if requested not in columns:
            raise DataError(
                f"{origin} has no column {printable(requested, 80)!r} for the {role}; it has {_listed(columns)}"
            )
        return requested
    return next((column for column in usual if column in columns), None)


def choose_sample_column(columns: Sequence[str], requested: str | None, of: FileType, origin: str) -> str:
    """Return the column of the samples.

    Raises:
        DataError: where there is none.

    Example:
        >>> from zoo_core.data.picture_formats import PICTURES
        >>> choose_sample_column(["img", "label"], None, PICTURES, "pets.parquet")
        'img'
    """
    column = choose_column(columns, requested, of.columns, origin, of.role)
    if column is None:
        raise DataError(
            f"{origin} has no {of.role} column; its columns are {_listed(columns)}; use {SAMPLE_OPTION} to name it"
        )
    return column


def why_no_classes(
    labels: ClassLabels | None, column: str, *, requested: bool, origin: str, of: FileType
) -> str | None:
    """Return why a column is not taken for classes, as a sentence; None where it is.

    A column that merely has a usual name, and that nobody asked for, may hold captions or numbers of the rows.

    Raises:
        DataError: where somebody asked for it, and it has no class in any row.
    """
    name = printable(column, 80)
    if labels is None:
        if requested:
            raise DataError(f"{origin}: column {name!r} does not state a class in any row")
        return f"column {name!r} does not state a class in any row: the {of.several} have no classes"
    if not requested and len(labels.names) > max(_MOST_CLASSES, len(labels.numbers) / 2):
        return (
            f"column {name!r} has {len(labels.names):,} values in {len(labels.numbers):,} rows, and is not taken for "
            f"classes; --label-column {name} takes it"
        )
    return None


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(printable(column, 80) for column in columns)
