"""FileType: which files and columns hold the samples of one kind, and what messages call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileType:
    """What is read as samples of one kind, among files of many kinds.

    Attributes:
        noun: what one sample is called, in the singular and the plural: ("picture", "pictures").
        role: what the column of the samples is called in messages: "image".
        columns: its usual names in tables.
        feature: the class of `datasets` for a column of encoded samples on the Hub; empty for plain values.
        reads: what can be named as data of this kind, for messages.
        is_one: whether a file of this name holds a sample, whether it can be read here or not.
        is_readable: whether it can be read here.
        remedy: what makes files with a suffix that cannot be read readable, as a phrase.
    """

    noun: tuple[str, str]
    role: str
    columns: tuple[str, ...]
    feature: str
    reads: str
    is_one: Callable[[str], bool]
    is_readable: Callable[[str], bool]
    remedy: Callable[[str], str]

    @property
    def one(self) -> str:
        """What one sample is called."""
        return self.noun[0]

    @property
    def several(self) -> str:
        """What several samples are called."""
        return self.noun[1]

    def count(self, number: int) -> str:
        """Return a number of samples in words: "1 picture", "2,000 pictures"."""
        return f"{number:,} {self.noun[number != 1]}"
