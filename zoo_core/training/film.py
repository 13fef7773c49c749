"""The sample grids of a run as an animated GIF: the same latents, from the first grid to the last."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from zoo_core.atomic import atomic_file

MAX_FRAMES = 100
PALETTE_FRAMES = 8  # from which the colours are chosen
_SHOWN, _LAST_SHOWN = 100, 2000  # milliseconds


def write_film(grids: list[Path], path: Path) -> None:
    """Write the PNG files `grids` as frames of one GIF, evenly chosen where there are more than MAX_FRAMES.

    Colours are reduced to one palette for all frames, without dithering, so that nothing flickers.

    Raises:
        OutputError: where it cannot be written.
    """
    chosen = _evenly(grids, MAX_FRAMES)
    palette = _palette(_evenly(chosen, PALETTE_FRAMES))
    frames = [_read(grid).quantize(palette=palette, dither=Image.Dither.NONE) for grid in chosen]
    with atomic_file(path) as file:
        frames[0].save(
            file,
            "GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[_SHOWN] * (len(frames) - 1) + [_LAST_SHOWN],
            loop=0,
        )


def _evenly(grids: list[Path], most: int) -> list[Path]:
    """At most so many of them, the first and the last included."""
    count = min(len(grids), most)
    return [grids[round(index * (len(grids) - 1) / max(1, count - 1))] for index in range(count)]


def _palette(grids: list[Path]) -> Image.Image:
    """The 255 colours that suit these frames together."""
    frames = [_read(grid) for grid in grids]
    width, height = frames[0].size
    together = Image.new("RGB", (width, height * len(frames)))
    for index, frame in enumerate(frames):
        together.paste(frame, (0, index * height))
    return together.quantize(255)


def _read(grid: Path) -> Image.Image:
    with Image.open(grid) as image:
        return image.convert("RGB")
