"""The kernel distance between two sets of features: KID (Bińkowski et al., arXiv 1801.01401)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import MetricError

SUBSETS, SUBSET_SIZE = 100, 1000  # as torch-fidelity and torchmetrics have them
SUBSET_SEED = 0


class KernelDistance(NamedTuple):
    """Mean and standard deviation of the squared MMD over the subsets."""

    mean: float
    deviation: float


def kernel_distance(
    first: Tensor, second: Tensor, *, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = SUBSET_SEED
) -> KernelDistance:
    """The squared maximum mean discrepancy under k(x, y) = (x·y / D + 1)³, averaged over random subsets.

    Unbiased: the mean does not depend on how many pictures there are, and may be a little below 0.

    Args:
        first, second: features (N, D) and (M, D).
        subset_size: of each of the two; all where there are fewer.
        seed: of the subsets, which are drawn without replacement.

    Raises:
        MetricError: for fewer than two features.
    """
    size = min(subset_size, len(first), len(second))
    if size < 2:
        raise MetricError(f"kid needs at least two pictures of each kind, not {len(first)} and {len(second)}")
    random = np.random.default_rng(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        chosen = (torch.from_numpy(random.choice(len(some), size, replace=False)) for some in (first, second))
        x, y = (some[rows].double() for some, rows in zip((first, second), chosen, strict=True))
        values[index] = squared_mmd(x, y)
    return KernelDistance(float(values.mean()), float(values.std()))


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate, without the diagonals, of n features each: (n, D), float64."""
    n = len(x)
    within = sum(float(kernel.sum() - kernel.trace()) for kernel in (_cubic(x, x), _cubic(y, y)))
    return within / (n * (n - 1)) - 2 * float(_cubic(x, y).mean())


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a general power takes several times as long
