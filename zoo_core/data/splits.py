"""The splits of a data set: the names that folders and files give them, and the choice of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoo_core.errors import DataError, printable

TRAIN = "train"
_SPLITS = {  # the words of the Hub's data sets
    TRAIN: ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def split_of(name: str) -> str | None:
    """Return which split a folder of this name is; None where the name is not that of a split.

    Example:
        >>> split_of("Train"), split_of("val"), split_of("trains")
        ('train', 'validation', None)
    """
    return next((split for split, words in _SPLITS.items() if name.lower() in words), None)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of splits in the order that everybody gives them in.

    Example:
        >>> in_order(["test", "val", "train"])
        ('train', 'val', 'test')
    """
    order = list(_SPLITS)
    return tuple(sorted(names, key=lambda name: (order.index(split_of(name) or TRAIN), name)))


def choose_split(wanted: str, names: Sequence[str], origin: str) -> tuple[str, ...]:
    """Return those of the names that mean the wanted split: the one with just this name, or all of its kind.

    Args:
        wanted: a name that a user gave.
        names: of the folders or files that are splits.
        origin: what messages call the data set.

    Raises:
        DataError: where there is none.

    Example:
        >>> choose_split("validation", ["train", "val"], "the folder pets")
        ('val',)
    """
    if wanted in names:
        return (wanted,)
    kind = split_of(wanted)
    chosen = tuple(name for name in names if kind is not None and split_of(name) == kind)
    if not chosen:
        raise no_split(wanted, names, origin)
    return chosen


def no_split(wanted: str, names: Sequence[str], origin: str) -> DataError:
    """Return the error for a split that a data set does not have.

    Example:
        >>> print(no_split("test", ["train", "dev"], "the folder pets"))
        the folder pets has no split 'test'; its splits are train, dev
        >>> print(no_split("test", [], "pets.npz"))
        pets.npz has no split 'test': it is not divided into splits
    """
    has = f"; its splits are {', '.join(map(printable, names))}" if names else ": it is not divided into splits"
    return DataError(f"{origin} has no split {printable(wanted)!r}{has}")
