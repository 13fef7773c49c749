"""Output formats: what `-o` may name, and how each is written by one process or by several.

To add a format, write its function, and one for a share of the samples if several processes can write it together; then
enter it in FORMATS: checks, messages and help texts follow from there. Nothing here imports torch, so that a mistake in
a name is reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import OutputError, SamplingError
from zoo_core.files.paths import user_path
from zoo_core.kinds.arrays import write_npz, write_npz_share
from zoo_core.kinds.layout import Layout
from zoo_core.kinds.pictures import (
    MAX_GRID_IMAGES,
    PNG_CHANNELS,
    to_uint8,
    write_folder,
    write_folder_share,
    write_grid,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.runtime.processes import Processes


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """One of the forms in which samples are written.

    Attributes:
        name: what errors and tests call the format.
        how_to_ask: how to name an output in this format, as part of a sentence.
        write: called with batches as arrays (N, *item_shape), the layout, and the path.
        write_share: called by each of several processes, with the index of its first sample and the processes; None
            where the first process writes alone.
        pictures_only: whether it takes pictures and nothing else.
        most: the largest number of samples; None for any number.
        channels: the numbers of channels that a picture may have; None for any number.
    """

    name: str
    how_to_ask: str
    write: Callable[[Iterable[np.ndarray], Layout, Path], None]
    write_share: Callable[[Iterable[np.ndarray], int, Layout, Path, Processes], None] | None = None
    pictures_only: bool = False
    most: int | None = None
    channels: tuple[int, ...] | None = None


# By suffix; "/" is a folder.
FORMATS = {
    ".png": OutputFormat(
        name="png",
        how_to_ask="in .png (a grid)",
        write=write_grid,
        pictures_only=True,
        most=MAX_GRID_IMAGES,
        channels=PNG_CHANNELS,
    ),
    ".npz": OutputFormat(name="npz", how_to_ask="in .npz", write=write_npz, write_share=write_npz_share),
    "/": OutputFormat(
        name="folder",
        how_to_ask="of a folder",
        write=write_folder,
        write_share=write_folder_share,
        pictures_only=True,
        channels=PNG_CHANNELS,
    ),
}


def check_output(
    out: str | Path, kind: str | None, count: int, sample_shape: tuple[int, ...] | None = None
) -> OutputFormat:
    """Return the format in which samples will be written to `out`.

    Args:
        out: a name in .png (a grid), in .npz, or of a folder: one without a suffix, with a slash at its end, or an
            empty folder that exists.
        kind: the kind of the generator, "image" or "tensor"; None if it is not known yet.
        count: number of samples.
        sample_shape: the shape of one sample, (channels, height, width) for pictures; None if it is not known yet.

    Raises:
        OutputError: for a suffix, a count, a number of channels or a place that cannot be written.

    Example:
        >>> check_output("digits.png", "image", 64).name
        'png'
    """
    format, path = _format_of(out), user_path(out)
    if format is None:
        raise OutputError(f"{out} cannot be written: use a name {names_of_formats()}")
    if kind == "tensor" and format.pictures_only:
        ask = names_of_formats(lambda format: not format.pictures_only)
        raise OutputError(f"{out} cannot be written: this model makes tensors, not pictures; use a name {ask}")
    if format.most is not None and count > format.most:
        ask = names_of_formats(lambda format: format.most is None)
        raise OutputError(f"{count:,} pictures are too many for one grid ({format.most:,} at most); use a name {ask}")
    is_folder = format is FORMATS["/"]
    if not path.parent.is_dir():
        raise OutputError(f"{out} cannot be written: there is no folder {path.parent}")
    if not is_folder and path.is_dir():
        raise OutputError(f"{out} cannot be written: it is a folder")
    if is_folder and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{out} cannot be written: it exists already and is not an empty folder")
    if kind == "image" and sample_shape and format.channels and sample_shape[0] not in format.channels:
        allowed, ask = " or ".join(map(str, format.channels)), names_of_formats(lambda format: not format.channels)
        raise OutputError(
            f"{out} cannot be written: a PNG has {allowed} channels, not {sample_shape[0]}; use a name {ask}"
        )
    return format


def write_samples(batches: Iterable[Tensor], n: int, sample_shape: tuple[int, ...], kind: str, out: str | Path) -> Path:
    """Write n samples, as they come, in the format that the name asks for.

    Memory is bounded by one batch, and for a grid by its picture. Nothing half-written stays behind.

    Args:
        batches: (N, *sample_shape) each, n samples in all; images (channels, height, width) in [0, 1].
        kind: the kind of the generator, "image" or "tensor".

    Returns:
        The path that was written.

    Raises:
        OutputError: if it cannot be written. SamplingError: if there are more or fewer than n samples.
    """
    format, path = check_output(out, kind, n, sample_shape), user_path(out)
    format.write(as_arrays(exactly(n, batches), kind), Layout(kind, sample_shape, n), path)
    return path


def as_arrays(batches: Iterable[Tensor], kind: str) -> Iterator[np.ndarray]:
    """Batches of samples (N, *sample_shape) as they are written: pictures as (N, H, W, C) uint8, others as they are."""
    return (to_uint8(batch) if kind == "image" else batch.numpy() for batch in batches)


def _format_of(out: str | Path) -> OutputFormat | None:
    suffix = Path(out).suffix.lower()
    if str(out).endswith(("/", os.sep)) or suffix == "":
        return FORMATS["/"]
    if suffix in FORMATS:
        return FORMATS[suffix]
    return FORMATS["/"] if user_path(out).is_dir() else None


def names_of_formats(wanted: Callable[[OutputFormat], bool] = lambda format: True) -> str:
    """How to name an output in each of the wanted formats, for a text that begins with "a name".

    Example:
        >>> names_of_formats()
        'in .png (a grid), in .npz, or of a folder'
    """
    *first, last = [format.how_to_ask for format in FORMATS.values() if wanted(format)]
    return f"{', '.join(first)}{',' * (len(first) > 1)} or {last}" if first else last


def exactly(n: int, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The batches, as long as they hold n samples: the header of an .npz, already written, says so."""
    count = 0
    for batch in batches:
        count += len(batch)
        if count > n:
            break
        yield batch
    if count != n:
        raise SamplingError(f"there are {'more' if count > n else 'fewer'} samples than the {n:,} requested")
