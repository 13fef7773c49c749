"""The adversarial and the variational losses, each from logits or from distribution parameters.

Everything is computed in float32 whatever the inputs are, and from logits: log(sigmoid(x) + epsilon) loses its
gradient where a discriminator is sure, softplus does not. docs/theory.md sets the formulas beside this code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−E[log D(x)] − E[log(1 − D(G(z)))], what D minimises in both GAN games (arXiv 1406.2661, eq. 1).

    Args:
        real_logits: (N,) logits of real samples.
        fake_logits: (M,) logits of generated ones; M may differ from N.

    Returns:
        A scalar, in nats; 2 log 2 where D is undecided.
    """
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """−E[log D(G(z))], which keeps its gradient while D is winning (arXiv 1406.2661, section 3). A scalar."""
    return F.softplus(-fake_logits.float()).mean()


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """E[log(1 − D(G(z)))], the article's own loss; its gradient vanishes where D is sure of itself. A scalar."""
    return -F.softplus(fake_logits.float()).mean()


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ E[(D(x) − 1)²] + ½ E[D(G(z))²] (LSGAN, arXiv 1611.04076, eq. 9: a = 0, b = 1). A scalar.

    Args:
        real_logits: (N,).
        fake_logits: (M,).
    """
    return ((real_logits.float() - 1).square().mean() + fake_logits.float().square().mean()) / 2


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """½ E[(D(G(z)) − 1)²] (LSGAN, arXiv 1611.04076, eq. 9: c = 1). A scalar."""
    return (fake_logits.float() - 1).square().mean() / 2


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))] (arXiv 1705.02894; as in 1802.05957, eq. 16). A scalar.

    Args:
        real_logits: (N,).
        fake_logits: (M,).
    """
    return F.relu(1 - real_logits.float()).mean() + F.relu(1 + fake_logits.float()).mean()


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[D(G(z))] − E[D(x)], the critic's loss without its penalty (arXiv 1701.07875, eq. 2). A scalar.

    Args:
        real_logits: (N,).
        fake_logits: (M,).
    """
    return fake_logits.float().mean() - real_logits.float().mean()


def critic_generator_loss(fake_logits: Tensor) -> Tensor:
    """−E[D(G(z))], what G minimises in the hinge and the Wasserstein games. A scalar."""
    return -fake_logits.float().mean()


class AdversarialLoss(NamedTuple):
    """What D and G minimise: discriminator(real_logits, fake_logits) and generator(fake_logits).

    Attributes:
        shares_pass: whether D's gradient at a fake logit is never 0, so that G's is a multiple of it and one pass
            through D can serve both losses.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    shares_pass: bool = False


ADVERSARIAL_LOSSES = {
    "non-saturating": AdversarialLoss(discriminator_loss, non_saturating_generator_loss, shares_pass=True),
    "minimax": AdversarialLoss(discriminator_loss, minimax_generator_loss, shares_pass=True),
    "least-squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, critic_generator_loss),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, critic_generator_loss, shares_pass=True),
}


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """E[‖∇ₓ D(x)‖²] on real samples: R1 without its factor γ/2 (arXiv 1801.04406, eq. 9). A scalar.

    Args:
        logits: (N,) logits of `real`, computed in float32.
        real: (N, *sample_shape) with requires_grad.
    """
    return _squared_gradient(logits, real).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E[(‖∇ D(x̂)‖ − 1)²] between real and fake samples: WGAN-GP without its factor λ (arXiv 1704.00028, eq. 3).

    A scalar. D must treat samples one by one: with BatchNorm the gradient is not that of one sample.

    Args:
        discriminator: gives logits (N,). Both it and the samples must compute in float32.
        real: (N, *sample_shape).
        fake: (N, *sample_shape).
        mix: (N,) in [0, 1]: how far each x̂ lies from real to fake.
    """
    between = torch.lerp(real, fake, mix.reshape(-1, *[1] * (real.ndim - 1))).detach().requires_grad_()
    # The root has no gradient at 0; 1e-12 is far below any norm that matters beside 1.
    norm = (_squared_gradient(discriminator(between), between) + 1e-12).sqrt()
    return (norm - 1).square().mean()


def _squared_gradient(logits: Tensor, samples: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² of each sample: (N,), itself differentiable."""
    (gradient,) = torch.autograd.grad(logits.float().sum(), samples, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, 1)), summed over the latent (arXiv 1312.6114, appendix B).

    Args:
        mean: (N, …).
        logvar: (N, …), the logarithm of the variance.

    Returns:
        (N,), in nats, never negative.
    """
    mean, logvar = mean.float(), logvar.float()
    # expm1(v) - v keeps its digits where the variance is near 1, which exp(v) - 1 - v loses.
    return (mean.square() + torch.expm1(logvar) - logvar).flatten(1).sum(1) / 2


def bernoulli_negative_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """−log p(x) of independent Bernoulli pixels with these logits, summed over the sample: (N,), in nats.

    A likelihood only for x in {0, 1}; for x between them it is the cross-entropy that is often trained on.
    """
    bce = F.binary_cross_entropy_with_logits(logits.float(), x.float(), reduction="none")
    return bce.flatten(1).sum(1)


def gaussian_negative_log_likelihood(mean: Tensor, x: Tensor, sigma: float = 1.0) -> Tensor:
    """−log N(x; mean, sigma²), summed over the sample: (N,), in nats, with its log 2πσ² per dimension."""
    squared_error = (x.float() - mean.float()).square().flatten(1)
    constant = squared_error.shape[1] * math.log(2 * math.pi * sigma**2) / 2
    return squared_error.sum(1) / (2 * sigma**2) + constant


def negative_elbo(reconstruction: Tensor, divergence: Tensor, beta: float = 1.0) -> Tensor:
    """E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z)), averaged over the batch: a scalar, in nats per sample.

    At β = 1 it bounds −log p(x) from above (arXiv 1312.6114, eq. 3); another β weighs the KL term
    (β-VAE, Higgins et al., 2017). Both terms are sums over their dimensions: a mean over pixels would
    change the meaning of β by their number.

    Args:
        reconstruction: (N,) negative log likelihoods.
        divergence: (N,) KL divergences.
    """
    return (reconstruction + beta * divergence).mean()
