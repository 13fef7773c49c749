"""The structure of a folder or archive of samples: which files are used, and the splits and classes they belong to.

Only the names of folders decide, and nothing that stands in the name of a file:

- Where every top-level folder is called like a split (train, test, validation, …), these folders are the splits.
- The first-level folders, of a split or of the whole, are the classes, in the order of their names. Deeper folders
  belong to the class above them.
- One folder that holds everything is opened as if it had been named itself; so is one in every split.

Every file that is not used is counted in a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zoo_core.data.file_types import FileType
from zoo_core.data.picture_formats import PICTURES, suffix_of
from zoo_core.data.splits import TRAIN, choose_split, in_order, no_split, split_of
from zoo_core.errors import DataError, printable

_NAMED = 3  # files that a note names
# What systems and tools leave in folders; nobody means it to be data.
_LITTER = {
    "$recycle.bin", ".ds_store", ".git", ".gitattributes", ".gitignore", ".ipynb_checkpoints", ".localized",
    ".spotlight-v100", ".trashes", "@eadir", "__macosx", "desktop.ini", "ehthumbs.db", "thumbs.db",
}  # fmt: skip


@dataclass(frozen=True)
class Structure:
    """The pictures of one split.

    Attributes:
        files: their names, relative to the folder, with "/" between the parts; sorted.
        labels: the class of each, (N,) int64, or None.
        class_names: in the order of their numbers.
        split: their split; empty where the folder has no splits.
        splits: all splits of the folder.
        notes: what is not used, and why.
    """

    files: tuple[str, ...]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    split: str
    splits: tuple[str, ...]
    notes: tuple[str, ...]


class _Picture(NamedTuple):
    """A picture on its way through the structure: the folders above it that were not looked at yet, and its name."""

    folders: tuple[str, ...]
    file: str


_Splits = dict[str, list[_Picture]]  # the pictures of each split; {"": all} without splits


def structure_of(names: Iterable[str], split: str, origin: str, of: FileType = PICTURES) -> Structure:
    """Return the pictures of one split among the files of a folder.

    Args:
        names: of all files below the folder, relative to it, with "/" between the parts.
        split: which one is wanted; "train" also means the whole of a folder without splits.
        origin: what messages call the folder.
        of: which files hold the samples.

    Raises:
        DataError: where there is no picture that can be read, or no such split.

    Example:
        >>> found = structure_of(["cat/1.png", "dog/1.png", "dog/labels.txt"], "train", "the folder pets")
        >>> found.class_names, found.labels.tolist(), found.notes
        (('cat', 'dog'), [0, 1], ('1 file is no picture and is not used: 1 .txt',))
    """
    pictures, notes = _pictures_among(names, of)
    by_split, outside = _divide(pictures)
    readable = of.is_readable
    notes += _left_out(
        [one for one in outside if readable(one.file)], "beside the folders of the splits, and in none of them", of
    )
    splits = in_order(name for name in by_split if name)
    if not splits and split_of(split) != TRAIN:
        raise no_split(split, (), origin)
    chosen = choose_split(split, splits, origin) if splits else ("",)
    by_split = {name: [one for one in of_it if readable(one.file)] for name, of_it in by_split.items()}
    classes, by_split = _find_classes(by_split, chosen)
    mine = [picture for name in chosen for picture in by_split[name]]
    if not any(picture.folders for picture in mine):
        classes = []  # a test split without them, say
    if classes:
        notes += _left_out(
            [one for one in mine if not one.folders], "beside the folders of the classes, and in none", of
        )
        mine = [picture for picture in mine if picture.folders]
    if not mine:
        raise DataError("; ".join([f"{origin} has no {of.several} that can be read", *notes]))
    mine.sort(key=lambda picture: picture.file)
    number_of = {name: number for number, name in enumerate(classes)}
    return Structure(
        files=tuple(picture.file for picture in mine),
        labels=np.array([number_of[picture.folders[0]] for picture in mine], np.int64) if classes else None,
        class_names=tuple(map(readable_name, classes)),
        split=", ".join(chosen),
        splits=splits,
        notes=tuple(notes),
    )


def readable_name(name: str) -> str:
    """Return the name of a folder as text: a name that is not in UTF-8, as of an old archive, is read as Latin-1.

    Example:
        >>> readable_name("caf\\udce9")
        'café'
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name


