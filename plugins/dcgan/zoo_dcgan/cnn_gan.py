"""The CNN GAN of the article on tensors in generative models, with its mistakes corrected.

The article's generator reshapes to 128 x 8 x 8, keeps 8 x 8 through its first transposed convolution (stride 1)
and doubles once, so its output is 16 x 16, while the article's data is 64 x 64. Here the first stride is 2 and
the output is 32 x 32, the size of the training data. The rest follows the article: a dense layer without bias,
BatchNorm and LeakyReLU, 5 x 5 kernels, a last 7 x 7 kernel without bias, tanh, and a discriminator that returns a
logit, not a probability.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Discriminator, Generator, ModelConfig

START = 8  # height and width of the reshaped dense layer; doubled twice, they give 32
LEAKY_SLOPE = 0.2


class CNNGANConfig(ModelConfig, frozen=True):
    """Configuration of the article's CNN GAN.

    Args:
        size: height and width in pixels; the network supports only 32.
        channels: 1 for grey, 3 for colour.
        latent_size: number of dimensions of the latent z.
        discriminator_norm: batch, as in the article, or none, which the gradient penalty of the Wasserstein loss needs.
    """

    size: Literal[32] = 32
    channels: Literal[1, 3] = 1
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 100
    discriminator_norm: Literal["batch", "none"] = "batch"


class CNNGANGenerator(Generator):
    """Generator from z (N, latent_size) to pictures (N, channels, 32, 32) in [-1, 1].

    5 x 5 transposed convolutions with stride 2 and "same" padding, in torch padding 2 and output_padding 1, double
    the picture.
    """

    config: CNNGANConfig

    def __init__(self, config: CNNGANConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        self.sample_shape = (config.channels, config.size, config.size)
        features = 128 * START * START
        self.dense = nn.Sequential(
            nn.Linear(config.latent_size, features, bias=False),
            nn.BatchNorm1d(features),
            nn.LeakyReLU(LEAKY_SLOPE),
        )
        self.convolutions = nn.Sequential(
            nn.ConvTranspose2d(128, 128, 5, 2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.ConvTranspose2d(128, 64, 5, 2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.ConvTranspose2d(64, config.channels, 7, 1, padding=3, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.dense(z).unflatten(1, (128, START, START))
        return self.convolutions(features)


class CNNGANDiscriminator(Discriminator):
    """Discriminator from pictures (N, channels, 32, 32) to logits (N,)."""

    def __init__(self, config: CNNGANConfig) -> None:
        super().__init__(config)
        norms = [nn.BatchNorm2d(128)] if config.discriminator_norm == "batch" else []
        self.convolutions = nn.Sequential(
            nn.Conv2d(config.channels, 64, 5, 2, padding=2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(64, 128, 5, 2, padding=2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(128, 128, 5, 1, padding=2),
            *norms,
            nn.LeakyReLU(LEAKY_SLOPE),
        )
        self.logit = nn.Linear(128 * START * START, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logit(self.convolutions(x).flatten(1)).squeeze(1)
