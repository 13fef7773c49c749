"""The variational autoencoder (Kingma & Welling, 2013, arXiv 1312.6114), fully connected or convolutional."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Encoder, Generator, ModelConfig
from zoo_core.conditioning import append_one_hot
from zoo_core.losses import bernoulli_negative_log_likelihood, gaussian_negative_log_likelihood, kl_divergence

Width = Annotated[int, Meta(ge=1, le=16384)]
Widths = Annotated[tuple[Width, ...], Meta(min_length=1, max_length=8)]


class VAEConfig(ModelConfig, frozen=True):
    """A VAE on square pictures in [0, 1].

    Args:
        size: height and width in pixels; for the convolutional network, a multiple of 2 ** len(widths).
        channels: 1 for grey, 3 for colour.
        latent_size: number of dimensions of the latent z.
        network: mlp (fully connected) or convolutional.
        widths: widths of the encoder's hidden layers, reversed in the decoder; each convolution halves the picture.
        likelihood: distribution of a pixel given z. bernoulli: the decoder returns its logit; gaussian: its mean.
        sigma: standard deviation of the Gaussian likelihood, in units of the pixel range [0, 1].
        conditional: model p(x|z, y) and q(z|x, y), to sample a requested class y; its one-hot code is appended to
            the latent and to the encoder's features (Sohn et al., 2015).
        num_classes: number of classes of a conditional model.
    """

    size: Annotated[int, Meta(ge=1, le=256)] = 28
    channels: Literal[1, 3] = 1
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 20
    network: Literal["mlp", "convolutional"] = "mlp"
    widths: Widths = (400,)
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    sigma: Annotated[float, Meta(gt=0, le=10)] = 0.1
    conditional: bool = False
    num_classes: Annotated[int, Meta(ge=1, le=10_000)] = 10

    @property
    def classes(self) -> int | None:
        """Number of classes that the networks are conditioned on; None for an unconditional model."""
        return self.num_classes if self.conditional else None

    def __post_init__(self) -> None:
        step = 2 ** len(self.widths)
        if self.network == "convolutional" and self.size % step:
            raise ValueError(f"size must be a multiple of {step} for {len(self.widths)} convolutional widths")


def _mlp(config: VAEConfig) -> tuple[nn.Module, nn.Module, int]:
    pixels = config.channels * config.size**2
    sizes = (pixels, *config.widths)
    encoder: list[nn.Module] = [nn.Flatten()]
    decoder: list[nn.Module] = []
    for width_in, width in pairwise(sizes):
        encoder += [nn.Linear(width_in, width), nn.ReLU()]
        decoder = [nn.ReLU(), nn.Linear(width, width_in), *decoder]
    decoder.append(nn.Unflatten(1, (config.channels, config.size, config.size)))
    return nn.Sequential(*encoder), nn.Sequential(*decoder), sizes[-1]


def _convolutional(config: VAEConfig) -> tuple[nn.Module, nn.Module, int]:
    sizes = (config.channels, *config.widths)
    inner = config.size // 2 ** len(config.widths)
    encoder: list[nn.Module] = []
    decoder: list[nn.Module] = []
    for width_in, width in pairwise(sizes):
        encoder += [nn.Conv2d(width_in, width, 4, 2, 1), nn.ReLU()]
        decoder = [nn.ReLU(), nn.ConvTranspose2d(width, width_in, 4, 2, 1), *decoder]
    encoder.append(nn.Flatten())
    decoder.insert(0, nn.Unflatten(1, (sizes[-1], inner, inner)))
    return nn.Sequential(*encoder), nn.Sequential(*decoder), sizes[-1] * inner**2


class VAE(Generator, Encoder):
    """A VAE that decodes z (N, latent_size) to the mean of p(x|z), pictures (N, channels, size, size) in [0, 1].

    The approximate posterior q(z|x) is a diagonal Gaussian; the prior is the standard normal.
    """

    config: VAEConfig

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        self.sample_shape = (config.channels, config.size, config.size)
        networks = _mlp if config.network == "mlp" else _convolutional
        self.encoder, self.decoder, features = networks(config)
        self.num_classes = config.classes
        self.to_posterior = nn.Linear(features + (config.classes or 0), 2 * config.latent_size)
        self.from_latent = nn.Linear(config.latent_size + (config.classes or 0), features)
        self.binary = config.likelihood == "bernoulli"

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the parameters of p(x|z), (N, *sample_shape): Bernoulli logits or Gaussian means."""
        return self.decoder(self.from_latent(append_one_hot(z, labels, self.num_classes)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        parameters = self.decode(z, labels)
        return torch.sigmoid(parameters) if self.config.likelihood == "bernoulli" else parameters

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = append_one_hot(self.encoder(x), labels, self.num_classes)
        mean, logvar = self.to_posterior(features).chunk(2, dim=1)
        return mean, logvar

    def negative_log_likelihood(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Return −log p(x|z) for parameters that `decode` returned: (N,), in nats per picture."""
        if self.config.likelihood == "bernoulli":
            return bernoulli_negative_log_likelihood(parameters, x)
        return gaussian_negative_log_likelihood(parameters, x, self.config.sigma)

    def log_likelihood(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return -self.negative_log_likelihood(self.decode(z, labels), x)

    def elbo_terms(self, x: Tensor, labels: Tensor | None = None, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return −log p(x|z) for one z drawn from q(z|x), and KL(q(z|x) ‖ p(z)): both (N,), in nats per picture.

        The mean of their sum is the negative ELBO (arXiv 1312.6114, equation 10 with L = 1).

        Args:
            x: (N, *sample_shape) in [0, 1].
            labels: (N,) classes, for a conditional model.
            noise: (N, latent_size), standard normal: z = mean + noise · standard deviation. Drawn if not given.
        """
        mean, logvar = self.encode(x, labels)
        # In float32, because under autocast the encoder returns bfloat16, which is too coarse for a variance.
        mean, logvar = mean.float(), logvar.float()
        if noise is None:
            noise = torch.randn_like(mean)
        z = mean + noise * torch.exp(logvar / 2)
        return self.negative_log_likelihood(self.decode(z, labels), x), kl_divergence(mean, logvar)

    @torch.no_grad()
    def elbo(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the evidence lower bound log p(x) ≥ E_q[log p(x|z)] − KL, with one draw of z: (N,), nats per picture.

        Values of two models are comparable only on the same data, and with Bernoulli pixels only on binary pictures.
        """
        reconstruction, divergence = self.elbo_terms(x, labels)
        return -(reconstruction + divergence)

    def to_unit(self, x: Tensor) -> Tensor:
        return x

    def from_unit(self, x: Tensor) -> Tensor:
        return x
