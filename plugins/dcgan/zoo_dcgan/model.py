"""DCGAN: an all-convolutional generator and discriminator (Radford et al., 2015, arXiv 1511.06434)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Discriminator, Generator, ModelConfig


class DCGANConfig(ModelConfig, frozen=True):
    """A DCGAN of any power-of-two size.

    Args:
        size: height and width in pixels: 16, 32, 64, 128 or 256.
        channels: 1 for grey, 3 for colour.
        latent_size: dimensions of z.
        width: channels of the widest-resolution hidden layer; they double at every halving of the picture.
            The paper's 64 x 64 networks have 128 in G (1024 at 4 x 4) and 64 in D.
    """

    size: Literal[16, 32, 64, 128, 256] = 64
    channels: Literal[1, 3] = 3
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 100
    width: Annotated[int, Meta(ge=1, le=512)] = 64

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels at size/2, size/4, …, 4 pixels."""
        stages = self.size.bit_length() - 3  # 16 has two stages (8 and 4 pixels), 64 has four
        return tuple(self.width * 2**stage for stage in range(stages))


def initialise(module: nn.Module) -> None:
    """The paper's initialisation: weights N(0, 0.02), BatchNorm scales N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


class DCGANGenerator(Generator):
    """z (N, latent_size) to pictures (N, channels, size, size) in [-1, 1].

    z is projected to 4 x 4 and doubled by 4 x 4 stride-2 transposed convolutions, with BatchNorm and ReLU
    on all but the last, which ends in tanh.
    """

    config: DCGANConfig

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        self.sample_shape = (config.channels, config.size, config.size)
        widths = config.stage_widths[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent_size, widths[0], 4, 1, 0, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for width_in, width in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(width_in, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], config.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Pictures (N, channels, size, size) to logits (N,).

    4 x 4 stride-2 convolutions with LeakyReLU(0.2) halve the picture down to 4 x 4, with BatchNorm on all
    but the first; a last 4 x 4 convolution leaves the logit.
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config)
        widths = config.stage_widths
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for width_in, width in pairwise(widths):
            layers += [
                nn.Conv2d(width_in, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0))
        initialise(self)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(x).flatten()
