"""Opening of training data: from what `--data` names to the pictures of a data source."""

from __future__ import annotations

from pathlib import Path

from zoo_core.data.dataset_rows import open_rows
from zoo_core.data.image_source import ImageSource


def open_images(
    source: str | Path, *, split: str = "train", image_column: str | None = None, label_column: str | None = None
) -> ImageSource:
    """Open the pictures in a Parquet file or folder, a folder of pictures, or a data set on the Hub.

    Args:
        source: a path, or the id of a data set on the Hub.
        split: part of the data set; a file has only "train".
        image_column: column with the pictures, by default "image", "img" or "picture".
        label_column: column with the classes, by default "label", "labels" or "fine_label", where there is one.

    Returns:
        The pictures, not yet decoded.

    Raises:
        DataError: where nothing is there, or the split or a column is missing or of another type.
        MissingExtraError: where `datasets` is not installed.
    """
    return ImageSource(open_rows(str(source), split, image_column, label_column))
