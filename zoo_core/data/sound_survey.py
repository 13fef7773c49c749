"""The survey of a data source of sounds: their rates, channels and lengths by their headers, and which are damaged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.sound_files import check_sound, open_sound
from zoo_core.errors import DataError

_AT_ONCE = 64  # sounds whose files are in memory at a time


class SoundHeader(NamedTuple):
    """What the beginning of a sound's file states: samples a second, channels, and samples in each of them."""

    rate: int | None
    channels: int
    frames: int

    def frames_at(self, rate: int | None) -> int:
        """Return how many samples it has at another rate."""
        if rate is None or self.rate is None:
            return self.frames
        return math.ceil(self.frames * rate / self.rate)


@dataclass(frozen=True)
class SoundSurvey:
    """What is known of all sounds before they are decoded.

    Attributes:
        headers: how many sounds have which header.
        damaged: the numbers of those that cannot be read, and why.
    """

    headers: Counter[SoundHeader]
    damaged: dict[int, str]

    @property
    def rate(self) -> int | None:
        """The rate of most of the sounds, the higher one of two; None if no sound states it."""
        rates = self._count("rate")
        return max(rates, key=lambda rate: (rates[rate], rate or 0), default=None)

    @property
    def channels(self) -> int:
        """2 if all of the sounds are stereo, else 1."""
        return 2 if set(self._count("channels")) == {2} else 1

    def longest(self, rate: int | None) -> int:
        """The number of samples of the longest sound at this rate."""
        return max(header.frames_at(rate) for header in self.headers)

    def notes(self) -> list[str]:
        """Say what differs among the sounds, and the default that follows: one sentence each."""
        notes = []
        rates, channels = self._count("rate"), self._count("channels")
        if len(rates) > 1:
            some = " and ".join(f"{rate:,} Hz ({rates[rate]:,})" for rate in sorted(rates)[:4])
            more = " and others" if len(rates) > 4 else ""
            notes.append(f"the sounds have rates of {some}{more}: the default is {self.rate:,} Hz, that of most")
        if len(channels) > 1:
            some = " and ".join(f"{channels[count]:,} with {count}" for count in sorted(channels))
            notes.append(f"the sounds have different numbers of channels, {some}: the default is 1, mono")
        return notes

    def _count(self, field: str) -> Counter[int]:
        counts = Counter[int]()
        for header, count in self.headers.items():
            counts[getattr(header, field)] += count
        return counts


def survey_sounds(sounds: EncodedPictures, array_rate: int | None, *, thorough: bool) -> SoundSurvey:
    """Look at all sounds of a source.

    Args:
        array_rate: the rate of sounds that are not encoded.
        thorough: decode them too, to find all damaged ones.
    """
    found = SoundSurvey(Counter(), {})
    for number, encoded in numbered(sounds, found.damaged):
        try:
            with open_sound(encoded, sounds.where(number), array_rate) as sound:
                if thorough:
                    check_sound(sound)
                found.headers[SoundHeader(sound.rate, sound.channels, sound.frames)] += 1
        except DataError as error:
            found.damaged[number] = str(error)
    return found


def numbered(sounds: EncodedPictures, damaged: dict[int, str]) -> Iterator[tuple[int, EncodedPicture | None]]:
    """Yield every sound with its number, a few in memory at a time; `damaged` gets what the source cannot give."""
    for start in range(0, len(sounds), _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, len(sounds)))
        try:
            yield from zip(numbers, sounds.read(numbers), strict=True)
        except DataError:
            for number in numbers:
                try:
                    (encoded,) = sounds.read([number])
                except DataError as error:
                    damaged[number] = str(error)
                else:
                    yield number, encoded
