"""Opening of training data: from what `--data` names to the pictures of a data source.

What is on this machine is read here, file by file. Only a name that is no file or folder may be a data set on the Hub.
"""

from __future__ import annotations

from pathlib import Path

from zoo_core.data.columns import SAMPLE_OPTION
from zoo_core.data.encoded_pictures import EncodedPictures
from zoo_core.data.file_types import FileType
from zoo_core.data.folder_structure import structure_of
from zoo_core.data.hub_rows import may_be_id, open_hub_rows
from zoo_core.data.idx import idx_pictures, is_idx, open_idx, open_idx_folder
from zoo_core.data.image_source import ImageSource
from zoo_core.data.numpy_files import open_numpy
from zoo_core.data.parquet_rows import ParquetRows, holds_samples, open_parquet
from zoo_core.data.picture_folder import PictureFolder, files_in
from zoo_core.data.picture_formats import PICTURES, is_picture, suffix_of
from zoo_core.data.splits import TRAIN, no_split, split_of
from zoo_core.data.zip_archive import ZipArchive
from zoo_core.errors import DataError, did_you_mean, printable
from zoo_core.files.paths import user_path

# A name that ends in one of these is that of a file, and not of a data set on the Hub.
_FILES = (
    ".7z", ".csv", ".gz", ".h5", ".json", ".jsonl", ".mat", ".npy", ".npz", ".parquet", ".pt", ".pth", ".rar",
    ".safetensors", ".tar", ".tgz", ".tsv", ".txt", ".xml", ".zip",
)  # fmt: skip


def open_images(
    source: str | Path,
    *,
    split: str = TRAIN,
    image_column: str | None = None,
    label_column: str | None = None,
    skip_damaged: bool = False,
) -> ImageSource:
    """Open the pictures in a folder or file, or in a data set on the Hub.

    Args:
        source: a path, or the id of a data set on the Hub. A path is taken literally.
        split: part of the data set; "train" is also the whole of one that has no parts.
        image_column: column with the pictures, by default "image", "img" or "picture".
        label_column: column with the classes, by default "label", "labels" or "fine_label", where there is one.
        skip_damaged: leave out pictures that cannot be decoded, instead of refusing them.

    Returns:
        The pictures, not yet decoded.

    Raises:
        DataError: where nothing is there, or the split or a column is missing or of another type, or a picture is
            damaged.
        MissingExtraError: where pyarrow, for Parquet files, or `datasets`, for the Hub, is not installed.
    """
    return ImageSource(open_encoded(source, PICTURES, split, image_column, label_column), skip_damaged=skip_damaged)


def open_encoded(
    source: str | Path, of: FileType, split: str = TRAIN, column: str | None = None, label_column: str | None = None
) -> EncodedPictures:
    """Open samples in files, of pictures or of another kind.

    Args:
        of: what the samples are.
        column: of the samples; the others are as for `open_images`, and so are the errors.
    """
    path = user_path(source)
    try:
        kind = "folder" if path.is_dir() else "file" if path.exists() else None
    except OSError as error:
        raise DataError(f"{printable(source)} cannot be read: {error.strerror or error}") from error
    if kind is None:
        if isinstance(source, str) and _names_a_data_set(source):
            return open_hub_rows(source, split, column, label_column, beside=_close_name(path), of=of)
        raise DataError(f"there is no file or folder {printable(source)}{_close_name(path)}")
    pictures = (_open_folder if kind == "folder" else _open_file)(path, of, split, column, label_column)
    if (column or label_column) and not isinstance(pictures, ParquetRows):
        option = SAMPLE_OPTION if column else "--label-column"
        raise DataError(f"{pictures.origin} has no columns: {option} is for Parquet files and data sets on the Hub")
    return pictures


def _open_file(path: Path, of: FileType, split: str, column: str | None, label_column: str | None) -> EncodedPictures:
    suffix, origin = suffix_of(path.name), printable(path, 200)
    pictures: EncodedPictures
    if suffix == ".zip":
        return ZipArchive(path, split, of)
    if suffix in (".npz", ".npy") and of is PICTURES:
        return open_numpy(path, split)
    if suffix == ".parquet":
        pictures = ParquetRows([path], path.stem, origin, column, label_column, of=of)
    elif of is PICTURES and _is_idx(path, origin):
        pictures = open_idx(path)
    elif of.is_one(path.name):
        raise DataError(f"{origin} is a single {of.one}; give the folder that holds your {of.several}")
    else:
        raise DataError(f"{origin} cannot be read as {of.several}; what can be: {of.reads}")
    if split_of(split) != TRAIN:
        raise no_split(split, (), origin)
    return pictures


def _is_idx(path: Path, origin: str) -> bool:
    try:
        return is_idx(path)
    except OSError as error:
        raise DataError(f"{origin} cannot be read: {error.strerror or error}") from error


def _open_folder(
    folder: Path, of: FileType, split: str, column: str | None, label_column: str | None
) -> EncodedPictures:
    origin = f"the folder {printable(folder, 200)}"
    names = list(files_in(folder))
    if not names:
        raise DataError(f"{printable(folder, 200)} is an empty folder")
    # Beside samples, a table without any is metadata about them.
    parquet = [name for name in names if suffix_of(name) == ".parquet" and not _is_hidden(name)]
    any_files = any(map(of.is_one, names))
    tables = [name for name in parquet if not any_files or holds_samples(folder / name, column, of)]
    if tables:
        rows = open_parquet(tables, folder, split, column, label_column, origin, of)
        rows.notes = (*rows.notes, *_beside(names, of))
        return rows
    idx = idx_pictures(names) if of is PICTURES and not any_files else []
    if idx:
        return open_idx_folder(idx, folder, split, origin)
    return PictureFolder(folder, structure_of(names, split, origin, of))


def _beside(names: list[str], of: FileType) -> list[str]:
    count = sum(map(of.is_one, names))
    return [f"{of.count(count)} beside them not used: the Parquet files are the data set"] if count else []


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _names_a_data_set(source: str) -> bool:
    """Whether a text that is no path here may be the id of a data set on the Hub, and not a path that is missing."""
    return may_be_id(source) and suffix_of(source) not in _FILES and not is_picture(source)


def _close_name(path: Path) -> str:
    """Return a hint about files and folders beside a missing one that have a close name; empty without any."""
    try:
        beside = {entry.name: str(entry) for entry in path.parent.iterdir()}
    except OSError:
        return ""
    hint = did_you_mean(path.name, beside, otherwise="")
    return f"; {printable(hint)}" if hint else ""
