"""Texts to look at: each on a line of its own, in columns, in letters that this system has."""

from __future__ import annotations

import functools
import itertools
import math
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo_core.data.text_lines import escaped

SIZE = 15  # of the letters, in pixels
_LINE, _MARGIN = 22, 8  # pixels
_WIDEST = 420  # pixels of a text; what is longer goes on in the next line
_MOST_LINES = 6  # of one text
_PAPER, _INK, _PALE = (255, 255, 255), (28, 28, 34), (205, 205, 212)
# For letters that Pillow's own font does not have. Names for which Pillow looks in the folders of the system.
_OTHER_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf",
    "msyh.ttc", "Hiragino Sans GB.ttc", "unifont.otf",
)  # fmt: skip


def draw_texts(texts: Sequence[str], columns: int | None = None) -> np.ndarray:
    """Draw texts in one picture, from left to right and top to bottom, each in a cell of equal size.

    What cannot be seen stands as an escape, and a character that no font of this system has as its code point.

    Args:
        columns: number of texts in a row; by default as many as make the picture about square.

    Returns:
        (H, W, 1) uint8, dark on white.

    Example:
        >>> draw_texts(["one", "two", "three"]).shape[2]
        1
    """
    cells = [_lines_of(escaped(text)) for text in texts]
    width = max(math.ceil(_length(line)) for lines in cells for line in lines) + 2 * _MARGIN
    height = _LINE * max(map(len, cells)) + 4
    columns = columns or max(1, min(len(texts), round(math.sqrt(len(texts) * height / width))))
    rows = -(-len(texts) // columns)
    picture = Image.new("L", (columns * width + 1, rows * height + 1), 255)
    draw = ImageDraw.Draw(picture)
    for index, lines in enumerate(cells):
        row, column = divmod(index, columns)
        left, top = column * width, row * height
        draw.rectangle((left, top, left + width, top + height), outline=_PALE[0])
        for number, line in enumerate(lines):
            _draw(draw, left + _MARGIN, top + number * _LINE + _LINE // 2 + 2, line)
    return np.asarray(picture)[:, :, None].copy()


def _lines_of(text: str) -> list[str]:
    """Break a text where it is too wide; what is left after some lines becomes an ellipsis."""
    lines, start = [], 0
    for end in range(1, len(text) + 1):
        if _length(text[start:end]) > _WIDEST and end - start > 1:
            lines.append(text[start : end - 1])
            start = end - 1
            if len(lines) == _MOST_LINES:
                return [*lines[:-1], f"{lines[-1][:-1]}…"]
    return [*lines, text[start:]]


def _draw(draw: ImageDraw.ImageDraw, left: float, middle: int, line: str) -> None:
    for font, run in _runs(line):
        draw.text((left, middle), run, fill=_INK[0], font=font, anchor="lm")
        left += font.getlength(run)


def _length(line: str) -> float:
    return sum(font.getlength(run) for font, run in _runs(line))


def _runs(line: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
    """Yield parts of a line with the font of each."""
    fonts = [(_font_for(char), char) for char in line]
    for font, run in itertools.groupby(fonts, key=lambda each: each[0]):
        text = "".join(char for _, char in run)
        yield (font, text) if font is not None else (_fonts()[0], _as_code_points(text))


def _as_code_points(text: str) -> str:
    return "".join(f"[{ord(char):04X}]" for char in text)


@functools.lru_cache(4096)
def _font_for(char: str) -> ImageFont.FreeTypeFont | None:
    """Return the first font that has a character, and not the box that stands for any that is missing."""
    if char == " " or unicodedata.combining(char):
        return _fonts()[0]
    return next((font for font in _fonts() if _glyph(font, char) != _missing(font)), None)


@functools.cache
def _fonts() -> tuple[ImageFont.FreeTypeFont, ...]:
    own = ImageFont.load_default(SIZE)
    assert isinstance(own, ImageFont.FreeTypeFont), "Pillow has its own font wherever it has FreeType"
    found = [own]
    for name in _OTHER_FONTS:
        try:
            found.append(ImageFont.truetype(name, SIZE))
        except OSError:  # not on this system
            continue
    return tuple(found)


@functools.cache
def _missing(font: ImageFont.FreeTypeFont) -> bytes:
    return _glyph(font, "\U0010fffe")


def _glyph(font: ImageFont.FreeTypeFont, char: str) -> bytes:
    mask = font.getmask(char)
    return repr(mask.size).encode() + bytes(mask)
