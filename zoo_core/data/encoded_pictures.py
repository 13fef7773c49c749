"""Encoded pictures: the interface of every kind of data source, whose pictures are decoded later.

To add a kind of source, derive from EncodedPictures in a module of its own and let `opening` choose it. Decoding, the
cache and the fingerprint know no more of a source than this interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class EncodedPicture(NamedTuple):
    """One picture as it is stored.

    Attributes:
        content: the bytes of its file, or None where the file at `path` is to be read.
        path: the file, which error messages name; None where there is only `content`.
    """

    content: bytes | None
    path: str | None


class EncodedPictures(ABC):
    """The pictures of a data source, numbered from 0, and what the source states about them.

    It is sent to the processes that decode, so it must survive pickling.

    Attributes:
        name: the name of the data, for messages and model cards.
        description: which part of the data is used, as a phrase for messages; empty where there is no choice.
    """

    name: str
    description: str = ""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, numbers: Sequence[int]) -> Sequence[EncodedPicture | None]:
        """Return the pictures of these numbers, in this order; None for one that is missing."""

    def labels(self) -> np.ndarray | None:
        """Return the class of every picture: (N,) int64, from 0; None for pictures without classes."""
        return None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes in the order of their numbers, or an empty tuple."""
        return ()

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """Return the files that were read, so that the cache notices when one changes. May raise OSError."""

    @abstractmethod
    def selection(self) -> tuple[object, ...]:
        """Return what tells these pictures apart from others of the same files; part of the key of the cache."""
