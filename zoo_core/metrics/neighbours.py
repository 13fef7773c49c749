"""The pictures of a data set that are nearest to samples, which give away a model that memorises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.interfaces import Generator
from zoo_core.kinds.pictures import grid, save_png, to_uint8
from zoo_core.metrics.inputs import require_samples

SAMPLES, NEAREST = 10, 7  # rows of the picture, and its columns besides that of the sample
_BLOCK = 2048  # pictures of the data compared at a time


def write_neighbours(generator: Generator, source: TrainingData | Path, out: Path, *, seed: int = 0) -> None:
    """Write a PNG of the first samples of a seed beside their nearest neighbours in the data.

    Raises:
        MetricError: if the data is a file of statistics, without pictures.
        OutputError: if the file cannot be written.
    """
    data = require_samples(source, "neighbours")
    samples = torch.from_numpy(to_uint8(generator.sample(SAMPLES, seed=seed))).permute(0, 3, 1, 2)
    save_png(neighbours_picture(samples, data), out)


def nearest(samples: Tensor, data: TrainingData, count: int = NEAREST) -> Tensor:
    """Return the indices of the pictures of the data that are nearest to each sample, in Euclidean distance of pixels.

    Args:
        samples: (S, C, H, W), uint8.
        data: pictures of the same shape.
        count: number of neighbours.

    Returns:
        (S, count), int64, the nearest first; fewer columns if the data has fewer pictures.

    Example:
        >>> data = TrainingData.from_tensors(torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 1, 2, 2))
        >>> nearest(torch.full((1, 1, 2, 2), 4, dtype=torch.uint8), data, count=3)
        tensor([[4, 3, 2]])
    """
    rows = samples.flatten(1).double()
    best = torch.full((len(samples), 0), torch.inf, dtype=torch.float64)
    indices = torch.zeros((len(samples), 0), dtype=torch.int64)
    for start, pictures in _blocks(data):
        distances = torch.cat([best, torch.cdist(rows, pictures.flatten(1).double())], 1)
        numbers = torch.arange(start, start + len(pictures)).expand(len(samples), -1)
        best, chosen = distances.topk(min(count, distances.shape[1]), largest=False)
        indices = torch.cat([indices, numbers], 1).gather(1, chosen)
    return indices


def neighbours_picture(samples: Tensor, data: TrainingData, count: int = NEAREST) -> np.ndarray:
    """Return a grid with one sample per row and its nearest pictures of the data to its right: (H', W', C), uint8."""
    indices = nearest(samples, data, count)
    rows = [torch.cat([sample[None], data.take(row.tolist())]) for sample, row in zip(samples, indices, strict=True)]
    return grid(torch.cat(rows).permute(0, 2, 3, 1).numpy(), columns=1 + indices.shape[1])


def _blocks(data: TrainingData) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(data), _BLOCK):
        yield start, data.take(range(start, min(start + _BLOCK, len(data))))
