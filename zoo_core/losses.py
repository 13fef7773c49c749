"""Losses of GANs and VAEs, computed from logits or from distribution parameters.

Every loss is computed in float32 whatever the type of its inputs, and from logits: log(sigmoid(x) + epsilon) loses its
gradient where a discriminator is certain, softplus does not. docs/theory.md has the formulas side by side with this
code.

To add an adversarial loss, write its two functions and enter them in ADVERSARIAL_LOSSES: the setting `loss` takes the
names from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−E[log D(x)] − E[log(1 − D(G(z)))]: the loss of D in the original GAN (arXiv 1406.2661, eq. 1).

    Args:
        real_logits: (N,) logits of real samples.
        fake_logits: (M,) logits of generated samples; M may differ from N.

    Returns:
        A scalar, in nats; 2 log 2 where D is undecided.

    Example:
        >>> undecided = torch.zeros(4)
        >>> round(discriminator_loss(undecided, undecided).item(), 4)  # 2 log 2
        1.3863
    """
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """−E[log D(G(z))], which keeps its gradient while D is winning (arXiv 1406.2661, section 3). A scalar, in nats.

    Example:
        >>> round(non_saturating_generator_loss(torch.tensor([1.0])).item(), 7)  # log(1 + exp(-1))
        0.3132617
    """
    return F.softplus(-fake_logits.float()).mean()


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """E[log(1 − D(G(z)))]: the minimax loss. Its gradient vanishes where D is certain. A scalar, in nats.

    Example:
        >>> logits = torch.tensor([-20.0], requires_grad=True)  # D is certain that the sample is generated
        >>> minimax_generator_loss(logits).backward()
        >>> logits.grad.abs().item() < 1e-8
        True
    """
    return -F.softplus(fake_logits.float()).mean()


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ E[(D(x) − 1)²] + ½ E[D(G(z))²] (LSGAN, arXiv 1611.04076, eq. 9: a = 0, b = 1). A scalar.

    Args:
        real_logits: (N,) outputs of D for real samples.
        fake_logits: (M,) outputs of D for generated samples.

    Example:
        >>> least_squares_discriminator_loss(torch.tensor([1.0]), torch.tensor([0.0])).item()  # D is right
        0.0
    """
    return ((real_logits.float() - 1).square().mean() + fake_logits.float().square().mean()) / 2


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """½ E[(D(G(z)) − 1)²] (LSGAN, arXiv 1611.04076, eq. 9: c = 1). A scalar.

    Example:
        >>> least_squares_generator_loss(torch.tensor([0.0])).item()
        0.5
    """
    return (fake_logits.float() - 1).square().mean() / 2


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))] (arXiv 1705.02894; as in 1802.05957, eq. 16). A scalar.

    Args:
        real_logits: (N,) outputs of D for real samples.
        fake_logits: (M,) outputs of D for generated samples.

    Example:
        >>> hinge_discriminator_loss(torch.tensor([1.5]), torch.tensor([-1.5])).item()  # beyond the margin
        0.0
    """
    return F.relu(1 - real_logits.float()).mean() + F.relu(1 + fake_logits.float()).mean()


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[D(G(z))] − E[D(x)]: the loss of the critic, without its penalty (arXiv 1701.07875, eq. 2). A scalar.

    Args:
        real_logits: (N,) scores of real samples.
        fake_logits: (M,) scores of generated samples.

    Example:
        >>> wasserstein_discriminator_loss(torch.tensor([3.0]), torch.tensor([1.0])).item()
        -2.0
    """
    return fake_logits.float().mean() - real_logits.float().mean()


def critic_generator_loss(fake_logits: Tensor) -> Tensor:
    """−E[D(G(z))]: the loss of G with the hinge and Wasserstein losses of D. A scalar.

    Example:
        >>> critic_generator_loss(torch.tensor([1.0, 3.0])).item()
        -2.0
    """
    return -fake_logits.float().mean()


class AdversarialLoss(NamedTuple):
    """The losses that D and G minimise against each other.

    Attributes:
        discriminator: called with real_logits (N,) and fake_logits (M,); returns a scalar.
        generator: called with fake_logits (M,); returns a scalar.
        one_pass: whether the gradient of D's loss at a fake logit is never 0, so that G's is a multiple of it and one
            pass through D can serve both losses.
        critic: whether D is a critic, whose scores have no bounds (WGAN): `gradient_penalty` keeps its gradient near 1,
            and its loss is an estimated distance with the sign changed, so that 0 does not mean that D wins.

    Example:
        >>> loss = ADVERSARIAL_LOSSES["hinge"]
        >>> loss.generator(torch.tensor([2.0])).item()
        -2.0
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    one_pass: bool = False
    critic: bool = False


