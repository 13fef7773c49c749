"""Encoded sounds, opened and decoded: WAV here, all other formats by libsndfile, which the extra `audio` brings."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo_core.data.encoded_pictures import EncodedPicture
from zoo_core.data.sound_libraries import import_soundfile
from zoo_core.data.wave_files import is_wave, read_wave, read_wave_header
from zoo_core.errors import DataError, MissingExtraError, printable

RATES = (1_000, 768_000)  # samples a second: beyond these, a header is broken
_PIECE = 2**18  # samples of a channel that are decoded at a time: a header may state any number
_HINT = " (--skip-damaged leaves such out)"


@dataclass(frozen=True)
class OpenSound:
    """A sound that can be decoded.

    Attributes:
        rate: samples a second; None where nothing states it.
        channels: their number.
        frames: samples in each channel.
        read: given a start and a count, returns these samples, (count, channels) float32, or fewer where it ends.
    """

    rate: int | None
    channels: int
    frames: int
    read: Callable[[int, int], np.ndarray]


@contextmanager
def open_sound(encoded: EncodedPicture | None, where: str, array_rate: int | None = None) -> Iterator[OpenSound]:
    """Open a sound to read what its header states, and its samples.

    Args:
        encoded: as a data source gives it; one that is not encoded is (channels, length).
        where: it is, for messages.
        array_rate: the rate of sounds that are not encoded.

    Raises:
        DataError: for a sound that cannot be read, also inside the block.
        MissingExtraError: for a format that needs the extra `audio`.
    """
    where = printable(where, 200)
    if encoded is None:
        raise DataError(f"{where}: there is no sound")
    try:
        with _file_of(encoded) as file:
            yield _checked(_open(encoded, file, where, array_rate))
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # libsndfile's own errors and the system's
        raise DataError(f"{where}: the sound cannot be decoded: {_why(error)}{_HINT}") from error


def read_sound(sound: OpenSound, most: int | None = None) -> np.ndarray:
    """Decode a sound, or its first `most` samples: (channels, length) float32.

    Raises:
        ValueError: for one that ends before its header says so, or has values that are NaN or infinite.
    """
    pieces = list(_pieces(sound, sound.frames if most is None else min(most, sound.frames)))
    return np.ascontiguousarray(np.concatenate(pieces).T)


def check_sound(sound: OpenSound) -> None:
    """Decode a sound to its end, without keeping it. Raises as `read_sound`."""
    for _ in _pieces(sound, sound.frames):
        pass


def _pieces(sound: OpenSound, count: int) -> Iterator[np.ndarray]:
    done = 0
    while done < count:
        piece = sound.read(done, min(_PIECE, count - done))
        if not len(piece):
            raise ValueError(f"it ends after {done:,} of the {sound.frames:,} samples that its header states")
        if not np.isfinite(piece).all():
            raise ValueError("it has samples that are NaN or infinite")
        done += len(piece)
        yield piece


@contextmanager
def _file_of(encoded: EncodedPicture) -> Iterator[BinaryIO]:
    if encoded.content is None and encoded.path is not None:
        with Path(encoded.path).open("rb") as file:
            yield file
    else:
        yield io.BytesIO(encoded.content or b"")


def _open(encoded: EncodedPicture, file: BinaryIO, where: str, array_rate: int | None) -> OpenSound:
    if (array := encoded.pixels) is not None:
        return OpenSound(array_rate, len(array), array.shape[1], lambda start, n: array[:, start : start + n].T)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size == 0:
        raise ValueError("it is empty")
    if is_wave(file.read(12)):
        header = read_wave_header(file, size)
        if header is not None:
            return OpenSound(header.rate, header.channels, header.frames, partial(read_wave, file, header))
    file.seek(0)
    coded = import_soundfile(f"decoding {where}").SoundFile(file)
    return OpenSound(coded.samplerate, coded.channels, coded.frames, partial(_read_coded, coded))


def _read_coded(coded: Any, start: int, count: int) -> np.ndarray:
    """Read on: sounds are read from their beginning to their end."""
    samples: np.ndarray = coded.read(count, dtype="float32", always_2d=True)
    return samples


def _checked(sound: OpenSound) -> OpenSound:
    if sound.frames == 0:
        raise ValueError("it has no samples")
    if sound.rate is not None and not RATES[0] <= sound.rate <= RATES[1]:
        raise ValueError(f"its header states {sound.rate:,} samples a second; sounds have {RATES[0]:,} to {RATES[1]:,}")
    return sound


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = printable(getattr(error, "error_string", error), 120).removeprefix("Error : ").rstrip(".")
    if "not recognised" in text or "unimplemented format" in text:
        return "it is no sound, or in a format that is not read here"
    if "psf_fseek" in text:
        return "it ends before its header says so"
    return text[:1].lower() + text[1:] if text else type(error).__name__
