"""The losses against closed forms, golden values and torch's own distributions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from zoo_core import losses

LOG_2 = math.log(2)


def test_03_golden_values_at_logit_one():
    one = torch.ones(4)
    assert losses.non_saturating_generator_loss(one).item() == pytest.approx(0.3132616, abs=1e-6)
    assert losses.minimax_generator_loss(one).item() == pytest.approx(-1.3132616, abs=1e-6)
    assert losses.discriminator_loss(one, one).item() == pytest.approx(0.3132616 + 1.3132616, abs=1e-6)


def test_an_undecided_discriminator_pays_two_log_two():
    zero = torch.zeros(3)
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * LOG_2)
    assert losses.non_saturating_generator_loss(zero).item() == pytest.approx(LOG_2)
    assert losses.minimax_generator_loss(zero).item() == pytest.approx(-LOG_2)


def test_the_minimax_game_is_zero_sum_in_the_fake_term():
    fake = torch.tensor([-3.0, 0.5, 2.0])
    real = torch.full((3,), 40.0)  # a D that is sure of the real ones pays nothing for them
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(-losses.minimax_generator_loss(fake).item())


@given(st.lists(st.floats(-15, 15), min_size=1, max_size=8))
def test_losses_equal_the_formulas_in_probabilities(values):
    logits = torch.tensor(values, dtype=torch.float64)
    p = torch.sigmoid(logits)
    expected = -torch.log(p).mean() - torch.log1p(-p).mean()
    assert losses.discriminator_loss(logits, logits).item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    assert losses.minimax_generator_loss(logits).item() == pytest.approx(
        torch.log1p(-p).mean().item(), rel=1e-3, abs=1e-5
    )


@pytest.mark.parametrize("logit", [-18.4, -25.0, -80.0])
def test_03_the_non_saturating_gradient_stays_one_where_the_discriminator_is_sure(logit):
    fake = torch.tensor([logit], requires_grad=True)
    losses.non_saturating_generator_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(-1.0, rel=1e-6)


def test_02_the_minimax_gradient_vanishes_there():
    fake = torch.tensor([-18.4], requires_grad=True)
    losses.minimax_generator_loss(fake).backward()
    assert abs(fake.grad.item()) < 1e-7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_13_losses_are_computed_in_float32(dtype):
    logits = torch.tensor([1.0, -2.0], dtype=dtype)
    assert losses.discriminator_loss(logits, logits).dtype == torch.float32
    assert losses.bernoulli_negative_log_likelihood(logits[None], torch.ones(1, 2)).dtype == torch.float32
    assert losses.gaussian_negative_log_likelihood(logits[None], torch.ones(1, 2)).dtype == torch.float32
    assert losses.kl_divergence(logits[None], logits[None]).dtype == torch.float32


def test_kl_of_the_prior_is_zero_and_of_a_shift_half_its_square():
    assert losses.kl_divergence(torch.zeros(2, 5), torch.zeros(2, 5)).tolist() == [0, 0]
    assert losses.kl_divergence(torch.full((1, 3), 2.0), torch.zeros(1, 3)).item() == pytest.approx(3 * 2.0)


@given(st.floats(-5, 5), st.floats(-6, 3))
def test_kl_equals_that_of_torch_distributions(mean, logvar):
    mean_t, logvar_t = torch.full((1, 4), mean), torch.full((1, 4), logvar)
    other = kl_divergence(Normal(mean_t.double(), (logvar_t.double() / 2).exp()), Normal(0.0, 1.0)).sum()
    ours = losses.kl_divergence(mean_t, logvar_t).item()
    assert ours == pytest.approx(other.item(), rel=1e-4, abs=1e-6)
    assert ours >= 0


def test_bernoulli_likelihood_equals_that_of_torch_distributions_and_sums_over_pixels():
    logits, x = torch.randn(3, 1, 4, 4), torch.bernoulli(torch.full((3, 1, 4, 4), 0.3))
    expected = -Bernoulli(logits=logits).log_prob(x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(losses.bernoulli_negative_log_likelihood(logits, x), expected)


def test_an_ignorant_bernoulli_model_pays_log_two_a_pixel():
    nats = losses.bernoulli_negative_log_likelihood(torch.zeros(2, 1, 28, 28), torch.ones(2, 1, 28, 28))
    torch.testing.assert_close(nats, torch.full((2,), 784 * LOG_2))


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_09_gaussian_likelihood_has_its_constant(sigma):
    mean, x = torch.randn(3, 2, 5), torch.randn(3, 2, 5)
    expected = -Normal(mean, sigma).log_prob(x).sum(dim=(1, 2))
    torch.testing.assert_close(losses.gaussian_negative_log_likelihood(mean, x, sigma), expected, rtol=1e-5, atol=1e-4)


def test_08_beta_weighs_the_divergence_alone():
    reconstruction, divergence = torch.tensor([10.0, 20.0]), torch.tensor([1.0, 3.0])
    assert losses.negative_elbo(reconstruction, divergence).item() == pytest.approx(17.0)
    assert losses.negative_elbo(reconstruction, divergence, beta=4.0).item() == pytest.approx(23.0)
    assert losses.negative_elbo(reconstruction, divergence, beta=0.0).item() == pytest.approx(15.0)


def test_least_squares_hinge_and_wasserstein_have_the_values_of_their_papers():
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-2.0, 0.25, 1.0])
    assert losses.least_squares_discriminator_loss(real, fake).item() == pytest.approx(
        (0.25 + 1) / 2 / 2 + (4 + 0.0625 + 1) / 3 / 2
    )
    assert losses.least_squares_generator_loss(fake).item() == pytest.approx((9 + 0.5625 + 0) / 3 / 2)
    assert losses.hinge_discriminator_loss(real, fake).item() == pytest.approx((0.5 + 0) / 2 + (0 + 1.25 + 2) / 3)
    assert losses.wasserstein_discriminator_loss(real, fake).item() == pytest.approx(-0.25 - 1.25)
    assert losses.critic_generator_loss(fake).item() == pytest.approx(0.25)


@pytest.mark.parametrize("name", sorted(losses.ADVERSARIAL_LOSSES))
def test_every_game_pulls_logits_the_right_way(name):
    """D raises real logits and lowers fake ones; G raises fake ones."""
    game = losses.ADVERSARIAL_LOSSES[name]
    real, fake = torch.full((3,), 0.5, requires_grad=True), torch.full((5,), 0.5, requires_grad=True)
    game.discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    seen = torch.zeros(5, requires_grad=True)
    game.generator(seen).backward()
    assert (seen.grad < 0).all()


def test_r1_of_a_linear_discriminator_is_its_squared_weight():
    weight = torch.tensor([[3.0, 4.0]])
    real = torch.randn(6, 2, requires_grad=True)
    assert losses.r1_penalty((real @ weight.T).squeeze(1), real).item() == pytest.approx(25.0)


def test_the_gradient_penalty_is_zero_at_slope_one_and_has_its_closed_form_elsewhere():
    real, fake, mix = torch.randn(5, 3), torch.randn(5, 3), torch.rand(5)
    one, three = torch.tensor([0.6, 0.8, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    assert losses.gradient_penalty(lambda x: x @ one, real, fake, mix).item() == pytest.approx(0, abs=1e-10)
    assert losses.gradient_penalty(lambda x: x @ three, real, fake, mix).item() == pytest.approx(4.0, rel=1e-5)


def test_the_gradient_penalty_looks_between_real_and_fake_and_trains_the_discriminator():
    seen = []
    scale = torch.tensor(2.0, requires_grad=True)

    def discriminator(x):
        seen.append(x.detach())
        return scale * x.square().sum(1)

    real, fake, mix = torch.zeros(3, 2), torch.ones(3, 2), torch.tensor([0.0, 0.5, 1.0])
    losses.gradient_penalty(discriminator, real, fake, mix).backward()
    assert torch.equal(seen[0], mix[:, None].expand(3, 2))
    assert scale.grad is not None
    assert scale.grad != 0