# The one place that names them: the setting `loss` takes its values from here.
ADVERSARIAL_LOSSES = {
    "non-saturating": AdversarialLoss(discriminator_loss, non_saturating_generator_loss, one_pass=True),
    "minimax": AdversarialLoss(discriminator_loss, minimax_generator_loss, one_pass=True),
    "least-squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, critic_generator_loss),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, critic_generator_loss, one_pass=True, critic=True),
}

if TYPE_CHECKING:
    AdversarialLossName = str  # a type checker cannot read the names from the table
else:
    AdversarialLossName = Literal[tuple(ADVERSARIAL_LOSSES)]


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """E[‖∇ₓ D(x)‖²] on real samples: R1 without its factor γ/2 (arXiv 1801.04406, eq. 9). A scalar.

    Args:
        logits: (N,) logits of `real`, computed in float32.
        real: (N, *sample_shape) with requires_grad.

    Example:
        >>> real = torch.ones(2, 3, requires_grad=True)
        >>> r1_penalty(real @ torch.tensor([1.0, 2.0, 2.0]), real).item()  # 1² + 2² + 2²
        9.0
    """
    return _squared_gradient(logits, real).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E[(‖∇ D(x̂)‖ − 1)²] between real and fake samples: WGAN-GP without its factor λ (arXiv 1704.00028, eq. 3).

    A scalar. D must treat each sample on its own: with BatchNorm the gradient is not that of one sample.

    Args:
        discriminator: returns logits (N,). It and the samples must be in float32.
        real: (N, *sample_shape).
        fake: (N, *sample_shape).
        mix: (N,) in [0, 1]: how far each x̂ is on the way from real to fake.

    Example:
        >>> slope_two = lambda x: 2 * x[:, 0]
        >>> round(gradient_penalty(slope_two, torch.zeros(4, 1), torch.ones(4, 1), torch.rand(4)).item(), 6)  # (2 − 1)²
        1.0
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

    Example:
        >>> kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2)).item()
        0.0
        >>> kl_divergence(torch.tensor([[2.0]]), torch.zeros(1, 1)).item()  # mean² / 2
        2.0
    """
    mean, logvar = mean.float(), logvar.float()
    # expm1(v) - v keeps its digits where the variance is near 1, which exp(v) - 1 - v loses.
    return (mean.square() + torch.expm1(logvar) - logvar).flatten(1).sum(1) / 2


def bernoulli_negative_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """−log p(x) of independent Bernoulli pixels with these logits, summed over the sample.

    It is a likelihood only for x in {0, 1}; for values between, it is the cross-entropy that is often trained on.

    Args:
        logits: (N, …).
        x: (N, …) in [0, 1].

    Returns:
        (N,), in nats.

    Example:
        >>> x = torch.tensor([[0.0, 1.0]])
        >>> round(bernoulli_negative_log_likelihood(torch.zeros(1, 2), x).item(), 4)  # 2 log 2
        1.3863
    """
    bce = F.binary_cross_entropy_with_logits(logits.float(), x.float(), reduction="none")
    return bce.flatten(1).sum(1)


def gaussian_negative_log_likelihood(mean: Tensor, x: Tensor, sigma: float = 1.0) -> Tensor:
    """−log N(x; mean, sigma²), summed over the sample, with the term ½ log 2πσ² of every dimension.

    Args:
        mean: (N, …).
        x: (N, …).
        sigma: standard deviation, above 0.

    Returns:
        (N,), in nats.

    Example:
        >>> x = torch.zeros(1, 1)
        >>> round(gaussian_negative_log_likelihood(x, x).item(), 4)  # ½ log 2π
        0.9189
    """
    squared_error = (x.float() - mean.float()).square().flatten(1)
    constant = squared_error.shape[1] * math.log(2 * math.pi * sigma**2) / 2
    return squared_error.sum(1) / (2 * sigma**2) + constant


def negative_elbo(reconstruction: Tensor, divergence: Tensor, beta: float = 1.0) -> Tensor:
    """E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z)), averaged over the batch: a scalar, in nats per sample.

    At β = 1 it bounds −log p(x) from above (arXiv 1312.6114, eq. 3); any other β weights the KL term
    (β-VAE, Higgins et al., 2017). Both terms are sums over their dimensions: a mean over pixels would
    divide β by the number of pixels.

    Args:
        reconstruction: (N,) negative log likelihoods.
        divergence: (N,) KL divergences.
        beta: weight of the KL term.

    Example:
        >>> negative_elbo(torch.tensor([90.0, 110.0]), torch.tensor([20.0, 30.0]), beta=2.0).item()
        150.0
    """
    return (reconstruction + beta * divergence).mean()