def _pictures_among(names: Iterable[str], of: FileType) -> tuple[list[_Picture], list[str]]:
    """Return the pictures, readable or not, and notes about all other files."""
    pictures: list[_Picture] = []
    others, unreadable, hidden = Counter[str](), Counter[str](), 0
    for name in names:
        parts = name.split("/")
        if any(part.lower() in _LITTER or part.startswith("._") for part in parts):
            continue
        if any(part.startswith(".") for part in parts):
            hidden += 1
        elif of.is_one(name):
            pictures.append(_Picture(tuple(parts[:-1]), name))
            if not of.is_readable(name):
                unreadable[suffix_of(name)] += 1
        else:
            others[suffix_of(name) or "without a suffix"] += 1
    notes = []
    if unreadable:
        how = ", ".join(f"{count:,} {suffix} ({of.remedy(suffix)})" for suffix, count in sorted(unreadable.items()))
        notes.append(f"{of.count(unreadable.total())} in a format that is not read here, left out: {how}")
    if others:
        what = ", ".join(f"{count:,} {printable(suffix, 20)}" for suffix, count in others.most_common())
        one = others.total() == 1
        notes.append(
            f"{_files(others.total())} {f'is no {of.one} and is' if one else f'are no {of.several} and are'} not used: "
            f"{what}"
        )
    if hidden:
        notes.append(f"{_files(hidden, 'hidden file')} {'is' if hidden == 1 else 'are'} not used")
    return pictures, notes


def _divide(pictures: Sequence[_Picture]) -> tuple[_Splits, list[_Picture]]:
    """Return the pictures by split, and those that lie outside of all splits."""
    pictures = _opened({"": list(pictures)}, kept=split_of)[""]
    tops = sorted({picture.folders[0] for picture in pictures if picture.folders})
    if not tops or not all(map(split_of, tops)):
        return {"": list(pictures)}, []
    by_split: _Splits = {name: [] for name in tops}
    for picture in pictures:
        if picture.folders:
            by_split[picture.folders[0]].append(_Picture(picture.folders[1:], picture.file))
    return by_split, [picture for picture in pictures if not picture.folders]


def _find_classes(by_split: _Splits, chosen: Sequence[str]) -> tuple[list[str], _Splits]:
    """Return the folders that are classes, and the pictures below what holds them.

    The classes of the training split come first, so that a class has the same number in every split, and training has
    no class without pictures.
    """
    by_split = _opened(by_split)
    of_split = {name: {one.folders[0] for one in of_it if one.folders} for name, of_it in by_split.items()}
    trained = set().union(*(of_split[name] for name in of_split if split_of(name) == TRAIN))
    classes = [*sorted(trained), *sorted(set().union(*(of_split[name] for name in chosen)) - trained)]
    return (classes if len(classes) > 1 else []), by_split


def _opened(by_split: _Splits, kept: Callable[[str], object] = lambda folder: False) -> _Splits:
    """Open a folder that holds everything, as most archives have one, and one in that folder; never one of `kept`."""
    while True:
        tops = {picture.folders[:1] for pictures in by_split.values() for picture in pictures}
        if len(tops) != 1 or () in tops or any(kept(folder) for (folder,) in tops):
            return by_split
        by_split = {
            name: [_Picture(one.folders[1:], one.file) for one in pictures] for name, pictures in by_split.items()
        }


def _left_out(pictures: Sequence[_Picture], place: str, of: FileType) -> list[str]:
    """Return the note about pictures that lie where none belongs; none about no pictures."""
    if not pictures:
        return []
    some = ", ".join(printable(picture.file, 60) for picture in pictures[:_NAMED])
    more = ", …" if len(pictures) > _NAMED else ""
    lie = "lies" if len(pictures) == 1 else "lie"
    return [f"{of.count(len(pictures))} left out: {some}{more} {lie} {place}"]


def _files(count: int, noun: str = "file") -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
