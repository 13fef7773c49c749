"""The survey of a data source: the kinds and sizes of all its pictures by their headers, and which are damaged."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from zoo_core.data.decoding import PictureDecoder, channels_of, open_picture, oriented_size
from zoo_core.data.decoding_workers import decode
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.errors import DataError

_AT_ONCE = 512  # pictures that a worker looks at between two messages


class Header(NamedTuple):
    """What the beginning of a picture's file states."""

    channels: int
    width: int
    height: int


@dataclass(frozen=True)
class Survey:
    """What is known of all pictures before they are decoded.

    Attributes:
        headers: how many pictures have which header.
        damaged: the numbers of those that cannot be read, and why.
    """

    headers: Counter[Header]
    damaged: dict[int, str]

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {"headers": [[*header, count] for header, count in self.headers.items()], "damaged": self.damaged}

    @classmethod
    def from_facts(cls, facts: Any) -> Survey | None:
        """Return the survey with these facts; None where they are not those of a survey."""
        try:
            headers = Counter({Header(*map(int, header)): int(count) for *header, count in facts["headers"]})
            return cls(headers, {int(number): str(why) for number, why in facts["damaged"].items()})
        except (TypeError, ValueError, LookupError, AttributeError):
            return None

    def joined(self, other: Survey) -> Survey:
        """Return what is known of these and other pictures of the same source."""
        return Survey(self.headers + other.headers, self.damaged | other.damaged)

    @property
    def channels(self) -> int:
        """Channels of most of the pictures; 3 where as many are grey as in colour."""
        counts = self.by_channels
        return 1 if counts[1] > counts[3] else 3

    @property
    def by_channels(self) -> Counter[int]:
        """How many pictures have 1 and 3 channels."""
        counts = Counter[int]()
        for header, count in self.headers.items():
            counts[header.channels] += count
        return counts

    @property
    def side(self) -> int:
        """The median of the shorter sides: at least half of the pictures are as large, and need no enlarging.

        A side that most of the pictures share is the median, too.
        """
        return self._median(lambda header: min(header.width, header.height))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width): the median of each. A size that most of the pictures share is the median, too."""
        return self._median(lambda header: header.height), self._median(lambda header: header.width)

    def _median(self, length: Callable[[Header], int]) -> int:
        counts = Counter[int]()
        for header, count in self.headers.items():
            counts[length(header)] += count
        left = self.headers.total() // 2
        for each, count in sorted(counts.items()):
            if left < count:
                return each
            left -= count
        raise ValueError("there is no picture")

    def notes(self) -> list[str]:
        """Say what differs among the pictures, and the default that follows: one sentence each."""
        notes, of = [], self.by_channels
        if of[1] and of[3]:
            default = "grey" if self.channels == 1 else "colour"
            notes.append(
                f"{of[3]:,} of {of.total():,} pictures {_are(of[3])} in colour and {of[1]:,} {_are(of[1])} grey: the "
                f"default is {default}"
            )
        sizes = sorted({(header.width, header.height) for header in self.headers}, key=lambda size: (min(size), size))
        if len(sizes) > 1:
            smallest, largest = (f"{width} x {height}" for width, height in (sizes[0], sizes[-1]))
            notes.append(
                f"the pictures are of {len(sizes):,} sizes, from {smallest} to {largest}: the default is "
                f"{self.side}, the median of their shorter sides"
            )
        return notes


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


class _Surveyor:
    """Looks at pictures; indexed with a list of their numbers, it returns what is known of these.

    Args:
        thorough: decode them too, as damage beyond the header shows only then.
    """

    def __init__(self, pictures: EncodedPictures, *, thorough: bool) -> None:
        self.pictures, self.name = pictures, pictures.name
        self._decoder = PictureDecoder(pictures, (3, 8, 8)) if thorough else None

    def __getitem__(self, chosen: Sequence[int]) -> Survey:
        found = Survey(Counter(), {})
        try:
            pictures = list(self.pictures.read(chosen))
        except DataError as error:  # of a source that cannot even give out one of them
            if len(chosen) > 1:
                return functools.reduce(Survey.joined, (self[[number]] for number in chosen))
            return Survey(Counter(), {chosen[0]: str(error)})
        for number, encoded in zip(chosen, pictures, strict=True):
            try:
                found.headers[self._look_at(number, encoded)] += 1
            except DataError as error:
                found.damaged[number] = str(error)
        return found

    def _look_at(self, number: int, encoded: EncodedPicture | None) -> Header:
        with open_picture(encoded, self.pictures.where(number)) as image:
            header = Header(channels_of(image), *oriented_size(image))
        if self._decoder is not None:
            _ = self._decoder[[number]]
        return header


def survey(pictures: EncodedPictures, workers: int, *, thorough: bool) -> Survey:
    """Look at all pictures of a source.

    Args:
        workers: how many processes do it; 0: this one.
        thorough: decode them too, to find all damaged ones.
    """
    alike = pictures.size_of_all()
    if alike is not None:
        return Survey(Counter({Header(*alike): len(pictures)}), {})
    order = (range(start, min(start + _AT_ONCE, len(pictures))) for start in range(0, len(pictures), _AT_ONCE))
    return functools.reduce(Survey.joined, decode(_Surveyor(pictures, thorough=thorough), order, workers))
