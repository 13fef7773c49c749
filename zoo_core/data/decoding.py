"""Decoding of pictures: turning upright, centre crop, resizing, and conversion to 8-bit grey or colour.

Imports no torch: the processes that decode start faster and take less memory without it.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from zoo_core.data import deep_pixels
from zoo_core.data.deep_pixels import PixelKind
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.orientation import ON_ITS_SIDE, UPRIGHT, orientation_of, stored_size, turned_upright
from zoo_core.data.picture_codecs import open_file, without_warnings
from zoo_core.errors import DataError, printable

DECODER_VERSION = 2  # part of the key of the cache; raise it whenever another pixel of a picture is made
_SCALED = "scaled "  # begins the key of a change that also holds the kind of the pixels and what became white
_HINT = " (--skip-damaged leaves such out)"
_ONE_PICTURE = ("MPO", "PSD")  # formats whose further frames are views or layers of the picture in the first


class Decoded(NamedTuple):
    """The pixels of some pictures.

    Attributes:
        pixels: (N, height, width, channels) uint8. The channels are last, as convolutions are fastest with them there.
        changes: how many pictures were changed in each way; `what_was_done` puts them into words.
    """

    pixels: np.ndarray
    changes: Counter[str]


class PictureDecoder:
    """Encoded pictures as pixels; indexed with a list of their numbers it decodes these.

    Args:
        pictures: of the data source.
        shape: (channels, height, width) of what each picture becomes; 1 channel is grey, 3 are colour.
    """

    def __init__(self, pictures: EncodedPictures, shape: tuple[int, int, int]) -> None:
        self.pictures = pictures
        self.channels, self.height, self.width = shape
        self._whites: dict[PixelKind, float] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def name(self) -> str:
        """Name of the data, for messages."""
        return self.pictures.name

    @property
    def picture_bytes(self) -> int:
        """Bytes that one decoded picture takes."""
        return self.channels * self.height * self.width

    @property
    def total_bytes(self) -> int:
        """Bytes that all decoded pictures take."""
        return len(self) * self.picture_bytes

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded pictures in memory and in the cache: (N, height, width, channels)."""
        return len(self), self.height, self.width, self.channels

    @property
    def samples_shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded pictures as samples: (N, channels, height, width)."""
        return len(self), self.channels, self.height, self.width

    @property
    def size(self) -> str:
        """Width and height of a decoded picture, for messages.

        Example:
            >>> PictureDecoder(_PictureFiles([]), (3, 32, 48)).size
            '48 x 32'
        """
        return f"{self.width} x {self.height}"

    def __getitem__(self, chosen: Sequence[int]) -> Decoded:
        """Decode the pictures of these numbers. Raises DataError for one that cannot be decoded, with its number."""
        pixels = np.empty((len(chosen), *self.stored_shape[1:]), np.uint8)
        changes: Counter[str] = Counter()
        for place, (row, encoded) in enumerate(zip(chosen, self.pictures.read(chosen), strict=True)):
            where = self.pictures.where(row)
            with open_picture(encoded, where) as image:
                try:
                    with without_warnings():
                        pixels[place] = self.pixels_of(image, changes)
                except (DataError, MemoryError):  # too little memory is no damage, which --skip-damaged would leave out
                    raise
                except Exception as error:  # which exception a decoder of Pillow's raises is not known here
                    assert encoded is not None
                    raise _undecodable(encoded, where, error) from error
        return Decoded(pixels, changes)

    def pixels_of(self, image: Image.Image, changes: Counter[str]) -> np.ndarray:
        """Return one picture as uint8 (height, width, channels), and count in `changes` what was done to it."""
        file, kind = image, deep_pixels.kind_of(image)
        # That of a TIFF is applied by Pillow while it loads the pixels; that of a PNG may stand behind them.
        orientation = orientation_of(image)
        image.load()
        left_to_apply = orientation_of(image)
        if kind is not None:
            image = self._eight_bits(image, kind, changes)
        if max(orientation, left_to_apply) != UPRIGHT:
            image = turned_upright(image, left_to_apply)
            changes["turned"] += 1
        mode = "L" if self.channels == 1 else "RGB"
        if image.mode != mode or "transparency" in image.info:
            image = _convert(image, mode)
            changes["converted"] += 1
        width, height = largest_part(image.size, (self.width, self.height))
        if image.size != (width, height):
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
            changes["cropped"] += 1
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BICUBIC)
            changes["resized"] += 1
        pixels = np.array(image).reshape(self.height, self.width, self.channels)
        if _has_more_frames(file):  # the last question, since Pillow may look for the next frame by decoding it
            changes["first frame"] += 1
        return pixels

    def _eight_bits(self, image: Image.Image, kind: PixelKind, changes: Counter[str]) -> Image.Image:
        white = self._white(kind)
        changes[f"{_SCALED}{kind.name}:{white:.0f}"] += 1
        if kind is PixelKind.COLOUR:
            return image
        scaled = deep_pixels.to_eight_bits(image, kind, white)
        if not np.asarray(scaled).any() and np.asarray(image).any():
            changes["black"] += 1
        return scaled

    def _white(self, kind: PixelKind) -> float:
        """Return what is white for all pictures of this kind, which are searched for the largest pixel once."""
        if kind not in self._whites:
            self._whites[kind] = deep_pixels.white_of(kind, self._largest_pixel(kind))
        return self._whites[kind]

    def _largest_pixel(self, kind: PixelKind) -> float:
        largest = 0.0
        for numbers in blocks(len(self), self.picture_bytes):
            for encoded in self.pictures.read(numbers):
                with contextlib.suppress(Exception), open_picture(encoded, self.name) as image:
                    if deep_pixels.kind_of(image) is kind:
                        image.load()
                        largest = max(largest, deep_pixels.largest_pixel(image, kind))
                if deep_pixels.surely_full(kind, largest):
                    return largest
        return largest


class _PictureFiles(EncodedPictures):
    """Single picture files, each under its own name."""

    name = "the pictures"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        return [EncodedPicture(None, str(self.paths[number])) for number in numbers]

    def where(self, number: int) -> str:
        return str(self.paths[number])

    def files(self) -> Sequence[Path]:
        return self.paths

    def selection(self) -> tuple[object, ...]:
        return ()


def picture_shape(kind: str, sample_shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Return (channels, height, width) for samples that a PictureDecoder can make; None for any others.

    Args:
        kind: of the samples, as in `Generator.kind`.
        sample_shape: of one sample.

    Example:
        >>> picture_shape("image", (3, 32, 48))
        (3, 32, 48)
        >>> picture_shape("image", (4, 32, 32)), picture_shape("tensor", (1, 8, 8))
        (None, None)
    """
    shape = tuple(sample_shape)
    if kind != "image" or len(shape) != 3 or shape[0] not in (1, 3):
        return None
    return shape[0], shape[1], shape[2]


