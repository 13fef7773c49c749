"""Which way up a picture is: the EXIF orientation that cameras write instead of turning the pixels."""

from __future__ import annotations

import contextlib
from typing import Any

from PIL import Image

_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 256, 257  # tags of TIFF, from which EXIF took them
_IN_EXIF = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # where Pillow keeps what can hold it

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)
UPRIGHT = 1


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied: 1 (upright) to 8; 1 for one that makes no sense.

    Only what was already read of the file is asked. Pillow reads the end of a PNG, where EXIF may stand too, with its
    pixels. The codec of JPEG XL turns a picture itself and leaves its EXIF as it was, but for one that was a JPEG.
    """
    tags: Any = getattr(image, "tag_v2", None)
    turned_by_codec = image.format == "JXL" and not getattr(image, "jpeg", False)
    found = None
    with contextlib.suppress(Exception):  # damaged EXIF makes Pillow raise almost anything, and hurts no pixel
        if tags is not None:
            found = tags.get(_ORIENTATION)
        elif not turned_by_codec and any(key in image.info for key in _IN_EXIF):
            found = image.getexif().get(_ORIENTATION)
    return found if isinstance(found, int) and found in _TURNS else UPRIGHT


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) as the pixels are stored, which for a TIFF is not what every version of Pillow says."""
    tags: Any = getattr(image, "tag_v2", None) or {}
    width, height = tags.get(_WIDTH), tags.get(_HEIGHT)
    if isinstance(width, int) and isinstance(height, int):
        return width, height
    return image.size


def turned_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return a picture with its EXIF orientation applied."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
