"""Distances between two sets of features: Fréchet (FID), kernel (KID), and precision, recall, density and coverage.

FID: Heusel et al., arXiv 1706.08500. KID: Bińkowski et al., arXiv 1801.01401. Precision and recall: Kynkäänniemi et
al., arXiv 1904.06991. Density and coverage: Naeem et al., arXiv 2002.09797.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import MetricError
from zoo_core.metrics.statistics import FeatureStatistics

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000  # the defaults of torch-fidelity and torchmetrics
KID_SUBSET_SEED = 0
NEIGHBOURS = 5  # k of precision, recall, density and coverage
_BLOCK_VALUES = 2**23  # distances computed at a time: 64 MB


# FID


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Return the Fréchet distance between two sets of features, each treated as a Gaussian.

    |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), in squared units of the features; 0 is best. The estimate is biased upwards,
    more so for smaller sets: compare only figures computed from the same numbers of samples.

    Example:
        >>> from zoo_core.metrics import FeatureStatistics
        >>> mean, identity = torch.zeros(2).double(), torch.eye(2).double()
        >>> first = FeatureStatistics(100, mean, identity, torch.zeros(100, 2), {})
        >>> second = FeatureStatistics(100, mean + 3, identity, torch.zeros(100, 2), {})
        >>> round(frechet_distance(first, second), 6)
        18.0
    """
    return gaussian_distance(first.mean, first.covariance, second.mean, second.covariance)


def gaussian_distance(mean_1: Tensor, covariance_1: Tensor, mean_2: Tensor, covariance_2: Tensor) -> float:
    """Return the squared 2-Wasserstein distance between two Gaussians, computed in float64.

    Tr (Σ₁Σ₂)^½ is the sum of the square roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½. That matrix is symmetric and has the
    eigenvalues of Σ₁Σ₂; unlike a matrix square root, they can be computed reliably even for a singular covariance.

    Args:
        mean_1, mean_2: (D,).
        covariance_1, covariance_2: (D, D).
    """
    values, vectors = torch.linalg.eigh(covariance_1.double())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ covariance_2.double() @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (mean_1.double() - mean_2.double()).square().sum()
    distance += covariance_1.double().trace() + covariance_2.double().trace() - 2 * overlap
    return max(0.0, distance.item())  # rounding may leave it slightly negative


# KID


class KernelDistance(NamedTuple):
    """Mean and standard deviation of the squared MMD over the subsets."""

    mean: float
    deviation: float


def kernel_distance(
    first: Tensor,
    second: Tensor,
    *,
    subsets: int = KID_SUBSETS,
    subset_size: int = KID_SUBSET_SIZE,
    seed: int = KID_SUBSET_SEED,
) -> KernelDistance:
    """Return the squared maximum mean discrepancy under k(x, y) = (x·y / D + 1)³, averaged over random subsets.

    The estimate is unbiased: its mean does not depend on the number of features, and may be slightly negative.

    Args:
        first, second: features (N, D) and (M, D).
        subsets: number of subsets.
        subset_size: features drawn from each set for one subset, without replacement; all if there are fewer.
        seed: seed for drawing the subsets.

    Raises:
        MetricError: for fewer than two features in either set.

    Example:
        >>> features = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> kernel_distance(features[:250], features[250:]).mean < kernel_distance(features[:250], features + 1).mean
        True
    """
    size = min(subset_size, len(first), len(second))
    if size < 2:
        raise MetricError(f"kid needs at least two samples and two of the data, not {len(first)} and {len(second)}")
    if size == len(first) == len(second):
        subsets = 1  # all would be the same
    random = np.random.default_rng(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        chosen = (torch.from_numpy(random.choice(len(some), size, replace=False)) for some in (first, second))
        x, y = (some[rows].double() for some, rows in zip((first, second), chosen, strict=True))
        values[index] = squared_mmd(x, y)
    return KernelDistance(float(values.mean()), float(values.std()))


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased estimate, which leaves out the diagonals, for n features of each set: (n, D), float64."""
    n = len(x)
    within = sum(float(kernel.sum() - kernel.trace()) for kernel in (_cubic(x, x), _cubic(y, y)))
    return within / (n * (n - 1)) - 2 * float(_cubic(x, y).mean())


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # pow(base, 3) takes several times as long


# Precision, recall, density and coverage: which features are in balls around others, where the radius of a ball is the
# distance to the k-th nearest neighbour. Distances are computed in blocks, so that memory grows linearly with the
# number of features, not quadratically.


class ManifoldFigures(NamedTuple):
    """Precision, recall and coverage are between 0 and 1, density may be larger; higher is better.

    Attributes:
        precision: share of samples in the ball of one of the data: fidelity.
        recall: share of the data in the ball of a sample: variety.
        density: mean number of balls of the data that a sample is in, divided by k: fidelity, robust to outliers.
        coverage: share of the data with a sample in their ball: variety, robust to outliers.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_figures(real: Tensor, fake: Tensor, *, neighbours: int = NEIGHBOURS) -> ManifoldFigures:
    """Return precision, recall, density and coverage of features `fake` (M, D) against `real` (N, D).

    Args:
        neighbours: k.

    Raises:
        MetricError: unless there are more than k features in each set.

    Example:
        >>> features = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
        >>> manifold_figures(features, features + 100)
        ManifoldFigures(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    """
    if min(len(real), len(fake)) <= neighbours:
        raise MetricError(
            f"prdc with k = {neighbours} needs more than {neighbours} of the data and of samples, "
            f"not {len(real)} and {len(fake)}"
        )
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = radii(real, neighbours), radii(fake, neighbours)
    balls: list[Tensor] = []
    recalled = torch.zeros(len(real), dtype=torch.bool)
    nearest = torch.full((len(real),), torch.inf, dtype=torch.float64)
    for start, distances in _blocks(fake, real):  # (n, N)
        balls.append((distances <= real_radius).sum(1))
        recalled |= (distances <= fake_radius[start : start + len(distances), None]).any(0)
        nearest = torch.minimum(nearest, distances.amin(0))
    hits = torch.cat(balls).double()
    return ManifoldFigures(
        precision=(hits > 0).double().mean().item(),
        recall=recalled.double().mean().item(),
        density=hits.mean().item() / neighbours,
        coverage=(nearest <= real_radius).double().mean().item(),
    )


def radii(features: Tensor, neighbours: int) -> Tensor:
    """Return the distance of each feature (N, D) to its k-th nearest neighbour, itself not counted: (N,)."""
    nearest = (distances.topk(neighbours + 1, largest=False).values for _, distances in _blocks(features, features))
    return torch.cat([distances[:, -1] for distances in nearest])


def _blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the distances of some rows to all columns, (n, N), with the index of the first of those rows."""
    step = max(1, _BLOCK_VALUES // len(columns))
    for start in range(0, len(rows), step):
        yield start, torch.cdist(rows[start : start + step], columns)
