"""The Fréchet distance of two sets of features, each taken for a Gaussian: FID (Heusel et al., arXiv 1706.08500)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.metrics.statistics import FeatureStatistics


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """|μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), in units of the features squared; 0 is the best.

    Biased upwards, the more the fewer pictures there are: only figures of the same numbers compare.
    """
    return gaussian_distance(first.mean, first.covariance, second.mean, second.covariance)


def gaussian_distance(mean_1: Tensor, covariance_1: Tensor, mean_2: Tensor, covariance_2: Tensor) -> float:
    """The squared 2-Wasserstein distance of two Gaussians: means (D,) and covariances (D, D), in float64.

    Tr (Σ₁Σ₂)^½ is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½. That one is symmetric and has the same
    eigenvalues; unlike a matrix square root they are found surely where a covariance is singular.
    """
    values, vectors = torch.linalg.eigh(covariance_1.double())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ covariance_2.double() @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (mean_1.double() - mean_2.double()).square().sum()
    distance += covariance_1.double().trace() + covariance_2.double().trace() - 2 * overlap
    return max(0.0, distance.item())  # rounding may leave it below nothing
