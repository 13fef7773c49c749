"""Lines of text files: UTF-8, with line breaks of any system."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo_core.errors import DataError, printable


def decoded_lines(
    file: Path, content: bytes | None = None, *, damaged: Callable[[str], object] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file without their breaks, each with its number, from 1.

    Args:
        file: the file, or its name.
        content: of the file, where it is no file of its own.
        damaged: called with the place of each line that is not UTF-8, which is left out; by default it is an error.

    Raises:
        DataError: for a file that cannot be read, or is not UTF-8; it names the line.
    """
    name = printable(file.name, 80)
    if content is None:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(f"{printable(file, 200)} cannot be read: {error.strerror or error}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{name}: it is UTF-16; save it as UTF-8")
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            yield number, line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            where = f"{name}, line {number:,}"
            if damaged is None:
                raise DataError(
                    f"{where}: it is not UTF-8: byte 0x{line[error.start]:02x} at its position {error.start + 1:,} "
                    "(--skip-damaged leaves such out)"
                ) from None
            damaged(where)


def escaped(text: str) -> str:
    """Return a text on one line: line breaks, tabs and what else cannot be seen as escapes, as Python writes them.

    A backslash stays one.

    Example:
        >>> print(escaped("a\\tb\\nc\\u200bd"))
        a\\tb\\nc\\u200bd
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_seen(char) else char.encode("unicode_escape").decode() for char in text)


def _is_seen(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
