"""Where samples lie beside real pictures: precision and recall (Kynkäänniemi et al., arXiv 1904.06991), density and
coverage (Naeem et al., arXiv 2002.09797).

All four ask which features lie in balls around others, whose radius is the distance to the k-th nearest neighbour.
Distances are computed in blocks, so that memory grows with the number of features and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo_core.errors import MetricError

NEIGHBOURS = 5  # k
_BLOCK_VALUES = 2**23  # distances at a time: 64 MB


class ManifoldFigures(NamedTuple):
    """Each from 0 to 1 but density, which may be larger; more is better.

    Attributes:
        precision: the share of samples that lie among real pictures: fidelity.
        recall: the share of real pictures that lie among samples: variety.
        density: how many balls of real pictures a sample lies in, as a multiple of k: fidelity without outliers.
        coverage: the share of real pictures with a sample in their ball: variety without outliers.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_figures(real: Tensor, fake: Tensor, *, neighbours: int = NEIGHBOURS) -> ManifoldFigures:
    """Precision, recall, density and coverage of features `fake` (M, D) against `real` (N, D).

    Raises:
        MetricError: where there are not more than k of each.
    """
    if min(len(real), len(fake)) <= neighbours:
        raise MetricError(
            f"prdc with k = {neighbours} needs more than {neighbours} pictures of each kind, "
            f"not {len(real)} and {len(fake)}"
        )
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = radii(real, neighbours), radii(fake, neighbours)
    balls, recalled, nearest = (
        [],
        torch.zeros(len(real), dtype=torch.bool),
        torch.full((len(real),), torch.inf).double(),
    )
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
    """The distance of each feature (N, D) to its k-th nearest neighbour, itself not counted: (N,)."""
    nearest = (distances.topk(neighbours + 1, largest=False).values for _, distances in _blocks(features, features))
    return torch.cat([distances[:, -1] for distances in nearest])


def _blocks(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The distances of some rows to all columns, (n, N), with the first row's number."""
    step = max(1, _BLOCK_VALUES // len(columns))
    for start in range(0, len(rows), step):
        yield start, torch.cdist(rows[start : start + step], columns)
