"""Recordings: sounds in .wav and .flac files of 16 bits, one after the other or each in a file of its own."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo_core.data.sound_libraries import import_soundfile
from zoo_core.errors import OutputError, printable
from zoo_core.files.atomic import atomic_file, atomic_folder

if TYPE_CHECKING:
    import numpy as np

SILENCE = 4  # between two sounds of one file: this part of a second
_FULL_SCALE = 32768  # of 16 bits; 1.0 itself is one step above the largest value
_WAV_BYTES = 2**32 - 1 - 36  # of samples: the header counts them, and its own 36 bytes, in 32 bits
_FLAC_SAMPLES = 2**36 - 1
_FLAC_RATE, _FLAC_CHANNELS = 655_350, 8
_Put = Callable[["np.ndarray"], None]  # takes (length, channels) int16


def write_wav(sounds: Iterable[np.ndarray], rate: int, channels: int, path: Path) -> None:
    """Write sounds, (N, channels, length) in [-1, 1] each batch, one after the other, in a .wav."""
    with atomic_file(path) as file, _wav(file, rate, channels) as put:
        _put_all(sounds, rate, put)


def write_flac(sounds: Iterable[np.ndarray], rate: int, channels: int, path: Path) -> None:
    """Write sounds, (N, channels, length) in [-1, 1] each batch, one after the other, in a .flac.

    Raises:
        MissingExtraError: where soundfile is not installed.
    """
    soundfile = import_soundfile("writing .flac")
    with atomic_file(path) as file, _flac(soundfile, file, rate, channels) as put:
        _put_all(sounds, rate, put)


def write_wav_folder(
    sounds: Iterable[np.ndarray], rate: int, channels: int, path: Path, *, names: Iterable[str]
) -> None:
    """Write each sound in a .wav of its own, in a new folder.

    Args:
        names: of the files.
    """
    names = iter(names)
    with atomic_folder(path, durable=False) as temporary:
        for batch in sounds:
            for sound in to_pcm(batch):
                with (temporary / f"{next(names)}.wav").open("wb") as file, _wav(file, rate, channels) as put:
                    put(sound)
        if path.exists():
            path.rmdir()  # which refuses a folder that was filled meanwhile


def to_pcm(sounds: np.ndarray) -> np.ndarray:
    """Convert (N, channels, length) in [-1, 1] to 16 bits, (N, length, channels) int16, rounded to the nearest.

    A sound that was read from 16 bits comes back unchanged.

    Example:
        >>> import numpy as np
        >>> to_pcm(np.array([[[-1.0, 0.0, 0.5, 1.0]]])).ravel().tolist()
        [-32768, 0, 16384, 32767]
    """
    import numpy as np

    scaled = np.rint(sounds.astype(np.float64) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    return np.ascontiguousarray(scaled.astype("<i2").transpose(0, 2, 1))


def problem_with_recording(suffix: str, n: int, channels: int, length: int, rate: int | None) -> str | None:
    """Return why so many sounds cannot be one recording, as the end of a sentence; None if they can.

    Args:
        suffix: .wav or .flac.
        rate: samples a second; None if it is not known yet.

    Example:
        >>> problem_with_recording(".wav", 64, 1, 8192, 16000) is None
        True
        >>> problem_with_recording(".wav", 300_000, 1, 8192, 16000)
        '300,000 sounds of 8,192 samples take 7.3 GB, and a .wav holds 4.3 GB at most'
    """
    from zoo_core.files.sizes import readable_size

    samples = n * length + (n - 1) * _silence(rate or 0)
    if suffix == ".wav":
        size = 2 * channels * samples
        if size > _WAV_BYTES:
            return (
                f"{n:,} sounds of {length:,} samples take {readable_size(size)}, and a .wav holds "
                f"{readable_size(_WAV_BYTES)} at most"
            )
        return None
    if channels > _FLAC_CHANNELS:
        return f"a .flac has {_FLAC_CHANNELS} channels at most, not {channels}"
    if rate is not None and rate > _FLAC_RATE:
        return f"a .flac has {_FLAC_RATE:,} samples a second at most, not {rate:,}"
    return f"{n:,} sounds of {length:,} samples are too many for a .flac" if samples > _FLAC_SAMPLES else None


def _silence(rate: int) -> int:
    return rate // SILENCE


def _put_all(sounds: Iterable[np.ndarray], rate: int, put: _Put) -> None:
    import numpy as np

    first = True
    for batch in sounds:
        for sound in to_pcm(batch):
            if not first:
                put(np.zeros((_silence(rate), sound.shape[1]), "<i2"))
            put(sound)
            first = False


@contextmanager
def _wav(file: BinaryIO, rate: int, channels: int) -> Iterator[_Put]:
    with wave.open(file, "wb") as recording:
        recording.setnchannels(channels)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        yield lambda samples: recording.writeframesraw(samples.tobytes())


@contextmanager
def _flac(soundfile: Any, file: BinaryIO, rate: int, channels: int) -> Iterator[_Put]:
    kept = _KeptError(file)
    try:
        with soundfile.SoundFile(kept, "w", rate, channels, "PCM_16", format="FLAC") as recording:
            yield recording.write
    except soundfile.SoundFileError as error:
        raise kept.error or OutputError(f"the sounds cannot be written: {printable(error, 200)}") from error
    if kept.error:
        raise kept.error


class _KeptError:
    """A file for libsndfile, which would lose the system's own error between Python and Python."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            self._file.write(content)
            return len(content)
        except OSError as error:
            self.error = self.error or error
            return 0

    def read(self, count: int = -1) -> bytes:
        return b""  # a new file

    def seek(self, position: int, whence: int = 0) -> int:
        with contextlib.suppress(OSError):  # what could not be written before is reported
            return self._file.seek(position, whence)
        return 0

    def tell(self) -> int:
        return self._file.tell()
