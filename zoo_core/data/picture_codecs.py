"""Opening of picture files: by Pillow, and for HEIC and JPEG XL by a package that adds them to Pillow, if there is one.

Such a package is imported when the first picture needs it. A file that nothing here can open gets a reason that says
what it is and what to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

_HEAD_BYTES = 32


class _Format(NamedTuple):
    """A format that this Pillow may not read: its name, the package that adds it, and how that is registered."""

    name: str
    package: str
    register: Callable[[], object]


def _register_heif() -> None:
    module: Any = importlib.import_module("pillow_heif")
    module.register_heif_opener()


_HEIC = _Format("HEIC", "pillow-heif", _register_heif)
_JPEG_XL = _Format("JPEG XL", "pillow-jxl-plugin", lambda: importlib.import_module("pillow_jxl"))
_AVIF = _Format("AVIF", "pillow>=11.3", lambda: None)


def open_file(source: str | Path | BinaryIO) -> Image.Image:
    """Open a picture file without decoding it.

    Raises:
        UnidentifiedImageError: where it is none that can be read; its text says what it is and what to do.
        OSError, ValueError or another error of Pillow's: where it cannot be opened.
    """
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        head = _head(source)
        needed = _format_of(head)
        if needed is None:
            raise UnidentifiedImageError(_what_it_is(head)) from None
    try:
        needed.register()
        return Image.open(source)
    except (ImportError, UnidentifiedImageError) as error:
        missing = isinstance(error, ImportError) or needed is _AVIF
        reason = f"pip install '{needed.package}' reads it" if missing else "it is damaged, or of a kind unknown here"
        raise UnidentifiedImageError(f"it is a picture in {needed.name}: {reason}") from None


def _head(source: str | Path | BinaryIO) -> bytes:
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            return file.read(_HEAD_BYTES)
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    source.seek(0)
    return head


def _format_of(head: bytes) -> _Format | None:
    if head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return _JPEG_XL
    if head[4:8] == b"ftyp":
        brands = {head[place : place + 4] for place in (8, *range(16, len(head), 4))}
        if brands & {b"avif", b"avis"}:
            return _AVIF
        if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
            return _HEIC
    return None


def _what_it_is(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if not any(head):
        return "the file begins with nothing but zeros: it was not written to the end"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return (
            "it is a TIFF of a kind that Pillow does not read, such as colours in floats: save it as PNG or 8-bit TIFF"
        )
    if head.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<!doc", b"<html"):
        return "it is text (SVG or HTML), not a picture of pixels"
    return "it is not in a format of pictures that Pillow reads"
