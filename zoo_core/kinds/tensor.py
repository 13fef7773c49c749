"""Tensors: samples of any shape and meaning, such as points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.output import write_samples

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator


class TensorKind(Kind):
    """Tensors of any shape, written as an array."""

    name = "tensor"
    suffixes = MappingProxyType({".npz": "an array"})

    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path) -> Path:
        return write_samples(batches, n, generator.sample_shape, self.name, path)
