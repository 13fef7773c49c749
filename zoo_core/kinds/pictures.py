"""Pictures: 8-bit arrays, grids, PNG and WebP files, and folders. Only converting tensors imports torch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import OutputError, printable
from zoo_core.files.atomic import atomic_file, atomic_folder, temporary_sibling

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from zoo_core.kinds.layout import Layout
    from zoo_core.runtime.processes import Processes

MAX_GRID_IMAGES = 10_000
PNG_CHANNELS = (1, 3)  # grey or colour; with 2 or 4 the last would be shown as transparency
PADDING = 2  # pixels between the pictures of a grid
STILL = (".png", ".webp")  # the suffixes of single pictures
LARGEST_SIDES = {".webp": 16_383, ".gif": 65_535}  # in pixels, by the format
FORMAT_NAMES = {".png": "PNG", ".webp": "WebP", ".gif": "GIF"}


def check_picture(out: Path | None, suffixes: tuple[str, ...]) -> str:
    """Return the suffix of a picture that is to be written: the first of `suffixes` if no name is given.

    Raises:
        OutputError: for another suffix, or a folder that does not exist.
    """
    if out is None:
        return suffixes[0]
    if out.suffix.lower() not in suffixes or out.is_dir():
        names = " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))
        raise OutputError(f"{printable(out, 200)} cannot be written: use a name in {names}")
    if not out.parent.is_dir():
        raise OutputError(f"{printable(out, 200)} cannot be written: there is no folder {printable(out.parent, 200)}")
    return out.suffix.lower()


def refuse_to_overwrite(out: Path, pictures: Iterable[Path]) -> None:
    """Raise OutputError if `out` is one of the pictures that a command reads, under this or another name."""
    if any(out.exists() and picture.exists() and out.samefile(picture) for picture in pictures):
        raise OutputError(f"{printable(out, 200)} is one of the pictures; choose another name for the output")


def problem_with_size(suffix: str, width: int, height: int) -> str | None:
    """Return why no picture of this size fits into a format, as the end of a sentence; None if it does.

    Example:
        >>> problem_with_size(".webp", 20_000, 30)
        'a WebP has at most 16,383 pixels on a side, and this picture is 20,000 x 30'
    """
    most = LARGEST_SIDES.get(suffix)
    if most is None or max(width, height) <= most:
        return None
    return f"a {FORMAT_NAMES[suffix]} has at most {most:,} pixels on a side, and this picture is {width:,} x {height:,}"


def write_grid(pictures: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write all pictures, (N, H, W, C) uint8 each batch, as one grid in a PNG or a WebP file."""
    height, width, channels = layout.item_shape
    save_picture(_fill_grid(pictures, layout.count, height, width, channels), path)


def write_folder(pictures: Iterable[np.ndarray], layout: Layout, path: Path) -> None:
    """Write each picture as a PNG file in a new folder: 000000.png, 000001.png and so on, from the first index on."""
    with atomic_folder(path, durable=False) as temporary:
        write_pictures(pictures, layout.start, layout.start + layout.count, temporary)
        if path.exists():
            path.rmdir()  # which refuses a folder that was filled meanwhile


