"""ELBO and importance-weighted bound against closed forms, and what decides them."""

import math

import pytest
import torch

from zoo_core import Encoder, Generator
from zoo_core.errors import InterfaceError, MetricError
from zoo_core.metrics.likelihood import choose_binarization, describe_pixels, upper_bound
from zoo_core.streams import binarize

SIGMA = 0.3


class LinearGaussian(Generator, Encoder):
    """x = W z + noise of standard deviation σ, W of orthogonal columns: the posterior is a diagonal Gaussian.

    `blur` widens it: then the ELBO is a bound that is not tight.
    """

    latent_shape, sample_shape = (2,), (1, 2, 2)

    def __init__(self, blur=0.0):
        super().__init__()
        self.blur = blur
        axes = torch.linalg.qr(torch.randn(4, 2, generator=torch.Generator().manual_seed(0))).Q
        self.matrix = torch.nn.Parameter(axes * torch.tensor([0.8, 0.4]))
        self.rows = 0

    def forward(self, z, labels=None):
        return (z @ self.matrix.T).unflatten(1, (1, 2, 2))

    def encode(self, x):
        precision = 1 + self.matrix.square().sum(0) / SIGMA**2
        mean = x.flatten(1) @ self.matrix / SIGMA**2 / precision
        return mean, (self.blur - precision.log()).expand_as(mean)

    def log_likelihood(self, x, z, labels=None):
        self.rows += len(z)
        squares = (x - self(z)).square().flatten(1).sum(1) / SIGMA**2
        return -(squares + 4 * math.log(2 * math.pi * SIGMA**2)) / 2

    def negative_log_evidence(self, x):
        covariance = self.matrix @ self.matrix.T + SIGMA**2 * torch.eye(4)
        evidence = torch.distributions.MultivariateNormal(torch.zeros(4), covariance)
        return -evidence.log_prob(x.flatten(1)).detach().double()

    def to_unit(self, x):
        return x

    def from_unit(self, x):
        return x


class Coins(Generator, Encoder):
    """Pixels that are white with one probability each, whatever z is; the posterior is the prior."""

    latent_shape, sample_shape, binary = (3,), (1, 2, 2), True

    def __init__(self):
        super().__init__()
        self.white = torch.nn.Parameter(torch.tensor([0.1, 0.4, 0.7, 0.95]))

    def forward(self, z, labels=None):
        return self.white.expand(len(z), -1).unflatten(1, (1, 2, 2))

    def encode(self, x):
        return torch.zeros(len(x), 3), torch.zeros(len(x), 3)

    def log_likelihood(self, x, z, labels=None):
        p = self(z)
        return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)

    def to_unit(self, x):
        return x

    def from_unit(self, x):
        return x


def pictures(count=20):
    return torch.randint(0, 256, (count, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def bound(model, x, k=None, start=0, seed=0, binarization="none"):
    return upper_bound(model, x, None, start=start, seed=seed, binarization=binarization, importance_samples=k)


@pytest.mark.parametrize("k", [1, 7])
def test_with_the_true_posterior_every_importance_weight_is_the_evidence(k):
    model, x = LinearGaussian(), pictures()
    torch.testing.assert_close(bound(model, x, k), model.negative_log_evidence(x / 255), rtol=1e-4, atol=1e-4)


def test_with_the_true_posterior_the_elbo_is_the_evidence_on_average():
    model, x = LinearGaussian(), pictures(2000)
    found, expected = bound(model, x), model.negative_log_evidence(x / 255)
    error = (found - expected).std() / len(x) ** 0.5
    assert abs((found - expected).mean()) < 4 * error
    assert error < 0.1


def test_with_another_posterior_more_samples_come_nearer_to_the_evidence_from_above():
    model, x = LinearGaussian(blur=1.0), pictures(300)
    evidence = model.negative_log_evidence(x / 255).mean()
    gaps = [(bound(model, x, k).mean() - evidence).item() for k in (1, 5, 50, 2000)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.2
    assert abs(gaps[-1]) < 0.02


def test_coins_have_the_likelihood_of_coins():
    x = torch.randint(0, 2, (9, 1, 2, 2), generator=torch.Generator().manual_seed(2)).byte() * 255
    p = torch.tensor([0.1, 0.4, 0.7, 0.95])
    white = x.flatten(1) == 255
    expected = -torch.where(white, p, 1 - p).log().sum(1).double()
    for binarization in ("none", "static", "dynamic"):  # black and white pixels stay what they are
        for k in (None, 1, 5):
            torch.testing.assert_close(bound(Coins(), x, k, binarization=binarization), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [1, 50, 600])
def test_exactly_k_samples_are_drawn_for_each_picture(k):
    model = LinearGaussian()
    bound(model, pictures(7), k)
    assert model.rows == 7 * k


@pytest.mark.parametrize("k", [None, 3, 600])
def test_the_batch_changes_no_bound(k):
    model, x = LinearGaussian(blur=1.0), pictures()
    parts = torch.cat([bound(model, x[:3], k), bound(model, x[3:4], k, start=3), bound(model, x[4:], k, start=4)])
    torch.testing.assert_close(parts, bound(model, x, k), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(bound(model, x, k, seed=1), bound(model, x, k), atol=1e-3)


def test_static_pixels_are_the_same_for_every_seed_and_dynamic_ones_are_not():
    x = pictures()
    static, dynamic = (
        [bound(Coins(), x, seed=seed, binarization=how) for seed in (1, 2)] for how in ("static", "dynamic")
    )
    assert torch.equal(*static)
    assert not torch.equal(*dynamic)


def test_pixels_are_white_as_often_as_they_are_bright():
    grey = torch.tensor([0.0, 0.25, 0.8, 1.0]).expand(20_000, 1, 1, 4)
    drawn = binarize(grey, 5, 0)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.mean((0, 1, 2)), grey[0, 0, 0], atol=0.015, rtol=0)
    assert torch.equal(binarize(grey[:4], 5, 7), drawn[7:11])


def test_the_pixels_fit_the_likelihood():
    assert choose_binarization(Coins(), None) == "dynamic"
    assert choose_binarization(LinearGaussian(), None) == "none"
    with pytest.raises(MetricError, match="of continuous pixels"):
        choose_binarization(LinearGaussian(), "static")
    assert "no bound" in describe_pixels("none", binary=True)
    assert describe_pixels("none", binary=False) == "continuous pixels, a density"
    assert describe_pixels("static", binary=True) == "static binarisation"


class Silent(LinearGaussian):
    def log_likelihood(self, x, z, labels=None):
        return Encoder.log_likelihood(self, x, z, labels)


class Certain(LinearGaussian):
    def encode(self, x):
        return super().encode(x)[0], None


class Conditional(LinearGaussian):
    num_classes = 3


class Normalised(LinearGaussian):
    """Its encoder has a BatchNorm, whose result depends on the mode and which in training mode learns from its input."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)

    def encode(self, x):
        return super().encode(self.norm(x))


def test_a_model_in_training_mode_has_the_bound_of_eval_mode_and_learns_nothing():
    model = Normalised().train()
    assert torch.equal(bound(model, pictures()), bound(Normalised().eval(), pictures()))
    assert model.norm.training
    assert model.norm.num_batches_tracked == 0


def test_models_that_have_no_bound_are_refused():
    with pytest.raises(InterfaceError, match="Silent states no likelihood"):
        bound(Silent(), pictures())
    with pytest.raises(MetricError, match="is deterministic"):
        bound(Certain(), pictures())
    with pytest.raises(MetricError, match="has no labels"):
        bound(Conditional(), pictures())
