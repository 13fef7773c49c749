"""Samples in Parquet files, in the schema of the Hub's data sets: a column of them and, in most, a label column.

The only module that knows pyarrow.
"""

from __future__ import annotations

import json
import re
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo_core.data.class_labels import number_classes
from zoo_core.data.columns import LABEL_COLUMNS, choose_column, choose_sample_column, why_no_classes
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.file_types import FileType
from zoo_core.data.picture_formats import PICTURES
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.errors import DataError, MissingExtraError, OutputError, printable
from zoo_core.files.folders import cache_folder
from zoo_core.runtime.memory import available_memory

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY_SHARE = 1 / 8  # of the available memory may hold the encoded pictures; the workers hold them once more
_ROWS = 256  # that are copied at a time where they do not fit
_SHARD = re.compile(r"([-._ ]?[0-9]+(-of-[0-9]+)?)?\.[a-z]+$", re.IGNORECASE)  # the number of a part, at the end
_WIDTH = re.compile(r"large_|^u(?=int)|\d+")  # what of a type does not matter: it is the same kind of value
_BETWEEN_WORDS = re.compile(r"[-._ ]")


class ParquetRows(EncodedPictures):
    """The rows of some Parquet files.

    Args:
        files: in their order.
        name: of the data.
        origin: where they are, for messages.
        image_column, label_column: which columns to read, or None for those with a usual name.
        before: files of the training split, if these are of another: its classes keep their numbers.
        of: what the samples are.

    Raises:
        DataError: for a file that cannot be read, or a column that is missing or of another type.
        MissingExtraError: where pyarrow is not installed.
    """

    def __init__(
        self,
        files: Sequence[Path],
        name: str,
        origin: str,
        image_column: str | None = None,
        label_column: str | None = None,
        *,
        before: Sequence[Path] = (),
        of: FileType = PICTURES,
    ) -> None:
        self._files, self.name, self.origin = tuple(path.resolve() for path in files), name, origin
        schema = schema_of(self._files[0])
        self.image_column = choose_sample_column(schema.names, image_column, of, origin)
        kind = schema.field(self.image_column).type
        if not _holds_files(kind):
            column = f"column {printable(self.image_column, 80)!r}"
            raise DataError(f"{origin}: {column} does not hold {of.several}: its type is {printable(kind, 80)}")
        self.description = f"{of.role} column {self.image_column!r}"
        self._sizes = [_number_of_rows(file) for file in self._files]
        if sum(self._sizes) == 0:
            raise DataError(f"{origin} has no rows")
        self._cells: pa.ChunkedArray | None = None
        self._copy: str | None = None
        labels = choose_column(schema.names, label_column, LABEL_COLUMNS, origin, "label")
        if labels is not None:
            self._read_labels(schema, labels, before, requested=label_column is not None, of=of)

    def _read_labels(
        self, schema: pa.Schema, column: str, before: Sequence[Path], *, requested: bool, of: FileType
    ) -> None:
        kind = schema.field(column).type
        if _is_nested(kind):
            several = f"column {column!r} does not hold one class in every row: its type is {printable(kind, 80)}"
            if requested:
                raise DataError(f"{self.origin}: {several}")
            self.notes = (several,)
            return
        earlier, names = column_values(before, column), stated_names(schema, column)
        labels = number_classes(column_values(self._files, column), names=names, before=earlier)
        refused = why_no_classes(labels, column, requested=requested, origin=self.origin, of=of)
        if refused is not None:
            self.notes = (refused,)
        else:
            self.classes = labels
            self.description += f", label column {column!r}"

    def __len__(self) -> int:
        return sum(self._sizes)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        if self._cells is None:
            self._cells = self._read_cells()
        return [self._encoded(self._cells[int(number)].as_py()) for number in numbers]

    def _encoded(self, cell: Any) -> EncodedPicture | None:
        """Return what a cell holds: bytes, the path of a file, or a pair of both, of which one may be missing."""
        if not isinstance(cell, dict):
            cell = {"path" if isinstance(cell, str) else "bytes": cell}
        content, path = cell.get("bytes") or None, cell.get("path") or None
        if content is None and path is None:
            return None
        if content is None:  # a file beside this one
            path = str(self._files[0].parent / str(path))
        return EncodedPicture(content, path)

    def files(self) -> Iterable[Path]:
        return self._files

    def selection(self) -> tuple[object, ...]:
        return self.split, len(self), self.image_column

    def _read_cells(self) -> pa.ChunkedArray:
        """Return the image column: in memory, or mapped from an uncompressed copy on the disk where it is too large."""
        if self._copy is None and sum(map(self._unpacked_bytes, self._files)) > available_memory() * MEMORY_SHARE:
            self._copy = self._copy_cells()
        if self._copy is not None:
            return _mapped(self._copy)
        import pyarrow as pa

        return pa.chunked_array([batch.column(0) for batch in self._batches()])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the image column in pieces. Without threads of pyarrow's own, as workers are forked after it."""
        kind = schema_of(self._files[0]).field(self.image_column).type
        for file in self._files:
            with _reading(file), _open(file) as table:
                if table.schema_arrow.field(self.image_column).type != kind:
                    raise DataError(f"{printable(file, 200)}: its column {self.image_column!r} is of another type")
                yield from table.iter_batches(_ROWS, columns=[self.image_column], use_threads=False)

    def _unpacked_bytes(self, file: Path) -> int:
        with _reading(file), _open(file) as table:
            groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
            columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        named = (self.image_column, f"{self.image_column}.bytes")
        return sum(column.total_uncompressed_size for column in columns if column.path_in_schema in named)

    def _copy_cells(self) -> str:
        """Copy the image column into a file in Arrow's format, which goes with this object; returns its path."""
        import pyarrow as pa

        try:
            folder = cache_folder() / "encoded"
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".arrow", delete=False) as copy:
                weakref.finalize(self, Path(copy.name).unlink, missing_ok=True)
                schema = pa.schema([schema_of(self._files[0]).field(self.image_column)])
                with pa.ipc.new_file(copy, schema) as writer:
                    for batch in self._batches():
                        writer.write_batch(batch)
        except OSError as error:
            raise OutputError.unwritable(cache_folder(), error) from error
        return copy.name

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cells": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        with suppress(Exception):  # `read` meets it again, where it is reported
            self._cells = self._read_cells()  # before the workers are forked, so that they share it


