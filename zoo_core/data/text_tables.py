"""Tables of texts: JSON Lines, CSV and Parquet files, with a column of texts and, in some, one of labels."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zoo_core.data import parquet_rows
from zoo_core.data.picture_formats import suffix_of
from zoo_core.data.text_lines import decoded_lines
from zoo_core.errors import DataError, printable

JSON_LINES, COMMAS, PARQUET = (".jsonl", ".ndjson"), (".csv", ".tsv"), (".parquet",)
TABLES = (*PARQUET, *JSON_LINES, *COMMAS)


class TextTable(ABC):
    """The rows of some files, in their order.

    Attributes:
        columns: their names.
    """

    columns: tuple[str, ...]

    @abstractmethod
    def values(self, column: str) -> list[Any]:
        """Return what a column holds, in every row; None for a cell that is missing."""

    @abstractmethod
    def where(self, row: int) -> str:
        """Return where a person finds a row, for messages."""

    def class_names(self, column: str) -> tuple[str, ...]:
        """Return the names of the classes that the table itself states for the numbers in a column."""
        return ()


def open_table(files: Sequence[Path]) -> TextTable:
    """Open files of one form.

    Raises:
        DataError: for a file that cannot be read.
        MissingExtraError: for Parquet files, where pyarrow is not installed.
    """
    return _ParquetTable(files) if suffix_of(files[0].name) in PARQUET else _PlainTable(files)


class _ParquetTable(TextTable):
    def __init__(self, files: Sequence[Path]) -> None:
        self._files, self._schema = files, parquet_rows.schema_of(files[0])
        self.columns = tuple(self._schema.names)

    def values(self, column: str) -> list[Any]:
        return parquet_rows.column_values(self._files, column)

    def where(self, row: int) -> str:
        return f"{printable(self._files[0].parent.name or self._files[0], 80)}, row {row}"

    def class_names(self, column: str) -> tuple[str, ...]:
        return parquet_rows.stated_names(self._schema, column)


class _PlainTable(TextTable):
    """The rows of text files, each read whole."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._rows: list[tuple[Path, int, dict[str, Any]]] = []
        for file in files:
            read = _json_lines if suffix_of(file.name) in JSON_LINES else _separated
            self._rows += [(file, line, row) for line, row in read(file)]
        self.columns = tuple(dict.fromkeys(column for _, _, row in self._rows for column in row))

    def values(self, column: str) -> list[Any]:
        return [row.get(column) for _, _, row in self._rows]

    def where(self, row: int) -> str:
        file, line, _ = self._rows[row]
        return f"{printable(file.name, 80)}, line {line:,}"


def _json_lines(file: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    for line, text in decoded_lines(file):
        if not text.strip():
            continue
        where = f"{printable(file.name, 80)}, line {line:,}"
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: it is no JSON: {printable(error, 120)}") from error
        if not isinstance(row, dict):
            raise DataError(f'{where}: it is no object such as {{"text": "…"}}')
        yield line, row


def _separated(file: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    text = "\n".join(text for _, text in decoded_lines(file))
    # A text may have any length; the limit of the module is one of the whole process, and is left alone.
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter="\t" if suffix_of(file.name) == ".tsv" else ",", strict=True
    )
    try:
        for row in reader:
            if None in row:
                where = f"{printable(file.name, 80)}, line {reader.line_num:,}"
                raise DataError(f"{where}: it has more values than the header has names")
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{printable(file.name, 80)}, line {reader.line_num:,}: it cannot be read: {printable(error, 120)}"
        ) from error
