"""Films: animated GIFs and WebPs of samples, of the grids of a run, or of a walk through a latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.files.atomic import atomic_file
from zoo_core.kinds.pictures import as_image, refuse_size

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from zoo_core.kinds.layout import Layout

FILMS = (".gif", ".webp")  # the suffixes of films
PALETTE_FRAMES = 8  # frames from which the palette is chosen
SAMPLE_MILLISECONDS = 250  # how long each sample is shown in a film of them
_Item = TypeVar("_Item")


def write_film(
    frames: Sequence[Path | np.ndarray],
    path: Path,
    *,
    milliseconds: int,
    last: int,
    palette_frames: int = PALETTE_FRAMES,
) -> None:
    """Write pictures as the frames of a film that loops for ever: a GIF or, by the suffix, a lossless animated WebP.

    The colours of a GIF are reduced to one palette for all frames, without dithering, so that nothing flickers. Frames
    that are smaller than others are shown on black.

    Args:
        frames: PNG files, or (H, W, C) uint8, grey (C = 1) or colour (C = 3); at least one.
        milliseconds: how long each frame is shown.
        last: how long the last one is shown, in milliseconds.
        palette_frames: number of frames from which the palette of a GIF is chosen.

    Raises:
        OutputError: if the file cannot be written.
    """
    from PIL import Image

    pictures = _of_one_size([_read(frame) for frame in frames])
    refuse_size(path, *pictures[0].size)
    times = [milliseconds] * (len(pictures) - 1) + [last]
    if path.suffix.lower() == ".webp":
        how: dict[str, Any] = {"format": "WEBP", "lossless": True}
    else:
        palette = _palette(evenly(pictures, palette_frames))
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        how = {"format": "GIF"}
    with atomic_file(path) as file:
        pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=times, loop=0, **how)


def write_film_of_samples(pictures: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write pictures, (N, H, W, C) uint8 each batch, as a film that shows one after the other."""
    frames = [picture for batch in pictures for picture in batch]
    times = {"milliseconds": SAMPLE_MILLISECONDS, "last": SAMPLE_MILLISECONDS}
    write_film(frames, path, **times, palette_frames=layout.count)


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


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """A palette of 255 colours for all of these pictures, which have one size."""
    from PIL import Image

    width, height = pictures[0].size
    together = Image.new("RGB", (width, height * len(pictures)))
    for index, picture in enumerate(pictures):
        together.paste(picture, (0, index * height))
    return together.quantize(255)


def _of_one_size(pictures: list[Image.Image]) -> list[Image.Image]:
    from PIL import Image

    size = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    for index, picture in enumerate(pictures):
        if picture.size != size:
            pictures[index] = Image.new("RGB", size)
            pictures[index].paste(picture)
    return pictures


def _read(frame: Path | np.ndarray) -> Image.Image:
    from PIL import Image

    if isinstance(frame, Path):
        with Image.open(frame) as image:
            return image.convert("RGB")
    return as_image(frame).convert("RGB")
