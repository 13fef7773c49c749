"""Encoded pictures: the interface of every kind of data source, whose pictures are decoded later.

Sounds and texts in files go through the same interface: where a picture is spoken of, any encoded sample is meant.

To add a kind of source, derive from EncodedPictures in a module of its own and let `opening` choose it. Decoding, the
cache and the fingerprint know no more of a source than this interface.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo_core.data.class_labels import ClassLabels


class EncodedPicture(NamedTuple):
    """One picture as it is stored.

    Attributes:
        content: the bytes of its file, or None where the file at `path` is to be read.
        path: the file; None where there is none.
        pixels: of a picture that is stored without encoding, uint8 or uint16 (H, W) or (H, W, C).
    """

    content: bytes | None
    path: str | None
    pixels: np.ndarray | None = None


class EncodedPictures(ABC):
    """The pictures of a data source, numbered from 0, and what the source states about them.

    It is sent to the processes that decode, so it must survive pickling.

    Attributes:
        name: the name of the data, for messages and model cards.
        origin: where the pictures come from, as a phrase for messages: "the folder pets".
        description: which part of the data is used, as a phrase for messages; empty where there is no choice.
        split: the part of the data set that these pictures are; empty where it has no parts.
        splits: all parts of the data set.
        notes: what the source holds that is not used, and why: one sentence each.
        classes: of the pictures; None for pictures without, and for a source with its own `labels` and `class_names`.
    """

    name: str
    origin: str = ""
    description: str = ""
    split: str = ""
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    classes: ClassLabels | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, numbers: Sequence[int]) -> Sequence[EncodedPicture | None]:
        """Return the pictures of these numbers, in this order; None for one that is missing."""

    def where(self, number: int) -> str:
        """Return where a person finds the picture of this number, for messages."""
        return f"{self.name}, row {number}"

    def size_of_all(self) -> tuple[int, int, int] | None:
        """Return (channels, width, height) where all pictures have the same and nothing must be read to know it."""
        return None

    def labels(self) -> np.ndarray | None:
        """Return the class of every picture: (N,) int64, from 0; None for pictures without classes."""
        return self.classes.numbers if self.classes else None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes in the order of their numbers, or an empty tuple."""
        return self.classes.names if self.classes else ()

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """Return the files that were read, so that the cache notices when one changes. May raise OSError."""

    @abstractmethod
    def selection(self) -> tuple[object, ...]:
        """Return what tells these pictures apart from others of the same files; part of the key of the cache."""


class ChosenPictures(EncodedPictures):
    """Some pictures of another source.

    Args:
        pictures: the other source.
        numbers: of the chosen pictures, (N,) int64.
        notes: why the others were left out.
    """

    def __init__(self, pictures: EncodedPictures, numbers: np.ndarray, notes: Iterable[str] = ()) -> None:
        self.pictures, self.numbers = pictures, numbers
        self.name, self.origin, self.description = pictures.name, pictures.origin, pictures.description
        self.split, self.splits = pictures.split, pictures.splits
        self.notes = (*pictures.notes, *notes)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: Sequence[int]) -> Sequence[EncodedPicture | None]:
        return self.pictures.read([int(self.numbers[number]) for number in numbers])

    def where(self, number: int) -> str:
        return self.pictures.where(int(self.numbers[number]))

    def size_of_all(self) -> tuple[int, int, int] | None:
        return self.pictures.size_of_all()

    def labels(self) -> np.ndarray | None:
        labels = self.pictures.labels()
        return labels[self.numbers] if labels is not None else None

    def class_names(self) -> tuple[str, ...]:
        return self.pictures.class_names()

    def files(self) -> Iterable[Path]:
        return self.pictures.files()

    def selection(self) -> tuple[object, ...]:
        return (*self.pictures.selection(), hashlib.sha256(self.numbers.tobytes()).hexdigest())
