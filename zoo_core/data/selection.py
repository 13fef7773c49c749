"""Which samples of a data source are used, and what is said about them: the same for every kind of files."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from zoo_core.data.class_labels import UNKNOWN
from zoo_core.data.encoded_pictures import ChosenPictures, EncodedPictures
from zoo_core.data.file_types import FileType
from zoo_core.errors import DataError, printable


class Described(Protocol):
    """What the summary of a data source is made of."""

    @property
    def origin(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def splits(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def labels(self) -> np.ndarray | None: ...

    def class_names(self) -> tuple[str, ...]: ...


_NAMED = 3  # damaged samples that a note names
_CLASSES_NAMED = 8


def with_known_class(samples: EncodedPictures, of: FileType) -> EncodedPictures:
    """Leave out what has no class where other samples have one."""
    labels = samples.labels()
    if labels is None or not (unknown := labels == UNKNOWN).any():
        return samples
    count = int(unknown.sum())
    has, is_left = ("has", "is") if count == 1 else ("have", "are")
    note = f"{count:,} of {len(labels):,} {of.several} {has} no class, and {is_left} left out"
    return ChosenPictures(samples, np.flatnonzero(~unknown), [note])


def without_damaged(samples: EncodedPictures, damaged: dict[int, str], of: FileType, *, skip: bool) -> EncodedPictures:
    """Leave out what cannot be read, if the user asked for it.

    Args:
        damaged: why, by the number of the sample.

    Raises:
        DataError: where the user did not, or nothing remains.
    """
    if not damaged:
        return samples
    if not skip or len(damaged) == len(samples):
        others = f"; {len(damaged) - 1:,} more cannot be read either" if len(damaged) > 1 else ""
        raise DataError(f"{damaged[min(damaged)]}{others}")
    some = ", ".join(printable(samples.where(number), 80) for number in sorted(damaged)[:_NAMED])
    more = ", …" if len(damaged) > _NAMED else ""
    are = "is" if len(damaged) == 1 else "are"
    note = f"{len(damaged):,} of {len(samples):,} {of.several} {are} damaged and left out: {some}{more}"
    return ChosenPictures(samples, np.setdiff1d(np.arange(len(samples)), list(damaged)), [note])


def summary(samples: Described, of: FileType) -> str:
    """Say in a line what a person would count."""
    labels, names = samples.labels(), samples.class_names()
    classes = "without classes"
    if labels is not None:
        count = max(len(names), int(labels.max()) + 1)
        some = ", ".join(printable(name, 40) for name in names[:_CLASSES_NAMED]) or f"0 to {count - 1}"
        more = ", …" if len(names) > _CLASSES_NAMED else ""
        classes = f"in {count:,} {'class' if count == 1 else 'classes'} ({some}{more})"
    split = f"; split {printable(samples.split)} of {', '.join(samples.splits)}" if samples.splits else ""
    return f"{of.count(len(samples))} {classes} from {samples.origin}{split}"


def empty_classes(samples: Described, of: FileType) -> list[str]:
    """Say which classes have a name in the data, and no sample."""
    labels, names = samples.labels(), samples.class_names()
    if labels is None or not (empty := sorted(set(range(len(names))) - set(labels.tolist()))):
        return []
    some = ", ".join(printable(names[number], 40) for number in empty[:_CLASSES_NAMED])
    more = ", …" if len(empty) > _CLASSES_NAMED else ""
    return [
        f"{len(empty):,} of the {len(names):,} classes {'has' if len(empty) == 1 else 'have'} no {of.one}: {some}{more}"
    ]
