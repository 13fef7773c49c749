"""Sounds in an array: in .npz, as `zoo sample -o x.npz` writes it, and .npy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zoo_core.data.class_labels import number_classes
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.numpy_files import ChosenArray, choose_array, load_npz
from zoo_core.errors import DataError, printable

SAMPLE_RATE = "sample_rate"  # the array in an .npz that states it, a single number
_MOST_CHANNELS = 32  # an array with more is none of sounds


class SoundArray(EncodedPictures):
    """Sounds in an array: (N, channels, length), or (N, length) with one channel.

    Args:
        path: of the file.
        chosen: its array.

    Attributes:
        rate: samples a second; None if the file does not state it.

    Raises:
        DataError: for values that are no samples of sounds, or another number of labels.
    """

    def __init__(self, path: Path, chosen: ChosenArray) -> None:
        self.name, self.origin = path.stem, printable(path, 200)
        self.split, self.splits, self.notes = chosen.split, chosen.splits, chosen.notes
        self._path, self._part = path.resolve(), chosen.part
        self._samples = _in_range(chosen.load(), self.origin)
        self.rate = _stated_rate(path) if chosen.part else None
        if chosen.labels is not None:
            earlier = chosen.before.reshape(-1).tolist() if chosen.before is not None else ()
            self.classes = number_classes(chosen.labels.reshape(-1).tolist(), before=earlier)

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [EncodedPicture(None, None, self._converted(self._samples[number])) for number in numbers]

    def files(self) -> Iterable[Path]:
        return [self._path]

    def selection(self) -> tuple[object, ...]:
        return self.split, len(self), self._part

    def _converted(self, sound: np.ndarray) -> np.ndarray:
        if sound.dtype.kind == "i":
            sound = sound / np.float32(-float(np.iinfo(sound.dtype).min))
        return np.atleast_2d(sound.astype(np.float32, copy=False))


def open_sound_array(path: Path, split: str) -> SoundArray:
    """Open the sounds in a .npy or .npz file.

    Raises:
        DataError: as `numpy_files.choose_array`, and as SoundArray.
    """
    what = "of sounds, (N, channels, length) or (N, length),"
    chosen = choose_array(path, split, _may_be_sounds, what)
    if not _may_be_sounds(chosen.shape):
        raise DataError(f"{printable(path, 200)} has an array of shape {chosen.shape}; it must be one {what[:-1]}")
    return SoundArray(path, chosen)


def _may_be_sounds(shape: tuple[int, ...]) -> bool:
    if 0 in shape or len(shape) not in (2, 3) or shape[-1] == 1:
        return False
    return len(shape) == 2 or shape[1] <= _MOST_CHANNELS


def _in_range(samples: np.ndarray, origin: str) -> np.ndarray:
    """Return samples whose values can be those of sounds: floating from -1 to 1, or whole numbers of 16 or 32 bits."""
    if samples.dtype.name in ("int16", "int32"):
        return samples
    if samples.dtype.kind != "f":
        raise DataError(
            f"{origin} has an array of {samples.dtype}; sounds are floating values in [-1, 1], or int16 or int32"
        )
    farthest = float(np.nanmax(np.abs(samples), initial=0))  # NaN is found where the sound is read, and named
    if farthest > 1:
        raise DataError(f"{origin} has values up to {farthest:.6g}; floating samples of sounds are in [-1, 1]")
    return samples


def _stated_rate(path: Path) -> int | None:
    try:
        stated = load_npz(path, SAMPLE_RATE)
    except DataError:  # there is none
        return None
    if stated.size != 1 or stated.dtype.kind not in "iuf" or not float(stated.reshape(-1)[0]).is_integer():
        raise DataError(f"{printable(path, 200)}: {SAMPLE_RATE} must be one whole number")
    return int(stated.reshape(-1)[0])
