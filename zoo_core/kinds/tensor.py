"""Tensors: samples of any shape and meaning, such as points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.data.source import DataSource, ReadSource
from zoo_core.data.splits import TRAIN
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

    def open(
        self, source: str | Path, *, split: str = TRAIN, label_column: str | None = None, **how: Any
    ) -> DataSource:
        from zoo_core.data.tensor_files import read_tensors

        return ReadSource(read_tensors(source, split=split, label_column=label_column))