def open_parquet(
    names: Sequence[str],
    folder: Path,
    split: str,
    image_column: str | None,
    label_column: str | None,
    origin: str,
    of: FileType = PICTURES,
) -> ParquetRows:
    """Open one split of the Parquet files in a folder.

    Each file states its split in its name or its folder's, as on the Hub: train-00000-of-00001.parquet,
    data/test-*.parquet, test/0000.parquet. Where one does not, the folder has no splits.

    Args:
        names: of the files, relative to the folder, with "/" between the parts.

    Raises:
        DataError: where there is no such split; and as ParquetRows.
    """
    chosen = files_of_split(names, split, origin)
    files, before = ([folder / name for name in some] for some in (chosen.files, chosen.before))
    rows = ParquetRows(files, folder.resolve().name, origin, image_column, label_column, before=before, of=of)
    if chosen.splits:
        rows.split, rows.splits = chosen.split, chosen.splits
    return rows


class FilesOfSplit(NamedTuple):
    """The files of one split, by their names; and those of the training split, if it is another."""

    files: list[str]
    before: list[str]
    split: str = ""
    splits: tuple[str, ...] = ()


def files_of_split(names: Iterable[str], split: str, origin: str) -> FilesOfSplit:
    """Choose the files of one split, which each of them states in its name; all of them where one states none.

    Raises:
        DataError: where there is no such split.

    Example:
        >>> files_of_split(["test.jsonl", "train.jsonl"], "test", "the folder words").files
        ['test.jsonl']
    """
    by_split: dict[str, list[str]] = {}
    for name in sorted(names):
        by_split.setdefault(split_of_file(name) or "", []).append(name)
    if "" in by_split:
        if split_of(split) != TRAIN:
            raise no_split(split, (), origin)
        return FilesOfSplit(sorted(names), [])
    (split,) = choose_split(split, in_order(by_split), origin)
    return FilesOfSplit(by_split[split], by_split.get(TRAIN, []) if split != TRAIN else [], split, in_order(by_split))


def split_of_file(name: str) -> str | None:
    """Return the split that a file of a table states in its name, or in its folder's; None where neither does.

    Example:
        >>> split_of_file("data/train-00000-of-00001.parquet"), split_of_file("test/0000.parquet")
        ('train', 'test')
        >>> split_of_file("mnist_test.parquet"), split_of_file("trains.parquet")
        ('test', None)
    """
    *folders, file = name.split("/")
    words = _BETWEEN_WORDS.split(_SHARD.sub("", file))
    stated = (*reversed(folders), words[0], words[-1])
    return next(filter(None, map(split_of, stated)), None)


def holds_samples(file: Path, column: str | None, of: FileType) -> bool:
    """Return whether a Parquet file has a column of samples. Raises DataError for one that cannot be read."""
    schema = schema_of(file)
    found = choose_column(schema.names, None, (column,) if column else of.columns, "", of.role)
    return found is not None and _holds_files(schema.field(found).type)


def _holds_files(kind: pa.DataType) -> bool:
    """Whether a type is that of files: bytes, the path of a file, or both."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(_holds_files(field.type) for field in kind if field.name in ("bytes", "path"))
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_string(kind) or types.is_large_string(kind)
    )


def _is_nested(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_nested(kind))


def stated_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """Return the names of the classes in the schema that `datasets` writes into a Parquet file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[column]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def column_values(files: Sequence[Path], column: str) -> list[Any]:
    """Return a column of Parquet files. Raises DataError where it is missing, or of another type in one of them."""
    values: list[Any] = []
    kinds: set[str] = set()
    for file in files:
        with _reading(file), _open(file) as table:
            if column not in table.schema_arrow.names:
                raise DataError(f"{printable(file, 200)} has no column {printable(column, 80)!r}, and other files have")
            kinds.add(_WIDTH.sub("", str(table.schema_arrow.field(column).type)))
            values += table.read([column]).column(0).to_pylist()
    if len(kinds) > 1:
        raise DataError(
            f"the files of {printable(files[0].parent, 200)} are not of one data set: column {printable(column, 80)!r} "
            f"holds {' and '.join(sorted(kinds))}"
        )
    return values


def _mapped(path: str) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(path)).read_all().column(0)


def schema_of(file: Path) -> pa.Schema:
    """Return the schema of a Parquet file. Raises DataError for one that cannot be read."""
    with _reading(file), _open(file) as table:
        return table.schema_arrow


def _number_of_rows(file: Path) -> int:
    with _reading(file), _open(file) as table:
        return int(table.metadata.num_rows)


def _open(file: Path) -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("train", "reading Parquet files") from None
    return pq.ParquetFile(file)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Make one line of whatever is wrong with a file."""
    try:
        yield
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # which exception pyarrow raises depends on what is damaged
        raise DataError(f"{printable(file, 200)} cannot be read as Parquet: {printable(error, 200)}") from error
