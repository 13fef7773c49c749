"""Pixels of more than 8 bits: of 12 or 16 bits, 32-bit integers and floats, and which of their values becomes white.

A file says how wide its pixels are, and not how much of that is used: cameras and microscopes keep 12 bits in 16, and a
float may mean 0 to 1 as well as 0 to 255. One picture cannot tell, since it may be a dark one, and a scale for each
would make all of them equally bright. So all pictures of a data set have one white for each kind of pixel: the end of
the smallest usual range that holds all of them.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from PIL import Image

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_DEPTHS = (8, 10, 12, 14, *range(16, 33))  # bits that pixels may use; up to 16, those of cameras
_TOLERANCE = 0.1  # of the range of a float: resampling overshoots black and white
_AMBIGUOUS = 64  # a largest float above 1 and below this is neither of the range 0 to 1 nor of 0 to 255


class PixelKind(Enum):
    """Kinds of pixels with more than 8 bits; the value is what messages call them."""

    INTEGER = "16-bit"
    LONG_INTEGER = "32-bit"
    FLOAT = "floating-point"
    COLOUR = "16-bit colour"


def kind_of(image: Image.Image) -> PixelKind | None:
    """Return the kind of an opened picture whose pixels were not read yet; None for one of 8 bits or fewer."""
    if image.mode == "F":
        return PixelKind.FLOAT
    if image.mode.startswith("I"):
        return PixelKind.LONG_INTEGER if _tag(image, _BITS) == 32 else PixelKind.INTEGER
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        return PixelKind.COLOUR
    return None


def largest_pixel(image: Image.Image, kind: PixelKind) -> float:
    """Return the largest finite pixel, or the end of the range that a file of 9 to 15 bits states.

    For colour, it is that of the upper 8 bits, which are all that Pillow reads.
    """
    bits = _tag(image, _BITS)
    if kind is PixelKind.INTEGER and bits is not None and 8 < bits < 16:
        return float(2**bits - 1)
    values = _values(image, kind)
    if image.mode in ("LA", "RGBA", "RGBX"):  # opacity is no brightness
        values = values[..., :-1]
    finite = values[np.isfinite(values)] if kind is PixelKind.FLOAT else values
    return float(finite.max()) if finite.size else 0.0


def white_of(kind: PixelKind, largest: float) -> float:
    """Return the value that becomes white where `largest` is the largest of all pixels.

    Raises:
        ValueError: where no usual range holds the pixels and is used by them.

    Example:
        >>> white_of(PixelKind.INTEGER, 4000), white_of(PixelKind.INTEGER, 60_000), white_of(PixelKind.FLOAT, 0.9)
        (4095.0, 65535.0, 1.0)
    """
    if kind is PixelKind.COLOUR:
        if largest < 2**6:
            raise ValueError(
                "these 16-bit colours use no more than the lower 14 bits, and only the upper 8 can be read: they would "
                "be nearly black; scale them to the full range of 16 bits, or save them with 8"
            )
        return 255.0
    if kind is PixelKind.FLOAT and largest <= 1 + _TOLERANCE:
        return 1.0
    depths = [depth for depth in _DEPTHS if kind is not PixelKind.FLOAT or depth <= 16]
    white = next((float(2**depth - 1) for depth in depths if largest < 2**depth), None)
    if white is None or (kind is PixelKind.FLOAT and largest < _AMBIGUOUS):
        raise ValueError(
            f"the largest of these floating-point pixels is {largest:.6g}, and it is not known which value is white; "
            "scale them to 0 (black) to 1 (white)"
        )
    return white


def surely_full(kind: PixelKind, largest: float) -> bool:
    """Return whether pixels that reach `largest` have the widest range of their kind, whatever others hold."""
    limit = {PixelKind.INTEGER: 2**14, PixelKind.COLOUR: 2**6, PixelKind.LONG_INTEGER: 2**31}.get(kind)
    return limit is not None and largest >= limit


def to_eight_bits(image: Image.Image, kind: PixelKind, white: float) -> Image.Image:
    """Return a grey picture as 8-bit grey: 0 is black, `white` white; its transparent colour, if it has one, is white.

    Raises:
        ValueError: for pixels that are not finite or below black, and floats of 0 to 1 among those of a wider range.
    """
    values = _values(image, kind)
    if not np.isfinite(values).all():
        raise ValueError("it has pixels that are not finite numbers (NaN or infinity)")
    lowest = values.min()
    if lowest < (-_TOLERANCE * white if kind is PixelKind.FLOAT else 0):
        raise ValueError(f"its pixels begin at {lowest:.6g}, below black; scale them to 0 (black) to 1 or more (white)")
    if kind is PixelKind.FLOAT and white > 1 and 0 < values.max() <= 1 + _TOLERANCE:
        raise ValueError(
            f"its pixels end at {values.max():.6g}, and those of other floating-point pictures here at up to "
            f"{white:.0f}; scale all of them to 0 (black) to 1 (white)"
        )
    scaled = np.floor(values.astype(np.float64) * (255 / white) + 0.5).clip(0, 255).astype(np.uint8)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)


def _values(image: Image.Image, kind: PixelKind) -> np.ndarray:
    """Return the pixels (H, W) or (H, W, channels), as unsigned where the file says so and Pillow has no such type."""
    values = np.asarray(image)
    if kind is PixelKind.LONG_INTEGER and _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED:
        return values.view(np.uint32)
    return values


def _tag(image: Image.Image, number: int, default: int | None = None) -> int | None:
    """Return the first value of a tag of a TIFF; the default where it is missing or the file is no TIFF."""
    tags: Any = getattr(image, "tag_v2", None) or {}
    found = tags.get(number, default)
    if isinstance(found, tuple):
        found = found[0] if found else default
    return found if isinstance(found, int) else default
