"""Pictures (channels, height, width), in [0, 1] wherever a user meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.data.source import DataSource
from zoo_core.data.splits import TRAIN
from zoo_core.kinds.arrays import write_npz, write_npz_share
from zoo_core.kinds.films import write_film_of_samples
from zoo_core.kinds.formats import FOLDER, Format, KindWithFormats, words_of
from zoo_core.kinds.pictures import (
    FORMAT_NAMES,
    MAX_GRID_IMAGES,
    PNG_CHANNELS,
    grid,
    problem_with_size,
    size_of_grid,
    to_uint8,
    write_folder,
    write_folder_share,
    write_grid,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator

    Problem = Callable[[int, tuple[int, ...] | None], str | None]


def _channels(suffix: str) -> Problem:
    def problem(n: int, sample_shape: tuple[int, ...] | None) -> str | None:
        if sample_shape is None or sample_shape[0] in PNG_CHANNELS:
            return None
        allowed = " or ".join(map(str, PNG_CHANNELS))
        return f"a {FORMAT_NAMES[suffix]} has {allowed} channels, not {sample_shape[0]}"

    return problem


def _grid(suffix: str) -> Problem:
    def problem(n: int, sample_shape: tuple[int, ...] | None) -> str | None:
        if n > MAX_GRID_IMAGES:
            return f"{n:,} pictures are too many for one grid ({MAX_GRID_IMAGES:,} at most)"
        if sample_shape is None:
            return None
        return _channels(suffix)(n, sample_shape) or problem_with_size(suffix, *size_of_grid(n, *sample_shape[1:]))

    return problem


def _film(n: int, sample_shape: tuple[int, ...] | None) -> str | None:
    if n > MAX_GRID_IMAGES:
        return f"{n:,} pictures are too many for one film ({MAX_GRID_IMAGES:,} at most)"
    if sample_shape is None:
        return None
    return _channels(".gif")(n, sample_shape) or problem_with_size(".gif", sample_shape[2], sample_shape[1])


FORMATS = {
    ".png": Format(words="a grid", write=write_grid, problem=_grid(".png")),
    ".webp": Format(words="a grid, lossless", write=write_grid, problem=_grid(".webp")),
    ".npz": Format(words="an array", write=write_npz, write_share=write_npz_share),
    ".gif": Format(words="a film, one after the other", write=write_film_of_samples, problem=_film),
    FOLDER: Format(words="PNG files", write=write_folder, write_share=write_folder_share, problem=_channels(".png")),
}


class ImageKind(KindWithFormats):
    """Pictures: written as a grid, an array, a film or a folder of files, and shown as a grid."""

    name, noun = "image", ("picture", "pictures")
    pipeline_tag = "unconditional-image-generation"
    formats = FORMATS
    suffixes = MappingProxyType(words_of(FORMATS))

    def as_arrays(self, batches: Iterable[Tensor]) -> Iterator[np.ndarray]:
        return map(to_uint8, batches)

    def picture(self, samples: Tensor, generator: Generator, *, columns: int | None = None) -> np.ndarray | None:
        return grid(to_uint8(samples), columns)

    def open(
        self,
        source: str | Path,
        *,
        split: str = TRAIN,
        column: str | None = None,
        label_column: str | None = None,
        skip_damaged: bool = False,
        **how: Any,
    ) -> DataSource:
        from zoo_core.data.opening import open_images

        return open_images(
            source, split=split, image_column=column, label_column=label_column, skip_damaged=skip_damaged
        )

    def to_public(self, output: Tensor, generator: Generator) -> Tensor:
        return generator.to_unit(output.float()).clamp(0, 1).float()
