"""Opening of texts: from what `--data` names to a source of texts.

One line is one text. In a folder, files called like splits (train.txt, test.txt) are the splits; otherwise folders
decide over splits and classes, as with pictures.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.data.class_labels import ClassLabels, number_classes
from zoo_core.data.columns import LABEL_COLUMNS, SAMPLE_OPTION, choose_column, choose_sample_column, why_no_classes
from zoo_core.data.folder_structure import Structure, structure_of
from zoo_core.data.hub_rows import HubRows
from zoo_core.data.opening import open_encoded
from zoo_core.data.parquet_rows import FilesOfSplit, files_of_split, split_of_file
from zoo_core.data.picture_folder import PictureFolder, files_in
from zoo_core.data.picture_formats import suffix_of
from zoo_core.data.splits import TRAIN, no_split, split_of
from zoo_core.data.text_formats import TEXTS, is_text
from zoo_core.data.text_lines import decoded_lines
from zoo_core.data.text_source import Texts, TextSource
from zoo_core.data.text_tables import COMMAS, JSON_LINES, PARQUET, TABLES, open_table
from zoo_core.data.zip_archive import ZipArchive
from zoo_core.errors import DataError, printable
from zoo_core.files.paths import user_path

_NAMED = 3  # damaged lines that a note names


def open_texts(
    source: str | Path,
    *,
    values: Mapping[str, Any] | None = None,
    split: str = TRAIN,
    column: str | None = None,
    label_column: str | None = None,
    skip_damaged: bool = False,
) -> TextSource:
    """Open the texts in a folder or file, or in a data set on the Hub.

    Args:
        source: a path, or the id of a data set on the Hub. A path is taken literally.
        values: of the model's configuration: alphabet and length are used where they are given.
        split: part of the data set; "train" is also the whole of one that has no parts.
        column: of the texts in a table, by default "text", "sentence" or "content".
        label_column: of the classes, by default "label", "labels" or "fine_label", where there is one.
        skip_damaged: leave out lines that are not UTF-8, instead of refusing them.

    Raises:
        DataError: where nothing is there, or the split or a column is missing, or a line cannot be read.
        MissingExtraError: where pyarrow, for Parquet files, or `datasets`, for the Hub, is not installed.
    """
    read = functools.partial(
        _read, source, column=column, label_column=label_column, damaged=[] if skip_damaged else None
    )
    texts = read(split=split)
    trained: Callable[[], str] | None = None
    if any(split_of(name) == TRAIN for name in texts.splits) and split_of(texts.split) != TRAIN:
        trained = lambda: TextSource(read(split=TRAIN)).alphabet  # noqa: E731
    return TextSource(texts, values, trained)


def _read(
    source: str | Path, *, split: str, column: str | None, label_column: str | None, damaged: list[str] | None
) -> Texts:
    path = user_path(source)
    suffix = suffix_of(path.name)
    if path.is_dir():
        return _read_folder(path, split, column, label_column, damaged)
    if not path.exists():
        rows = open_encoded(source, TEXTS, split, column, label_column)  # on the Hub, or the error that it is nowhere
        assert isinstance(rows, HubRows)
        return _from_hub(rows)
    if suffix in TABLES:
        _refuse_other_split(split, path)
        return _from_table(
            FilesOfSplit([path.name], []), path.parent, path.stem, printable(path, 200), column, label_column
        )
    _refuse_columns(column, label_column, path)
    if suffix == ".zip":
        archive = ZipArchive(path, split, TEXTS)
        contents = [(Path(archive.where(number)), _content(archive, number)) for number in range(len(archive))]
        return _from_lines(contents, archive, damaged)
    if not is_text(path.name):
        raise DataError(f"{printable(path, 200)} cannot be read as texts; what can be: {TEXTS.reads}")
    _refuse_other_split(split, path)
    whole = PictureFolder(path.parent, Structure((path.name,), None, (), "", (), ()))
    whole.name, whole.origin = path.stem, printable(path, 200)
    return _from_lines([(path, None)], whole, damaged)


def _read_folder(
    folder: Path, split: str, column: str | None, label_column: str | None, damaged: list[str] | None
) -> Texts:
    origin, names = f"the folder {printable(folder, 200)}", list(files_in(folder))
    if not names:
        raise DataError(f"{printable(folder, 200)} is an empty folder")
    for form in (PARQUET, JSON_LINES, COMMAS):
        tables = [name for name in names if suffix_of(name) in form and not name.startswith(".")]
        if tables:
            chosen = files_of_split(tables, split, origin)
            texts = _from_table(chosen, folder, folder.resolve().name, origin, column, label_column)
            beside = sum(map(is_text, names))
            note = f"{beside:,} .txt beside them not used: the {form[0]} files are the data set"
            return dataclasses.replace(texts, notes=(*texts.notes, note)) if beside else texts
    _refuse_columns(column, label_column, folder)
    found = _structure(names, split, origin)
    return _from_lines([(folder / name, None) for name in found.files], PictureFolder(folder, found), damaged)


def _structure(names: Sequence[str], split: str, origin: str) -> Structure:
    """Return the structure of a folder; of one with files that are called like splits, as if each were in a folder."""
    texts = [name for name in names if is_text(name)]
    stated = {name: split_of_file(name) for name in texts if "/" not in name}
    if len(stated) < len(texts) or not any(stated.values()):
        return structure_of(names, split, origin, TEXTS)
    if None in stated.values():
        other = next(name for name, of in stated.items() if of is None)
        some = next(name for name, of in stated.items() if of is not None)
        raise DataError(
            f"{origin}: {printable(some, 80)} is a split by its name, and {printable(other, 80)} beside it is none; "
            "move it elsewhere, or give each split a folder"
        )
    moved = {f"{stated[name]}/{name}" if name in stated else name: name for name in names}
    found = structure_of(moved, split, origin, TEXTS)
    return Structure(tuple(moved[name] for name in found.files), None, (), found.split, found.splits, found.notes)


def _from_lines(
    contents: Sequence[tuple[Path, bytes | None]],
    files: PictureFolder | ZipArchive,
    damaged: list[str] | None,
) -> Texts:
    """Read the lines of text files; all lines of a file have its class."""
    texts: list[str] = []
    lines: list[tuple[int, int]] = []
    before = len(damaged) if damaged is not None else 0
    for number, (file, content) in enumerate(contents):
        for line, text in decoded_lines(file, content, damaged=damaged.append if damaged is not None else None):
            texts.append(text)
            lines.append((number, line))
    bad = damaged[before:] if damaged is not None else []
    more = ", …" if len(bad) > _NAMED else ""
    note = f"{len(bad):,} {'line is' if len(bad) == 1 else 'lines are'} not UTF-8 and left out: " + ", ".join(
        bad[:_NAMED]
    )
    labels = files.labels()
    numbers = np.array([number for number, _ in lines], np.int64)
    return Texts(
        texts,
        files.name,
        files.origin,
        lambda number: f"{printable(contents[lines[number][0]][0].name, 80)}, line {lines[number][1]:,}",
        ClassLabels(labels[numbers], files.class_names()) if labels is not None else None,
        files.split,
        files.splits,
        (*files.notes, *([note + more] if bad else [])),
    )


def _from_table(
    chosen: FilesOfSplit, folder: Path, name: str, origin: str, column: str | None, label_column: str | None
) -> Texts:
    table = open_table([folder / file for file in chosen.files])
    if not table.columns:
        raise DataError(f"{origin} has no rows")
    of_text = choose_sample_column(table.columns, column, TEXTS, origin)
    of_label = choose_column(table.columns, label_column, LABEL_COLUMNS, origin, "label")
    classes, notes = None, []
    if of_label is not None:
        earlier = open_table([folder / file for file in chosen.before]).values(of_label) if chosen.before else ()
        values = _plain(table.values(of_label), of_label, table.where)
        classes = number_classes(values, names=table.class_names(of_label), before=earlier)
        refused = why_no_classes(classes, of_label, requested=label_column is not None, origin=origin, of=TEXTS)
        if refused is not None:
            classes, notes = None, [refused]
    texts = _as_texts(table.values(of_text), table.where)
    return Texts(texts, name, origin, table.where, classes, chosen.split, chosen.splits, tuple(notes))


def _from_hub(rows: HubRows) -> Texts:
    def where(number: int) -> str:
        return rows.where(number)

    texts = _as_texts(rows.rows[rows.image_column][:], where)
    return Texts(texts, rows.name, rows.origin, where, rows.classes, rows.split, rows.splits, rows.notes)


def _as_texts(values: Sequence[Any], where: Callable[[int], str]) -> list[str]:
    """Return the values of a column as texts; a missing one is blank, and anything but a text an error."""
    for number, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise DataError(f"{where(number)}: its text is {printable(repr(value), 60)}, which is none")
    return [value or "" for value in values]


def _plain(values: list[Any], column: str, where: Callable[[int], str]) -> list[Any]:
    for number, value in enumerate(values):
        if isinstance(value, (list, dict)):
            raise DataError(f"{where(number)}: column {printable(column, 80)!r} does not hold one class in every row")
    return values


def _content(archive: ZipArchive, number: int) -> bytes | None:
    (encoded,) = archive.read([number])
    return encoded.content if encoded else None


def _refuse_other_split(split: str, path: Path) -> None:
    if split_of(split) != TRAIN:
        raise no_split(split, (), printable(path, 200))


def _refuse_columns(column: str | None, label_column: str | None, path: Path) -> None:
    if column or label_column:
        option = SAMPLE_OPTION if column else "--label-column"
        raise DataError(f"{printable(path, 200)} has no columns: {option} is for tables and data sets on the Hub")
