"""FID, KID and PRDC: closed forms on Gaussians, other implementations on the same features, properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from zoo_core.errors import MetricError
from zoo_core.metrics.distances import (
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    manifold_figures,
    radii,
    squared_mmd,
)
from zoo_core.metrics.statistics import RunningStatistics


def normal(count, dimensions=8, seed=0, shift=0.0, scale=1.0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.standard_normal((count, dimensions)) * scale + shift)


def statistics_of(features):
    running = RunningStatistics(len(features), features.shape[1])
    running.add(0, features)
    return running.finish({})


def covariance(seed, dimensions=6):
    root = normal(dimensions, dimensions, seed)
    return root @ root.T


# FID


def test_the_distance_of_two_gaussians_with_commuting_covariances_is_the_closed_form():
    """|μ₁ − μ₂|² + Σ (σ₁ − σ₂)², along the common axes."""
    axes = torch.linalg.qr(normal(5, 5)).Q
    first, second = torch.tensor([1.0, 4, 9, 0.25, 0]).double(), torch.tensor([4.0, 1, 0, 2.25, 1]).double()
    mean = torch.tensor([1.0, -2, 0, 0.5, 3]).double()
    expected = mean.square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    found = gaussian_distance(torch.zeros(5), axes @ first.diag() @ axes.T, mean, axes @ second.diag() @ axes.T)
    assert found == pytest.approx(expected.item(), rel=1e-7)


def test_a_shift_of_the_same_features_costs_its_square():
    features, shift = normal(500), torch.arange(8.0).double()
    found = frechet_distance(statistics_of(features), statistics_of(features + shift))
    assert found == pytest.approx(shift.square().sum().item(), rel=1e-9)


def test_fid_agrees_with_torchmetrics_on_the_same_features():
    real = normal(400, 16) @ normal(16, 16, 2)
    fake = normal(300, 16, 3, shift=0.3) @ normal(16, 16, 4)
    expected = _compute_fid(real.mean(0), real.T.cov(), fake.mean(0), fake.T.cov())
    assert frechet_distance(statistics_of(real), statistics_of(fake)) == pytest.approx(expected.item(), rel=1e-6)


def test_fid_of_fewer_pictures_than_features_is_that_of_a_matrix_square_root_by_newton():
    """Singular covariances, against an iteration (Denman & Beavers, 1976) that shares no line with the eigenvalues."""
    first, second = statistics_of(normal(10, 24)), statistics_of(normal(12, 24, 1, shift=1))
    ridge = 1e-10 * torch.eye(24).double()
    product = (first.covariance + ridge) @ (second.covariance + ridge)
    y, z = product + 1e-12 * torch.eye(24).double(), torch.eye(24).double()
    for _ in range(60):
        y, z = (y + z.inverse()) / 2, (z + y.inverse()) / 2
    expected = (first.mean - second.mean).square().sum() + (first.covariance + second.covariance - 2 * y).trace()
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-3)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_the_distance_is_a_distance(seed, scale):
    first, second = covariance(seed), covariance(seed + 1) * scale
    mean = normal(1, 6, seed)[0]
    there, back = gaussian_distance(mean, first, -mean, second), gaussian_distance(-mean, second, mean, first)
    assert there == pytest.approx(back, rel=1e-6)
    assert there >= 4 * mean.square().sum().item() * (1 - 1e-9)
    assert gaussian_distance(mean, first, mean, first) == pytest.approx(0, abs=1e-6 * first.trace().item())


# KID


def test_squared_mmd_agrees_with_torchmetrics():
    x, y = normal(60), normal(60, seed=1, shift=0.2)
    assert squared_mmd(x, y) == pytest.approx(poly_mmd(x, y).item(), rel=1e-9)


def test_squared_mmd_is_the_sum_over_pairs_of_its_definition():
    x, y = normal(7, 3), normal(7, 3, seed=1)

    def kernel(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j) / 42
    across = sum(kernel(x[i], y[j]) for i, j in pairs) / 49
    assert squared_mmd(x, y) == pytest.approx(within - 2 * across, rel=1e-9)


def test_kid_of_two_gaussians_is_the_closed_form_within_its_error():
    """In one dimension E k(x, y) = 1 + 3 E[xy] + 3 E[x²y²] + E[x³y³]: the squared MMD of N(0, 1) and N(μ, 1)."""
    shift = 0.8
    moments = np.array([[1, 0, 1, 0], [1, shift, 1 + shift**2, 3 * shift + shift**3]])
    binomial = np.array([1, 3, 3, 1])
    expected = float((binomial * (moments[0] - moments[1]) ** 2).sum())
    found = kernel_distance(normal(10_000, 1), normal(10_000, 1, seed=1, shift=shift))
    assert abs(found.mean - expected) < 4 * found.deviation / 10**0.5  # 10,000 make ten independent subsets


def test_kid_of_one_distribution_is_nothing_whatever_the_number():
    """Unbiased: FID of so few would be far from 0."""
    for count in (50, 500, 5000):
        found = kernel_distance(normal(count), normal(count, seed=1), subset_size=25)
        assert abs(found.mean) < found.deviation


def test_kid_is_a_function_of_its_seed():
    x, y = normal(300), normal(300, seed=1)
    first, again, other = (kernel_distance(x, y, subset_size=50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.mean != other.mean


def test_kid_of_no_more_than_a_subset_is_that_of_all():
    x, y = normal(40), normal(40, seed=1)
    assert kernel_distance(x, y) == (pytest.approx(squared_mmd(x.double(), y.double())), 0)


def test_kid_of_one_picture_is_refused():
    with pytest.raises(MetricError, match="kid needs at least two samples and two of the data, not 5 and 1"):
        kernel_distance(normal(5), normal(1))


# PRDC


def by_definition(real, fake, k):
    """The four figures as their papers write them, a pair at a time."""
    real, fake = real.numpy(), fake.numpy()

    def radius(points):
        return [sorted(np.linalg.norm(points - point, axis=1))[k] for point in points]

    real_radius, fake_radius = radius(real), radius(fake)
    distance = np.array([[np.linalg.norm(r - f) for f in fake] for r in real])
    in_real = distance <= np.array(real_radius)[:, None]
    in_fake = distance <= np.array(fake_radius)[None]
    return in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum() / (k * len(fake)), in_real.any(1).mean()


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6), real=st.integers(8, 40), fake=st.integers(8, 40))
def test_prdc_is_that_of_its_definition(seed, k, real, fake):
    x, y = normal(real, 3, seed), normal(fake, 3, seed + 1, shift=0.4, scale=0.7)
    assert manifold_figures(x, y, neighbours=k) == pytest.approx(by_definition(x, y, k), rel=1e-9)


# What naver's prdc 0.2 computes from the same features with nearest_k=5.
PRDC = {"precision": 0.995, "recall": 0.89, "density": 1.127, "coverage": 0.8833333333333333}


def test_prdc_agrees_with_the_authors_of_density_and_coverage():
    found = manifold_figures(normal(300, 4), normal(200, 4, seed=1, shift=0.2, scale=0.8))
    assert found._asdict() == pytest.approx(PRDC, rel=1e-9)


def test_blocks_change_nothing(monkeypatch):
    real, fake = normal(100, 4), normal(90, 4, seed=1)
    whole = manifold_figures(real, fake)
    monkeypatch.setattr("zoo_core.metrics.distances._BLOCK_VALUES", 1000)
    assert manifold_figures(real, fake) == whole


def test_samples_that_repeat_one_picture_are_precise_and_know_nothing():
    real = normal(200)
    found = manifold_figures(real, real[:1].expand(200, -1))
    assert found.precision == 1
    assert found.recall < 0.02
    assert found.coverage < 0.1


def test_samples_from_elsewhere_have_none_of_the_four():
    assert manifold_figures(normal(50), normal(50, shift=100)) == (0, 0, 0, 0)


def test_the_real_pictures_themselves_have_all_of_it():
    found = manifold_figures(normal(100), normal(100))
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_radii_are_those_of_points_on_a_line():
    line = torch.arange(5.0)[:, None]
    assert radii(line.double(), 2).tolist() == pytest.approx([2, 1, 1, 1, 2])


def test_prdc_of_too_few_is_refused():
    with pytest.raises(MetricError, match="k = 5 needs more than 5 of the data and of samples, not 5 and 9"):
        manifold_figures(normal(5), normal(9))
