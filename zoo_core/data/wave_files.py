"""WAV files with samples of 8 to 64 bits, read with numpy alone, and nothing in them believed.

The module `wave` of Python knows neither floating samples nor the longer header (WAVE_FORMAT_EXTENSIBLE) of files with
24 bits, and libsndfile reads a file that was cut off as if it were shorter.

Reference: IBM and Microsoft, Multimedia Programming Interface and Data Specifications 1.0, 1991.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

import numpy as np

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TYPES = {(_PCM, 8): "u1", (_PCM, 16): "<i2", (_PCM, 24): "i3", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4",
          (_FLOAT, 64): "<f8"}  # fmt: skip


class WaveHeader(NamedTuple):
    """What the header of a WAV file states.

    Attributes:
        rate: samples a second.
        channels: their number.
        frames: samples in each channel.
        type: of the values: u1, <i2, i3 (24 bits), <i4, <f4 or <f8.
        offset: of the first sample in the file.
    """

    rate: int
    channels: int
    frames: int
    type: str
    offset: int


def is_wave(beginning: bytes) -> bool:
    """Return whether a file that begins with these 12 bytes is a WAV file.

    Example:
        >>> is_wave(b"RIFF\\x24\\x00\\x00\\x00WAVE"), is_wave(b"fLaC\\x00\\x00\\x00\\x22\\x10\\x00\\x10\\x00")
        (True, False)
    """
    return beginning[:4] == b"RIFF" and beginning[8:12] == b"WAVE"


def read_wave_header(file: BinaryIO, size: int) -> WaveHeader | None:
    """Read the header of a WAV file of `size` bytes; None for one whose samples are coded, as by ADPCM or A-law.

    Raises:
        ValueError: for a header that is broken or states more samples than there are.
    """
    position, described, form = 12, False, None
    while True:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if position + 8 > size:
            raise ValueError("it has no samples" if described else "its header is cut off")
        position += 8
        if name == b"fmt ":
            form, described = _read_format(file.read(min(length, 40))), True
        elif name == b"data":
            break
        position += length + length % 2
    if not described:
        raise ValueError("its header does not say what its samples are")
    if length > size - position:
        raise ValueError(
            f"its header states {length:,} bytes of samples, and {size - position:,} follow: it was cut off, or "
            "written before its length was known"
        )
    if form is None:
        return None
    rate, channels, type_ = form
    return WaveHeader(rate, channels, length // (channels * _bytes_of(type_)), type_, position)


def _read_format(chunk: bytes) -> tuple[int, int, str] | None:
    if len(chunk) < 16:
        raise ValueError("its header is cut off")
    code, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if code == _EXTENSIBLE and len(chunk) >= 26:
        (code,) = struct.unpack("<H", chunk[24:26])
    if (code, bits) not in _TYPES:
        return None
    if channels == 0 or block * 8 != channels * bits:
        raise ValueError(f"its header contradicts itself: {channels} channels of {bits} bits in {block} bytes")
    return rate, channels, _TYPES[code, bits]


def read_wave(file: BinaryIO, header: WaveHeader, start: int, count: int) -> np.ndarray:
    """Read samples start … start + count - 1 of every channel: (count, channels) float32; whole numbers become [-1, 1).

    Fewer come back where the file ends.
    """
    width = header.channels * _bytes_of(header.type)
    file.seek(header.offset + start * width)
    content = file.read(count * width)
    content = content[: len(content) // width * width]
    return _to_float(content, header.type).reshape(-1, header.channels)


def _bytes_of(type_: str) -> int:
    return int(type_[-1])


def _to_float(content: bytes, type_: str) -> np.ndarray:
    if type_ == "i3":  # in the upper three bytes of 32 bits
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        content, type_ = wide.tobytes(), "<i4"
    values = np.frombuffer(content, type_)
    if type_ == "u1":
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which is refused
            return values.astype(np.float32)
    return values.astype(np.float32) / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
