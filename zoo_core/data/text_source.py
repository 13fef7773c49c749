"""Texts on their way to samples: one alphabet and one length for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo_core.data.alphabet import alphabet_of, encoded
from zoo_core.data.class_labels import UNKNOWN, ClassLabels
from zoo_core.data.given_values import given_number
from zoo_core.data.pixel_arrays import check_room
from zoo_core.data.selection import empty_classes, summary
from zoo_core.data.source import DataSource
from zoo_core.data.text_formats import TEXTS
from zoo_core.data.training_data import TrainingData, count_classes
from zoo_core.errors import DataError, printable, unseen
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory
from zoo_core.runtime.processes import Processes

LONGEST = 1024  # characters that a text has, with its end, unless a length is given
_MOST_CHARACTERS = 2**20


@dataclass(frozen=True)
class Texts:
    """The texts of a data source, and what it states about them.

    Attributes:
        texts: without blank ones.
        name: of the data.
        origin: where they are from, as a phrase for messages.
        where: returns the place of a text, by its number.
        classes: of the texts, or None.
        split, splits: which part of the data they are, and all parts; empty without.
        notes: what is left out, and why.
    """

    texts: Sequence[str]
    name: str
    origin: str
    where: Callable[[int], str]
    classes: ClassLabels | None = None
    split: str = ""
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def labels(self) -> np.ndarray | None:
        """Return the class of every text, (N,) int64, or None."""
        return self.classes.numbers if self.classes else None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes in the order of their numbers."""
        return self.classes.names if self.classes else ()

    def chosen(self, numbers: Sequence[int], note: str) -> Texts:
        """Return some of these texts, and the note that says why."""
        where, classes = self.where, self.classes
        return Texts(
            [self.texts[number] for number in numbers],
            self.name,
            self.origin,
            lambda number: where(numbers[number]),
            ClassLabels(classes.numbers[list(numbers)], classes.names) if classes else None,
            self.split,
            self.splits,
            (*self.notes, note),
        )


class TextSource(DataSource):
    """Texts that are not yet codes.

    Args:
        texts: as they were read.
        values: what is given of alphabet and length; the data decides what is left open.
        trained: returns the alphabet of the training split, where these texts are of another; else None.

    Raises:
        DataError: for values that no text can have, or if nothing is left.
    """

    def __init__(
        self, texts: Texts, values: Mapping[str, Any] | None = None, trained: Callable[[], str] | None = None
    ) -> None:
        given = values or {}
        self._texts = texts = _with_known_class(_without_blank(texts))
        self._alphabet = _given_alphabet(given) or (trained() if trained else alphabet_of(texts.texts))
        longest = max(map(len, texts.texts)) + 1
        length = given_number(given, "length", 1, _MOST_CHARACTERS) or min(longest, LONGEST)
        self.name, self.sample_shape = texts.name, (length,)
        labels = texts.labels()
        self._labels = torch.from_numpy(labels) if labels is not None else None
        self.num_classes = count_classes(self._labels, texts.class_names())
        self.values = self._values_of(length)
        self.notes = (
            summary(texts, TEXTS),
            *empty_classes(texts, TEXTS),
            *texts.notes,
            f"the longest text has {longest - 1:,} characters; the alphabet has {len(self._alphabet):,}: "
            f"{_shown(self._alphabet)}",
        )
        if longest > LONGEST and given.get("length") is None:
            self.notes += (f"the default length is {LONGEST:,}, and longer texts are cut",)

    def __len__(self) -> int:
        return len(self._texts)

    def plan(self, sample_shape: tuple[int, ...]) -> str:
        needed = readable_size(8 * len(self) * _as_length(sample_shape, self.name))
        return (
            f"{TEXTS.count(len(self))} of {sample_shape[0]:,} codes take {needed} of memory; "
            f"{readable_size(available_memory())} are available"
        )

    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        """Return the codes of all texts, int64 (N, length): 0 is the end, and what follows it. Longer texts are cut."""
        length = _as_length(sample_shape, self.name)
        texts = self._texts.texts
        check_room(8 * len(texts) * length, self._texts.origin)
        cut = sum(len(text) > length for text in texts)
        notes = [f"{TEXTS.count(len(texts))} of {length:,} codes; the alphabet has {len(self._alphabet):,} characters"]
        if cut:
            notes.append(
                f"{cut:,} of them {'is' if cut == 1 else 'are'} longer and {'was' if cut == 1 else 'were'} cut"
            )
        return TrainingData.from_tensors(
            encoded(texts, self._alphabet, length, self._texts.where),
            self._labels,
            name=self.name,
            notes=notes,
            class_names=self._texts.class_names(),
            values=self._values_of(length),
        )

    @property
    def alphabet(self) -> str:
        """The characters that have codes, in the order of these."""
        return self._alphabet

    def _values_of(self, length: int) -> dict[str, Any]:
        return {"alphabet": self._alphabet, "length": length}


def _without_blank(texts: Texts) -> Texts:
    kept = [number for number, text in enumerate(texts.texts) if text.strip()]
    blank = len(texts) - len(kept)
    if not kept:
        raise DataError("; ".join([f"{texts.origin} has no texts", *texts.notes]))
    if not blank:
        return texts
    return texts.chosen(kept, f"{blank:,} blank {'text is' if blank == 1 else 'texts are'} left out")


def _with_known_class(texts: Texts) -> Texts:
    labels = texts.labels()
    if labels is None or not (unknown := int((labels == UNKNOWN).sum())):
        return texts
    has, is_left = ("has", "is") if unknown == 1 else ("have", "are")
    note = f"{unknown:,} of {len(labels):,} texts {has} no class, and {is_left} left out"
    return texts.chosen(np.flatnonzero(labels != UNKNOWN).tolist(), note)


def _given_alphabet(values: Mapping[str, Any]) -> str:
    alphabet = values.get("alphabet") or ""
    if not isinstance(alphabet, str):
        raise DataError(f"alphabet is {printable(repr(alphabet), 60)}; it must be a text of all characters")
    if len(set(alphabet)) < len(alphabet):
        twice = next(char for char in alphabet if alphabet.count(char) > 1)
        raise DataError(f"alphabet has {printable(twice)!r} (U+{ord(twice):04X}) twice; a character has one code")
    return alphabet


def _shown(alphabet: str) -> str:
    """Return an alphabet as a person can read it: what cannot be seen stands as its code point."""
    shown = [f"U+{ord(char):04X}" if char.isspace() or unseen(char) else char for char in alphabet[:60]]
    together = "".join(shown) if all(len(char) == 1 for char in shown) else " ".join(shown)
    return together + ("…" if len(alphabet) > 60 else "")


def _as_length(sample_shape: tuple[int, ...], name: str) -> int:
    if len(sample_shape) != 1:
        raise DataError(f"{printable(name, 80)} has texts, (length,), but the model makes {tuple(sample_shape)}")
    return sample_shape[0]
