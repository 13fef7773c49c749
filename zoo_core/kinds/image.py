"""Pictures and arrays on disk: grids, PNG, .npz and folders, streamed and written whole or not at all."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from zoo_core.errors import OutputError, SamplingError, printable
from zoo_core.files.atomic import atomic_file, atomic_folder

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

MAX_GRID_IMAGES = 10_000
PADDING = 2  # pixels between the pictures of a grid
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest date: the same samples make the same bytes
_Kind = Literal["image", "tensor"]
_Format = Literal["png", "npz", "folder"]


def check_output(out: str | Path, kind: _Kind | None, n: int) -> _Format:
    """How samples will be written to `out`; asks nothing of torch, so that mistakes are told at once.

    Args:
        out: a name in .png (a grid), in .npz, or of a folder: one without a suffix, with a slash at its end, or an
            empty folder that is there.
        kind: of the generator, None where it is not known yet.

    Raises:
        OutputError: for a suffix, a count or a place that cannot be written.
    """
    how, path = _format_of(out), Path(out).expanduser()
    if how is None:
        raise OutputError(f"{out} cannot be written: use a name in .png (a grid), in .npz, or of a folder")
    if kind == "tensor" and how != "npz":
        raise OutputError(f"{out} cannot be written: this model makes tensors, not pictures; use a name in .npz")
    if how == "png" and n > MAX_GRID_IMAGES:
        raise OutputError(
            f"{n:,} pictures are too many for one grid ({MAX_GRID_IMAGES:,} at most); use a name in .npz or of a folder"
        )
    if not path.parent.is_dir():
        raise OutputError(f"{out} cannot be written: there is no folder {path.parent}")
    if how != "folder" and path.is_dir():
        raise OutputError(f"{out} cannot be written: it is a folder")
    if how == "folder" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{out} cannot be written: it exists already and is not an empty folder")
    return how


def _format_of(out: str | Path) -> _Format | None:
    suffix = Path(out).suffix.lower()
    if str(out).endswith(("/", os.sep)) or suffix == "":
        return "folder"
    if suffix == ".png":
        return "png"
    if suffix == ".npz":
        return "npz"
    return "folder" if Path(out).expanduser().is_dir() else None


def check_picture(out: Path | None, suffixes: tuple[str, ...]) -> str:
    """The suffix of a picture to write, the first of `suffixes` where no name is given. Raises OutputError."""
    if out is None:
        return suffixes[0]
    if out.suffix.lower() not in suffixes or out.is_dir():
        raise OutputError(f"{printable(out, 200)} cannot be written: use a name in {' or '.join(suffixes)}")
    if not out.parent.is_dir():
        raise OutputError(f"{printable(out, 200)} cannot be written: there is no folder {printable(out.parent, 200)}")
    return out.suffix.lower()


def require_pictures(kind: _Kind, what: str) -> None:
    """Raise OutputError where a generator makes tensors, for a command that shows pictures."""
    if kind != "image":
        raise OutputError(f"this model makes tensors, not pictures: there is nothing to {what}")


def write_samples(
    batches: Iterable[Tensor], n: int, sample_shape: tuple[int, ...], kind: _Kind, out: str | Path
) -> Path:
    """Write n samples, as they come, as a grid (.png), an array (.npz) or a folder of PNG files.

    Memory is bounded by one batch, and for a grid by its picture. Nothing half-written stays behind.

    Args:
        batches: (N, *sample_shape) each, n samples in all; images (channels, height, width) in [0, 1].

    Returns:
        The path that was written.

    Raises:
        OutputError: where it cannot be written. SamplingError: where there are more or fewer than n samples.
    """
    how, path = check_output(out, kind, n), Path(out).expanduser()
    batches = _exactly(n, batches)
    if kind == "tensor":
        _write_npz((batch.numpy() for batch in batches), n, sample_shape, "<f4", path)
        return path
    channels, height, width = sample_shape
    if how != "npz" and channels not in (1, 3):
        raise OutputError(f"{out} cannot be written: a PNG has 1 or 3 channels, not {channels}; use a name in .npz")
    pictures = (to_uint8(batch) for batch in batches)
    if how == "npz":
        _write_npz(pictures, n, (height, width, channels), "|u1", path)
    elif how == "png":
        save_png(_fill_grid(pictures, n, height, width, channels), path)
    else:
        _write_folder(pictures, n, path)
    return path


def _exactly(n: int, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The batches, as long as they hold n samples: the header of an .npz, already written, says so."""
    count = 0
    for batch in batches:
        count += len(batch)
        if count > n:
            break
        yield batch
    if count != n:
        raise SamplingError(f"there are {'more' if count > n else 'fewer'} samples than the {n:,} that were asked for")


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, C, H, W) in [0, 1] to (N, H, W, C) uint8, rounded to the nearest; never stretched in contrast."""
    import torch

    pixels = (images.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    array: np.ndarray = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def from_uint8(pictures: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def stack(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, C) of one size as (N, H, W, C)."""
    import numpy as np

    return np.stack(list(pictures))


def grid(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """(N, H, W, C) uint8 as one picture (H', W', C), row by row, on black: nearly square without `columns`."""
    n, height, width, channels = pictures.shape
    return _fill_grid([pictures], n, height, width, channels, columns)


def save_png(picture: np.ndarray, path: Path) -> None:
    """(H, W, C) uint8, grey (C = 1) or colour (C = 3), as a PNG. Raises OutputError."""
    with atomic_file(path) as file:
        as_image(picture).save(file, "PNG", optimize=True)


def _fill_grid(
    pictures: Iterable[np.ndarray], n: int, height: int, width: int, channels: int, columns: int | None = None
) -> np.ndarray:
    import numpy as np

    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    shape = (rows * (height + PADDING) + PADDING, columns * (width + PADDING) + PADDING, channels)
    canvas = np.zeros(shape, np.uint8)
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


def _write_npz(arrays: Iterable[np.ndarray], n: int, shape: tuple[int, ...], dtype: str, path: Path) -> None:
    """numpy's own format, but in a stream: the header first, then each batch as it comes."""
    import numpy as np

    with npz_member(path, n, shape, dtype) as member:
        for array in arrays:
            member.write(np.ascontiguousarray(array, dtype).data.cast("B"))


@contextmanager
def npz_member(path: Path, n: int, shape: tuple[int, ...], dtype: str) -> Iterator[IO[bytes]]:
    """The inside of an .npz with `arr_0`, (n, *shape), its header written and its values to come, in C order."""
    import numpy as np

    header = {"descr": dtype, "fortran_order": False, "shape": (n, *shape)}
    with (
        atomic_file(path) as file,
        zipfile.ZipFile(file, "w") as archive,
        archive.open(zipfile.ZipInfo("arr_0.npy", _EPOCH), "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
        yield member


def _write_folder(pictures: Iterable[np.ndarray], n: int, path: Path) -> None:
    with atomic_folder(path, durable=False) as temporary:
        write_pictures(pictures, 0, n, temporary)
        if path.exists():
            path.rmdir()  # which refuses one that was filled meanwhile


def write_pictures(batches: Iterable[np.ndarray], start: int, n: int, folder: Path) -> None:
    """Pictures start, start + 1, … of n, (N, H, W, C) uint8 each batch, as PNG files in a folder that is there."""
    digits = max(6, len(str(n - 1)))
    for index, picture in _numbered(batches):
        as_image(picture).save(folder / f"{start + index:0{digits}d}.png", "PNG")


def as_image(array: np.ndarray) -> Image.Image:
    """(H, W, C) uint8, grey (C = 1) or colour (C = 3), as Pillow has it."""
    from PIL import Image

    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
