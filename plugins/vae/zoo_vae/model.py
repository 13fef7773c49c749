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
        size: height and width in pixels; for the convolutional network a multiple of 2 to the number of widths.
        channels: 1 for grey, 3 for colour.
        latent_size: dimensions of z.
        network: mlp or convolutional.
        widths: of the encoder's hidden layers, mirrored in the decoder; each convolutional one halves the picture.
        likelihood: of a pixel given z. bernoulli: the decoder's output is a logit; gaussian: it is a mean.
        sigma: standard deviation of the Gaussian likelihood, in units of the pixel range [0, 1].
        conditional: draw a class that is asked for: p(x|z, y) and q(z|x, y), with the one-hot code of y beside
            the latent and the encoder's features (Sohn et al., 2015).
        num_classes: how many classes a conditional model knows.
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
        """How many classes the networks are conditioned on; None for an unconditional model."""
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
    """Decodes z (N, latent_size) to the mean of p(x|z), pictures (N, channels, size, size) in [0, 1].

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
        """The parameters of p(x|z), (N, *sample_shape): Bernoulli logits or Gaussian means."""
        return self.decoder(self.from_latent(append_one_hot(z, labels, self.num_classes)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        parameters = self.decode(z, labels)
        return torch.sigmoid(parameters) if self.config.likelihood == "bernoulli" else parameters

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = append_one_hot(self.encoder(x), labels, self.num_classes)
        mean, logvar = self.to_posterior(features).chunk(2, dim=1)
        return mean, logvar

    def negative_log_likelihood(self, parameters: Tensor, x: Tensor) -> Tensor:
        """−log p(x|z) for what `decode` returned: (N,), in nats per picture."""
        if self.config.likelihood == "bernoulli":
            return bernoulli_negative_log_likelihood(parameters, x)
        return gaussian_negative_log_likelihood(parameters, x, self.config.sigma)

    def log_likelihood(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return -self.negative_log_likelihood(self.decode(z, labels), x)

    def elbo_terms(self, x: Tensor, labels: Tensor | None = None, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """−log p(x|z) for one z drawn from q(z|x), and KL(q(z|x) ‖ p(z)): two (N,), in nats per picture.

        Their sum, averaged, is the negative ELBO (arXiv 1312.6114, equation 10 with L = 1).

        Args:
            x: (N, *sample_shape) in [0, 1].
            labels: (N,) classes of a conditional model.
            noise: (N, latent_size), standard normal: z = mean + noise · standard deviation. Drawn where not given.
        """
        mean, logvar = self.encode(x, labels)
        # In float32: under autocast the encoder returns bfloat16, too coarse for a variance.
        mean, logvar = mean.float(), logvar.float()
        if noise is None:
            noise = torch.randn_like(mean)
        z = mean + noise * torch.exp(logvar / 2)
        return self.negative_log_likelihood(self.decode(z, labels), x), kl_divergence(mean, logvar)

    @torch.no_grad()
    def elbo(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The evidence lower bound log p(x) ≥ E_q[log p(x|z)] − KL, one draw of z: (N,), in nats per picture.

        Comparable between models only on the same data; for Bernoulli pixels only on binary ones.
        """
        reconstruction, divergence = self.elbo_terms(x, labels)
        return -(reconstruction + divergence)

    def to_unit(self, x: Tensor) -> Tensor:
        return x

    def from_unit(self, x: Tensor) -> Tensor:
        return x
