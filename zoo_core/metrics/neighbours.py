"""The pictures of a data set that lie nearest to samples: what a model that learns by heart gives away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.interfaces import Generator
from zoo_core.kinds.image import grid, save_png, to_uint8
from zoo_core.metrics.inputs import require_pictures

SAMPLES, NEAREST = 10, 7  # rows of the picture, and columns but for the first
_BLOCK = 2048  # pictures of the data at a time


def write_neighbours(generator: Generator, source: TrainingData | Path, out: Path, *, seed: int = 0) -> None:
    """Write the picture of the first samples of a seed and their nearest neighbours as a PNG.

    Raises:
        MetricError: where there is but a file of statistics. OutputError: where it cannot be written.
    """
    data = require_pictures(source, "neighbours")
    samples = torch.from_numpy(to_uint8(generator.sample(SAMPLES, seed=seed))).permute(0, 3, 1, 2)
    save_png(neighbours_picture(samples, data), out)


def nearest(samples: Tensor, data: TrainingData, count: int = NEAREST) -> Tensor:
    """The indices of the `count` pictures of the data nearest to each sample, by the sum of squared pixel differences.

    Args:
        samples: (S, C, H, W), uint8.

    Returns:
        (S, count), int64, the nearest first.
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
    """A sample a row, with its nearest pictures of the data to its right: (H', W', C), uint8."""
    found = nearest(samples, data, count)
    rows = [torch.cat([sample[None], data.take(row.tolist())]) for sample, row in zip(samples, found, strict=True)]
    return grid(torch.cat(rows).permute(0, 2, 3, 1).numpy(), columns=1 + found.shape[1])


def _blocks(data: TrainingData) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(data), _BLOCK):
        yield start, data.take(range(start, min(start + _BLOCK, len(data))))