def write_folder_share(
    pictures: Iterable[np.ndarray], start: int, layout: Layout, path: Path, processes: Processes
) -> None:
    """Write this process's pictures, from index `start`, into a folder that all processes fill together.

    All write into the temporary folder of the first process, which renames it when every one is done.
    """
    token = processes.common_token()
    with atomic_folder(path, durable=False, token=token) if processes.first else contextlib.nullcontext():
        processes.wait()
        write_pictures(pictures, start, layout.start + layout.count, temporary_sibling(path, token))
        processes.wait()
        if processes.first and path.exists():
            path.rmdir()  # which refuses a folder that was filled meanwhile


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert (N, C, H, W) in [0, 1] to (N, H, W, C) uint8, rounded to the nearest. Contrast is never stretched.

    Example:
        >>> import torch
        >>> to_uint8(torch.tensor([[[[0.0, 0.5, 1.0]]]])).ravel().tolist()
        [0, 128, 255]
    """
    import torch

    pixels = (images.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    array: np.ndarray = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def from_uint8(pictures: np.ndarray) -> Tensor:
    """Convert (N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1].

    Example:
        >>> import numpy as np
        >>> from_uint8(np.array([[[[0], [255]]]], np.uint8))
        tensor([[[[0., 1.]]]])
    """
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def padded(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Stack pictures (H, W, C) to (N, H, W, C): smaller ones on black, and grey ones in colour if one is in colour.

    Example:
        >>> import numpy as np
        >>> padded([np.ones((2, 3, 1), np.uint8), np.ones((4, 1, 3), np.uint8)]).shape
        (2, 4, 3, 3)
    """
    import numpy as np

    shapes = np.array([picture.shape for picture in pictures]).max(axis=0)
    stacked = np.zeros((len(pictures), *shapes), np.uint8)
    for canvas, picture in zip(stacked, pictures, strict=True):
        canvas[: picture.shape[0], : picture.shape[1]] = picture
    return stacked


def grid(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arrange (N, H, W, C) uint8 in one picture (H', W', C), row by row, on black; nearly square without `columns`.

    Example:
        >>> import numpy as np
        >>> grid(np.zeros((6, 28, 28, 1), np.uint8)).shape  # two rows of three, 2 pixels apart
        (62, 92, 1)
    """
    n, height, width, channels = pictures.shape
    return _fill_grid([pictures], n, height, width, channels, columns)


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write (H, W, C) uint8, grey (C = 1) or colour (C = 3), as a PNG file or, by the suffix, a lossless WebP.

    Raises:
        OutputError: if it cannot be written, or is too large for a WebP.
    """
    if path.suffix.lower() != ".webp":
        save_png(picture, path)
        return
    refuse_size(path, picture.shape[1], picture.shape[0])
    with atomic_file(path) as file:
        as_image(picture).save(file, "WEBP", lossless=True)


def save_png(picture: np.ndarray, path: Path) -> None:
    """Write (H, W, C) uint8, grey (C = 1) or colour (C = 3), as a PNG file. Raises OutputError."""
    with atomic_file(path) as file:
        as_image(picture).save(file, "PNG", optimize=True)


def refuse_size(path: Path, width: int, height: int) -> None:
    """Raise OutputError if no picture of this size fits into the format that the suffix of a path names."""
    problem = problem_with_size(path.suffix.lower(), width, height)
    if problem is not None:
        raise OutputError(f"{printable(path, 200)} cannot be written: {problem}; use a name in .png")


def size_of_grid(n: int, height: int, width: int, columns: int | None = None) -> tuple[int, int]:
    """Return the width and the height of a grid of n pictures, in pixels.

    Example:
        >>> size_of_grid(6, 28, 28)
        (92, 62)
    """
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    return columns * (width + PADDING) + PADDING, rows * (height + PADDING) + PADDING


def _fill_grid(
    pictures: Iterable[np.ndarray], n: int, height: int, width: int, channels: int, columns: int | None = None
) -> np.ndarray:
    import numpy as np

    columns = columns or math.ceil(math.sqrt(n))
    across, down = size_of_grid(n, height, width, columns)
    canvas = np.zeros((down, across, channels), np.uint8)
    for index, picture in _numbered(pictures):
        row, column = divmod(index, columns)
        top, left = PADDING + row * (height + PADDING), PADDING + column * (width + PADDING)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def _numbered(batches: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    index = 0
    for batch in batches:
        for item in batch:
            yield index, item
            index += 1


def write_pictures(batches: Iterable[np.ndarray], start: int, n: int, folder: Path) -> None:
    """Write pictures start, start + 1, … of n, (N, H, W, C) uint8 each batch, as PNG files in an existing folder."""
    digits = max(6, len(str(n - 1)))
    for index, picture in _numbered(batches):
        as_image(picture).save(folder / f"{start + index:0{digits}d}.png", "PNG")


def as_image(array: np.ndarray) -> Image.Image:
    """Convert (H, W, C) uint8, grey (C = 1) or colour (C = 3), to Pillow's image."""
    from PIL import Image

    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
