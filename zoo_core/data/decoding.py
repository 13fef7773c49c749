"""Decoding of pictures: centre crop, resizing, and conversion to 8-bit grey or colour.

Imports no torch: the processes that decode start faster and take less memory without it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.picture_formats import register_plugins
from zoo_core.errors import DataError, printable

DECODER_VERSION = 1  # part of the key of the cache; raise it whenever `_decode` makes another pixel of a picture


class Decoded(NamedTuple):
    """The pixels of some pictures.

    Attributes:
        pixels: (N, size, size, channels) uint8. The channels are last, as convolutions are fastest with them there.
        changes: how many pictures were "cropped", "resized" and "converted".
    """

    pixels: np.ndarray
    changes: Counter[str]


class PictureDecoder:
    """Encoded pictures as pixels; indexed with a list of their numbers it decodes these.

    Args:
        pictures: of the data source.
        channels: 1 for grey, 3 for colour.
        size: side of the square that each picture becomes, in pixels.
    """

    def __init__(self, pictures: EncodedPictures, channels: int, size: int) -> None:
        self.pictures, self.channels, self.size = pictures, channels, size

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def name(self) -> str:
        """Name of the data, for messages."""
        return self.pictures.name

    @property
    def picture_bytes(self) -> int:
        """Bytes that one decoded picture takes."""
        return self.channels * self.size * self.size

    @property
    def total_bytes(self) -> int:
        """Bytes that all decoded pictures take."""
        return len(self) * self.picture_bytes

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded pictures in memory and in the cache: (N, size, size, channels)."""
        return len(self), self.size, self.size, self.channels

    @property
    def samples_shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded pictures as samples: (N, channels, size, size)."""
        return len(self), self.channels, self.size, self.size

    def __getitem__(self, chosen: Sequence[int]) -> Decoded:
        """Decode the pictures of these numbers. Raises DataError for one that cannot be decoded, with its number."""
        pixels = np.empty((len(chosen), self.size, self.size, self.channels), np.uint8)
        changes: Counter[str] = Counter()
        for place, (row, encoded) in enumerate(zip(chosen, self.pictures.read(chosen), strict=True)):
            where = self.pictures.where(row)
            with open_picture(encoded, where) as image:
                try:
                    pixels[place] = _decode(image, self.channels, self.size, changes)
                except (OSError, ValueError, SyntaxError) as error:  # what Pillow's decoders raise
                    assert encoded is not None
                    raise _undecodable(encoded, where, error) from error
        return Decoded(pixels, changes)


def picture_shape(kind: str, sample_shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Return (channels, size, size) for samples that a PictureDecoder can make; None for any others.

    Args:
        kind: of the samples, as in `Generator.kind`.
        sample_shape: of one sample.

    Example:
        >>> picture_shape("image", (3, 32, 32))
        (3, 32, 32)
        >>> picture_shape("image", (3, 32, 48)), picture_shape("tensor", (1, 8, 8))
        (None, None)
    """
    shape = tuple(sample_shape)
    if kind != "image" or len(shape) != 3 or shape[1] != shape[2] or shape[0] not in (1, 3):
        return None
    return shape[0], shape[1], shape[2]


def blocks(count: int, picture_bytes: int) -> Iterator[range]:
    """Return the numbers 0 to count - 1 in blocks of about a megabyte of pixels.

    Example:
        >>> list(blocks(5, 2**19))
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    step = max(1, min(1000, 2**20 // picture_bytes))
    return (range(start, min(start + step, count)) for start in range(0, count, step))


def open_picture(encoded: EncodedPicture | None, where: str) -> Image.Image:
    """Open an encoded picture without decoding it. Raises DataError that says where it is."""
    if encoded is None:
        raise DataError(f"{printable(where, 200)}: there is no picture")
    if encoded.pixels is not None:
        return Image.fromarray(encoded.pixels)
    try:
        try:
            return _open(encoded)
        except UnidentifiedImageError:
            if not register_plugins():
                raise
            return _open(encoded)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _undecodable(encoded, where, error) from error


def _open(encoded: EncodedPicture) -> Image.Image:
    return Image.open(io.BytesIO(encoded.content) if encoded.content is not None else encoded.path or "")


def read_picture(path: Path, channels: int, size: int) -> np.ndarray:
    """Return a single picture file as training would see it: (size, size, channels) uint8. Raises DataError."""
    try:
        with Image.open(path) as image:
            return _decode(image, channels, size, Counter())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{printable(path, 200)}: this picture cannot be read: {printable(reason, 120)}") from error


def channels_of(image: Image.Image) -> int:
    """Return 1 for a grey picture, with or without transparency, and 3 for any other.

    Example:
        >>> channels_of(Image.new("LA", (2, 2))), channels_of(Image.new("P", (2, 2)))
        (1, 3)
    """
    return 1 if image.mode in ("1", "L", "I", "I;16", "F", "LA") else 3


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of a picture as it is looked at.

    Example:
        >>> oriented_size(Image.new("L", (4, 3)))
        (4, 3)
    """
    return image.size


def _undecodable(encoded: EncodedPicture, where: str, error: Exception) -> DataError:
    file = f" ({printable(Path(encoded.path).name)})" if encoded.path and encoded.content is not None else ""
    if isinstance(error, UnidentifiedImageError):
        reason = "it is empty" if _is_empty(encoded) else "it is no picture, or in a format that is not read here"
    else:
        reason = printable((isinstance(error, OSError) and error.strerror) or error, 120)
    return DataError(
        f"{printable(where, 200)}{file}: the picture cannot be decoded: {reason} (--skip-damaged leaves such out)"
    )


def _is_empty(encoded: EncodedPicture) -> bool:
    return not (encoded.content or (encoded.path and Path(encoded.path).stat().st_size))


def _decode(image: Image.Image, channels: int, size: int, changes: Counter[str]) -> np.ndarray:
    """Return one picture as uint8 (size, size, channels), and count in `changes` what was done to it."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = _convert(image, mode)
        changes["converted"] += 1
    if image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        changes["cropped"] += 1
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        changes["resized"] += 1
    return np.asarray(image).reshape(size, size, channels)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
