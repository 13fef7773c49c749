"""Tensors: samples of any shape and meaning, such as points, in the dtype that the model gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.data.source import DataSource, ReadSource
from zoo_core.data.splits import TRAIN
from zoo_core.kinds.arrays import write_npy, write_npz, write_rows, write_safetensors
from zoo_core.kinds.formats import Format, KindWithFormats, words_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def _vectors(n: int, sample_shape: tuple[int, ...] | None) -> str | None:
    if sample_shape is None or len(sample_shape) <= 1:
        return None
    return f"a row of a table is a vector, and these samples are {' x '.join(map(str, sample_shape))}"


FORMATS = {
    ".npz": Format(words="an array", write=write_npz),
    ".npy": Format(words="an array", write=write_npy),
    ".safetensors": Format(words="a tensor", write=write_safetensors),
    ".csv": Format(words="a vector a row", write=write_rows, problem=_vectors),
}


class TensorKind(KindWithFormats):
    """Tensors of any shape, written as an array or, if they are vectors, as a table."""

    name, noun = "tensor", ("tensor", "tensors")
    formats = FORMATS
    suffixes = MappingProxyType(words_of(FORMATS))

    def as_arrays(self, batches: Iterable[Tensor]) -> Iterator[np.ndarray]:
        return (batch.numpy() for batch in batches)

    def open(
        self, source: str | Path, *, split: str = TRAIN, label_column: str | None = None, **how: Any
    ) -> DataSource:
        from zoo_core.data.tensor_files import read_tensors

        return ReadSource(read_tensors(source, split=split, label_column=label_column))
