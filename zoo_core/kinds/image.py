"""Pictures (channels, height, width), in [0, 1] wherever a user meets them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.data.source import DataSource
from zoo_core.data.splits import TRAIN
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.output import write_samples
from zoo_core.kinds.pictures import grid, to_uint8

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator


class ImageKind(Kind):
    """Pictures: written as a grid, an array or a folder of files, and shown as a grid."""

    name, noun = "image", ("picture", "pictures")
    pipeline_tag = "unconditional-image-generation"
    suffixes = MappingProxyType({".png": "a grid", ".npz": "an array", "/": "a folder of PNG files"})

    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path) -> Path:
        return write_samples(batches, n, generator.sample_shape, self.name, path)

    def picture(self, samples: Tensor, generator: Generator) -> np.ndarray | None:
        return grid(to_uint8(samples))

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
