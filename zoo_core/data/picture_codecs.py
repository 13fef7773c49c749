"""Opening of picture files: by Pillow, and by the packages that add HEIC, JPEG XL and AVIF to it, where there are any.

Such a package is imported when the first picture needs it. A file that nothing here can open gets a reason that says
what it is and what to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from zoo_core.data.picture_formats import register_plugins, remedy

_HEAD_BYTES = 32
_NAMES = {".heic": "HEIC", ".jxl": "JPEG XL", ".avif": "AVIF"}


def open_file(source: str | Path | BinaryIO) -> Image.Image:
    """Open a picture file without decoding it.

    Raises:
        UnidentifiedImageError: where it is none that can be read; its text says what it is and what to do.
        OSError, ValueError or another error of Pillow's: where it cannot be opened.
    """
    try:
        with without_warnings():
            return Image.open(source)
    except UnidentifiedImageError:
        head = _head(source)
        suffix = _suffix_of(head)
        if suffix is None:
            raise UnidentifiedImageError(_what_it_is(head)) from None
    plugin = register_plugins(suffix)
    try:
        with without_warnings():
            return Image.open(source)
    except UnidentifiedImageError:
        what_to_do = "it is damaged, or of a kind that is not read here" if plugin else remedy(suffix)
        raise UnidentifiedImageError(f"it is a picture in {_NAMES[suffix]}: {what_to_do}") from None


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep what Pillow warns of to itself: unusual metadata and very large pictures, without naming the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _head(source: str | Path | BinaryIO) -> bytes:
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            return file.read(_HEAD_BYTES)
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    source.seek(0)
    return head


def _suffix_of(head: bytes) -> str | None:
    """Return the usual suffix of a format that a package adds to Pillow; None for others."""
    if head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return ".jxl"
    if head[4:8] == b"ftyp":
        brands = {head[place : place + 4] for place in (8, *range(16, len(head), 4))}
        if brands & {b"avif", b"avis"}:
            return ".avif"
        if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
            return ".heic"
    return None


def _what_it_is(head: bytes) -> str:
    if not head:
        return "it is empty"
    if not any(head):
        return "the file begins with nothing but zeros: it was not written to the end"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return (
            "it is a TIFF of a kind that Pillow does not read, such as colours in floats: save it as PNG or 8-bit TIFF"
        )
    if head.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<!doc", b"<html"):
        return "it is text (SVG or HTML), not a picture of pixels"
    return "it is no picture, or in a format that is not read here"
