"""Sounds on their way to samples: one rate, one number of channels and one length for all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo_core.data.encoded_pictures import EncodedPictures
from zoo_core.data.given_values import given_number
from zoo_core.data.opening import open_encoded
from zoo_core.data.pixel_arrays import check_room
from zoo_core.data.selection import empty_classes, summary, with_known_class, without_damaged
from zoo_core.data.sound_arrays import open_sound_array
from zoo_core.data.sound_files import RATES, open_sound, read_sound
from zoo_core.data.sound_formats import SOUNDS
from zoo_core.data.sound_libraries import import_soxr
from zoo_core.data.sound_survey import SoundHeader, numbered, survey_sounds
from zoo_core.data.source import DataSource
from zoo_core.data.splits import TRAIN
from zoo_core.data.training_data import TrainingData, count_classes
from zoo_core.errors import DataError, printable
from zoo_core.files.paths import user_path
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory
from zoo_core.runtime.processes import Processes

LONGEST = 2**16  # samples that a sound has unless a length is given: 1.5 s of a CD, 4 s of a telephone
_MOST_CHANNELS = 64
_MOST_SAMPLES = 2**28


class SoundSource(DataSource):
    """Sounds that have not been decoded yet.

    Args:
        sounds: of the data source.
        values: what is given of sample_rate, channels and length; the data decides what is left open.
        array_rate: the rate of sounds that are not encoded; None if nothing states it.
        skip_damaged: leave sounds out that cannot be decoded; without it they are an error.

    Attributes:
        rate: samples a second; None if neither the data nor a value states it.

    Raises:
        DataError: for a sound whose header cannot be read, with its place, or a value that no sound can have.
    """

    def __init__(
        self,
        sounds: EncodedPictures,
        values: Mapping[str, Any] | None = None,
        *,
        array_rate: int | None = None,
        skip_damaged: bool = False,
    ) -> None:
        given, sounds = values or {}, with_known_class(sounds, SOUNDS)
        found = survey_sounds(sounds, array_rate, thorough=skip_damaged)
        self._sounds = without_damaged(sounds, found.damaged, SOUNDS, skip=skip_damaged)
        self._array_rate = array_rate
        self.rate = given_number(given, "sample_rate", *RATES) or found.rate
        channels = given_number(given, "channels", 1, _MOST_CHANNELS) or found.channels
        longest = found.longest(self.rate)
        length = given_number(given, "length", 1, _MOST_SAMPLES) or min(longest, LONGEST)
        self.name, self.sample_shape = sounds.name, (channels, length)
        labels = self._sounds.labels()
        self._labels = torch.from_numpy(labels) if labels is not None else None
        self.num_classes = count_classes(self._labels, self._sounds.class_names())
        self.values = self._values_of(self.sample_shape)
        self.notes = (
            summary(self._sounds, SOUNDS),
            *empty_classes(self._sounds, SOUNDS),
            *self._sounds.notes,
            *found.notes(),
        )
        if longest > LONGEST and "length" not in given:
            self.notes += (
                f"the longest sound has {longest:,} samples: the default is {LONGEST:,}, and the rest is cut off",
            )
        if self.rate is None:
            self.notes += (f"{sounds.origin} states no sample_rate: the model's own is taken for it",)

    def __len__(self) -> int:
        return len(self._sounds)

    def plan(self, sample_shape: tuple[int, ...]) -> str:
        channels, length = _as_sound(sample_shape, self.name)
        needed = readable_size(4 * len(self) * channels * length)
        description = getattr(self._sounds, "description", "")
        part = f" ({description})" if description else ""
        return (
            f"{SOUNDS.count(len(self))} of {channels} x {length:,} samples{part} take {needed} of memory; "
            f"{readable_size(available_memory())} are available"
        )

    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        """Decode all sounds to float32 (N, channels, length) in [-1, 1].

        Shorter ones get zeros at the end, and of longer ones the beginning is taken. Every process decodes them for
        itself.
        """
        channels, length = _as_sound(sample_shape, self.name)
        check_room(4 * len(self) * channels * length, self._sounds.origin)
        samples = np.zeros((len(self), channels, length), np.float32)
        changes, damaged = Counter[str](), dict[int, str]()
        for number, encoded in numbered(self._sounds, damaged):
            where = self._sounds.where(number)
            try:
                with open_sound(encoded, where, self._array_rate) as sound:
                    header = SoundHeader(sound.rate, sound.channels, sound.frames)
                    taken = read_sound(sound, _frames_for(length, header, self.rate))
            except DataError as error:
                damaged[number] = str(error)
                continue
            taken = self._converted(taken, header, channels, printable(where, 200), changes)[:, :length]
            samples[number, :, : taken.shape[1]] = taken
            changes["padded"] += header.frames_at(self.rate) < length
            changes["cut"] += header.frames_at(self.rate) > length
        without_damaged(self._sounds, damaged, SOUNDS, skip=False)
        return TrainingData.from_tensors(
            samples,
            self._labels,
            name=self.name,
            notes=self._what_was_done(channels, length, changes),
            class_names=self._sounds.class_names(),
            values=self._values_of((channels, length)),
        )

    def _converted(
        self, sound: np.ndarray, header: SoundHeader, channels: int, where: str, changes: Counter[str]
    ) -> np.ndarray:
        """Return a sound (channels, length) with the wanted channels and rate, and count what was done to it."""
        if np.abs(sound).max() > 1:
            changes["clipped"] += 1
        if header.channels != channels:
            if 1 not in (header.channels, channels):
                raise DataError(f"{where}: it has {header.channels} channels, which cannot be made {channels}")
            sound = sound.mean(0, keepdims=True) if channels == 1 else sound.repeat(channels, 0)
            changes["mixed"] += 1
        if None not in (header.rate, self.rate) and header.rate != self.rate:
            assert header.rate is not None
            assert self.rate is not None
            sound = resampled(sound, header.rate, self.rate)
            changes["resampled"] += 1
        return sound.clip(-1, 1)

    def _values_of(self, sample_shape: tuple[int, int]) -> dict[str, int]:
        rate = {} if self.rate is None else {"sample_rate": self.rate}
        return rate | {"channels": sample_shape[0], "length": sample_shape[1]}

    def _what_was_done(self, channels: int, length: int, changes: Counter[str]) -> list[str]:
        at = f" at {self.rate:,} Hz" if self.rate is not None else ""
        seconds = f" ({length / self.rate:.3g} s)" if self.rate is not None else ""
        kind = {1: "mono", 2: "stereo"}.get(channels, f"{channels}-channel")
        texts = {
            "resampled": f"resampled to {self.rate or 0:,} Hz",
            "mixed": f"made {kind}",
            "padded": "padded with zeros at the end",
            "cut": "cut: their beginning is used",
            "clipped": "beyond full scale and clipped to [-1, 1]",
        }
        return [f"{len(self):,} {kind} sounds of {length:,} samples{seconds}{at}"] + [
            f"{changes[what]:,} of them {'was' if changes[what] == 1 else 'were'} {text}"
            for what, text in texts.items()
            if changes[what]
        ]


def open_sounds(
    source: str | Path,
    *,
    values: Mapping[str, Any] | None = None,
    split: str = TRAIN,
    column: str | None = None,
    label_column: str | None = None,
    skip_damaged: bool = False,
) -> SoundSource:
    """Open the sounds in a folder or file, or in a data set on the Hub.

    Args:
        source: a path, or the id of a data set on the Hub. A path is taken literally.
        values: of the model's configuration: sample_rate, channels and length are used where they are given.
        split: part of the data set; "train" is also the whole of one that has no parts.
        column: of the sounds, by default "audio", "sound" or "speech".
        label_column: of the classes, by default "label", "labels" or "fine_label", where there is one.
        skip_damaged: leave out sounds that cannot be decoded, instead of refusing them.

    Raises:
        DataError: where nothing is there, or the split or a column is missing, or a sound is damaged.
        MissingExtraError: where soundfile is not installed, which all formats but WAV need.
    """
    path = user_path(source)
    if path.suffix.lower() in (".npz", ".npy") and path.is_file():
        if column or label_column:
            raise DataError(f"{printable(path, 200)} has no columns")
        array = open_sound_array(path, split)
        return SoundSource(array, values, array_rate=array.rate, skip_damaged=skip_damaged)
    sounds = open_encoded(source, SOUNDS, split, column, label_column)
    return SoundSource(sounds, values, skip_damaged=skip_damaged)


def resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Return a sound (channels, length) at another rate, band-limited, by libsoxr.

    Raises:
        MissingExtraError: where soxr is not installed.
    """
    soxr = import_soxr(f"resampling from {rate:,} to {wanted:,} Hz")
    converted: np.ndarray = soxr.resample(sound.T, rate, wanted, quality="HQ")
    return converted.T


def _frames_for(length: int, header: SoundHeader, rate: int | None) -> int:
    """Return how many samples of a sound are needed for so many at the wanted rate."""
    if rate is None or header.rate is None or header.rate == rate:
        return length
    return math.ceil(length * header.rate / rate) + header.rate // 10  # the filter looks ahead


def _as_sound(sample_shape: tuple[int, ...], name: str) -> tuple[int, int]:
    if len(sample_shape) != 2:
        raise DataError(
            f"{printable(name, 80)} has sounds, (channels, length), but the model makes {tuple(sample_shape)}"
        )
    return sample_shape[0], sample_shape[1]
