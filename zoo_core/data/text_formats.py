"""Which files are texts, by their names."""

from __future__ import annotations

from zoo_core.data.file_types import FileType
from zoo_core.data.picture_formats import suffix_of


def is_text(name: str) -> bool:
    """Return whether a file of this name holds texts, one a line.

    Example:
        >>> is_text("words.TXT"), is_text("README.md")
        (True, False)
    """
    return suffix_of(name) in (".txt", ".text")


def remedy(suffix: str) -> str:
    """Return what makes texts with this suffix readable; all that are texts by their name can be read."""
    return "save them as .txt in UTF-8"


TEXTS = FileType(
    noun=("text", "texts"),
    role="text",
    columns=("text", "sentence", "content"),
    feature="",
    reads=".txt (one text a line), a folder or .zip of such, .jsonl, .csv, .tsv or .parquet",
    is_one=is_text,
    is_readable=is_text,
    remedy=remedy,
)
