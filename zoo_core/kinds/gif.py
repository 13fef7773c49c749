"""Animated GIFs: the sample grids of a run, or a walk through a latent space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from zoo_core.files.atomic import atomic_file
from zoo_core.kinds.pictures import as_image

PALETTE_FRAMES = 8  # frames from which the palette is chosen
_Item = TypeVar("_Item")


def write_film(frames: Sequence[Path | np.ndarray], path: Path, *, milliseconds: int, last: int) -> None:
    """Write pictures of one size as the frames of a GIF that loops for ever.

    The colours are reduced to one palette for all frames, without dithering, so that nothing flickers.

    Args:
        frames: PNG files, or (H, W, C) uint8, grey (C = 1) or colour (C = 3); at least one.
        milliseconds: how long each frame is shown.
        last: how long the last one is shown, in milliseconds.

    Raises:
        OutputError: if the file cannot be written.
    """
    palette = _palette(evenly(frames, PALETTE_FRAMES))
    pictures = [_read(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with atomic_file(path) as file:
        pictures[0].save(
            file,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=[milliseconds] * (len(pictures) - 1) + [last],
            loop=0,
        )


def is_readable(picture: Path) -> bool:
    """Whether a file is a whole picture; a crash of the system may leave one without its content."""
    try:
        _read(picture)
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for a damaged file
        return False
    return True


def evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return at most `most` items, evenly spaced. From two on, the first and the last are among them.

    Example:
        >>> evenly([0, 1, 2, 3, 4], 3)
        [0, 2, 4]
    """
    count = min(len(items), most)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]


def _palette(frames: Sequence[Path | np.ndarray]) -> Image.Image:
    """A palette of 255 colours for all of these frames."""
    pictures = [_read(frame) for frame in frames]
    width, height = pictures[0].size
    together = Image.new("RGB", (width, height * len(pictures)))
    for index, picture in enumerate(pictures):
        together.paste(picture, (0, index * height))
    return together.quantize(255)


def _read(frame: Path | np.ndarray) -> Image.Image:
    if isinstance(frame, Path):
        with Image.open(frame) as image:
            return image.convert("RGB")
    return as_image(frame).convert("RGB")