def largest_part(size: tuple[int, int], like: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of the largest part of a picture that has the aspect ratio of another size.

    Args:
        size: (width, height) of the picture.
        like: (width, height) with the aspect ratio.

    Example:
        >>> largest_part((100, 80), (32, 32)), largest_part((100, 80), (48, 32)), largest_part((96, 64), (48, 32))
        ((80, 80), (100, 67), (96, 64))
    """
    (width, height), (wide, high) = size, like
    if width * high > height * wide:
        return max(1, round(height * wide / high)), height
    return width, max(1, round(width * high / wide))


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
    try:
        if encoded.pixels is not None:
            return Image.fromarray(encoded.pixels)
        return open_file(io.BytesIO(encoded.content) if encoded.content is not None else encoded.path or "")
    except Exception as error:  # a damaged header makes Pillow raise almost anything
        raise _undecodable(encoded, where, error) from error


def read_pictures(paths: Sequence[Path], shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Return picture files as training would see them, and what was done to them.

    Args:
        paths: of the files.
        shape: (channels, height, width) of what each picture becomes.

    Returns:
        (N, height, width, channels) uint8, and one sentence for each kind of change.

    Raises:
        DataError: for a file that cannot be read, which it names.
    """
    decoder = PictureDecoder(_PictureFiles(paths), shape)
    try:
        decoded = decoder[range(len(paths))]
    except DataError as error:  # whoever names single pictures wants each of them
        raise DataError(str(error).removesuffix(_HINT)) from error
    return decoded.pixels, what_was_done(decoder, decoded.changes)


def channels_of(image: Image.Image) -> int:
    """Return 1 for a grey picture, with or without transparency, and 3 for any other.

    Example:
        >>> channels_of(Image.new("LA", (2, 2))), channels_of(Image.new("P", (2, 2)))
        (1, 3)
    """
    return 1 if image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I") else 3


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) once the EXIF orientation is applied, without decoding the picture.

    Example:
        >>> oriented_size(Image.new("L", (4, 3)))
        (4, 3)
    """
    width, height = stored_size(image)
    return (height, width) if orientation_of(image) in ON_ITS_SIDE else (width, height)


def what_was_done(decoder: PictureDecoder, changes: Counter[str]) -> list[str]:
    """Return a sentence for each kind of change to the pictures, with the number of pictures that it was made to."""
    square = decoder.width == decoder.height
    meaning = {
        "black": "became black altogether, since their pixels are small beside what is white",
        "first frame": "have several frames or pages, of which the first was used",
        "turned": "were turned upright as their EXIF orientation says",
        "cropped": f"were not {'square' if square else _aspect_ratio(decoder)} and were cropped about their centre",
        "resized": f"were resized to {decoder.size} (bicubic)",
        "converted": f"were converted to {'grey' if decoder.channels == 1 else 'colour'} 8-bit pixels "
        "(transparency onto white)",
    }
    done = [_counted(changes[what], words) for what, words in meaning.items() if changes[what]]
    return [*(_scaling(what, count) for what, count in sorted(changes.items()) if what.startswith(_SCALED)), *done]


def _aspect_ratio(decoder: PictureDecoder) -> str:
    common = math.gcd(decoder.width, decoder.height)
    return f"{decoder.width // common}:{decoder.height // common}"


def _counted(count: int, words: str) -> str:
    if count == 1:
        words = words.replace("were ", "was ").replace("have ", "has ")
    return f"{count:,} {words}"


def _scaling(what: str, count: int) -> str:
    kind, _, white = what.removeprefix(_SCALED).partition(":")
    pixels = f"have {PixelKind[kind].value} pixels"
    if PixelKind[kind] is PixelKind.COLOUR:
        return f"{_counted(count, pixels)}, of which the upper 8 bits were used"
    return _counted(count, f"{pixels} and were scaled to 8 bits: 0 became black and {int(white):,} white")


def _undecodable(encoded: EncodedPicture, where: str, error: Exception) -> DataError:
    file = f" ({printable(Path(encoded.path).name)})" if encoded.path and encoded.content is not None else ""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DataError(f"{printable(where, 200)}{file}: the picture cannot be decoded: {printable(reason, 240)}{_HINT}")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Return a picture of 8 bits in grey (`L`) or colour (`RGB`), with what is transparent on white."""
    if image.mode in ("La", "RGBa"):  # whose colours are already multiplied by their opacity
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode == "LAB":
        image = _from_lab(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _from_lab(image: Image.Image) -> Image.Image:
    """Convert CIE L*a*b* to sRGB by LittleCMS, as `Image.convert` cannot."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # it is None only where the picture itself is changed
    return converted


def _has_more_frames(image: Image.Image) -> bool:
    if image.format in _ONE_PICTURE:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # the next frame is damaged, but there is one
        return True
