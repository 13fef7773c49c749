"""The samples of a data set that are nearest to those of a model, which give away a model that memorises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, printable
from zoo_core.interfaces import Generator, Kind
from zoo_core.interfaces.options import Choices
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.pictures import from_uint8, save_picture, to_uint8
from zoo_core.kinds.showing import nothing_to_see, picture_of, require_pictures
from zoo_core.metrics.inputs import require_samples

SAMPLES, NEAREST = 10, 7  # rows of the picture, and its columns besides that of the sample
_BLOCK = 2048  # samples of the data compared at a time


def write_neighbours(
    generator: Generator, source: TrainingData | Path, out: Path, *, seed: int = 0, options: Choices | None = None
) -> None:
    """Write a picture of the first samples of a seed beside their nearest neighbours in the data, a PNG or a WebP.

    Raises:
        MetricError: if the data is a file of statistics, without samples, or has samples of another shape.
        OutputError: if the file cannot be written, or samples of this kind have no pictures.
    """
    kind = kind_named(generator.kind)
    require_pictures(kind, "compare")
    data = require_samples(source, "neighbours")
    if data.sample_shape != tuple(generator.sample_shape):
        raise MetricError(
            f"{printable(data.name, 80)} has samples of {data.sample_shape}, but the model makes "
            f"{tuple(generator.sample_shape)}"
        )
    shown = neighbours_picture(generator, generator.sample(SAMPLES, seed=seed, options=options), data)
    if shown is None:
        raise nothing_to_see(kind, "compare")
    save_picture(shown, out)


def nearest(samples: Tensor, data: TrainingData, count: int = NEAREST, *, kind: Kind | None = None) -> Tensor:
    """Return the indices of the samples of the data that are nearest to each sample, in Euclidean distance of values.

    Args:
        samples: (S, *sample_shape), in the values of the data: pictures in uint8.
        data: samples of the same shape.
        count: number of neighbours.
        kind: what says which values are compared, and whether they are codes, of which the number that differs counts
            (Hamming, 1950); by default the samples themselves.

    Returns:
        (S, count), int64, the nearest first; fewer columns if the data has fewer samples.

    Example:
        >>> data = TrainingData.from_tensors(torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 2, 2))
        >>> nearest(torch.full((1, 1, 2, 2), 4, dtype=torch.uint8), data, count=3)
        tensor([[4, 3, 2]])
    """

    def comparable(values: Tensor) -> Tensor:
        return _as_rows(values if kind is None else kind.comparable(values))

    rows, codes = comparable(samples), kind is not None and kind.codes
    best = torch.full((len(samples), 0), torch.inf, dtype=torch.float64)
    indices = torch.zeros((len(samples), 0), dtype=torch.int64)
    for start, others in _blocks(data):
        distances = torch.cat([best, _distances(rows, comparable(others), codes)], 1)
        numbers = torch.arange(start, start + len(others)).expand(len(samples), -1)
        best, chosen = distances.topk(min(count, distances.shape[1]), largest=False)
        indices = torch.cat([indices, numbers], 1).gather(1, chosen)
    return indices


def neighbours_picture(
    generator: Generator, samples: Tensor, data: TrainingData, count: int = NEAREST
) -> np.ndarray | None:
    """Return a picture with one sample per row and its nearest neighbours in the data to its right.

    Args:
        generator: the model, whose kind shows its samples.
        samples: (S, *sample_shape), as `Generator.sample` returns them.
        data: samples of the same shape.
        count: number of neighbours.

    Returns:
        (H, W, C), uint8; None if samples of this kind have no pictures.
    """
    pictures = generator.kind == "image"
    own = torch.from_numpy(to_uint8(samples)).permute(0, 3, 1, 2) if pictures else samples
    indices = nearest(own, data, count, kind=kind_named(generator.kind))
    rows = []
    for sample, row in zip(samples, indices, strict=True):
        others = data.take(row.tolist())
        shown = from_uint8(others.permute(0, 2, 3, 1).numpy()) if pictures else others.to(samples.dtype)
        rows.append(torch.cat([sample[None], shown]))
    return picture_of(torch.cat(rows), generator, columns=1 + indices.shape[1])


def _as_rows(samples: Tensor) -> Tensor:
    """Samples as rows of real numbers, (N, values) float64."""
    values = torch.view_as_real(samples) if samples.is_complex() else samples
    return values.flatten(1).double() if values.ndim > 1 else values[:, None].double()


def _distances(rows: Tensor, others: Tensor, codes: bool) -> Tensor:
    if not codes:
        return torch.cdist(rows, others)
    return torch.stack([(row != others).sum(1, dtype=torch.float64) for row in rows])


def _blocks(data: TrainingData) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(data), _BLOCK):
        yield start, data.take(range(start, min(start + _BLOCK, len(data))))
