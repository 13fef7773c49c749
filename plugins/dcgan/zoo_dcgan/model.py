"""DCGAN: an all-convolutional generator and discriminator (Radford et al., 2015, arXiv 1511.06434)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Discriminator, Generator, ModelConfig
from zoo_core.conditioning import append_one_hot, require_labels


class DCGANConfig(ModelConfig, frozen=True):
    """A DCGAN of any power-of-two size.

    Args:
        size: height and width in pixels: 16, 32, 64, 128 or 256.
        channels: 1 for grey, 3 for colour.
        latent_size: dimensions of z.
        width: channels of the widest-resolution hidden layer; they double at every halving of the picture.
            The paper's 64 x 64 networks have 128 in G (1024 at 4 x 4) and 64 in D.
        conditional: draw a class that is asked for: G gets its one-hot code beside z, D projects on it
            (arXiv 1802.05637).
        num_classes: how many classes a conditional model knows.
        discriminator_norm: batch, as in the paper, or none, which the Wasserstein loss with its gradient penalty needs.
    """

    size: Literal[16, 32, 64, 128, 256] = 64
    channels: Literal[1, 3] = 3
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 100
    width: Annotated[int, Meta(ge=1, le=512)] = 64
    conditional: bool = False
    num_classes: Annotated[int, Meta(ge=1, le=10_000)] = 10
    discriminator_norm: Literal["batch", "none"] = "batch"

    @property
    def classes(self) -> int | None:
        """How many classes the networks are conditioned on; None for an unconditional model."""
        return self.num_classes if self.conditional else None

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels at size/2, size/4, …, 4 pixels."""
        stages = self.size.bit_length() - 3  # 16 has two stages (8 and 4 pixels), 64 has four
        return tuple(self.width * 2**stage for stage in range(stages))


def initialise(module: nn.Module) -> None:
    """The paper's initialisation: weights N(0, 0.02), BatchNorm scales N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
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
        self.num_classes = config.classes
        widths = config.stage_widths[::-1]
        project = nn.ConvTranspose2d(config.latent_size + (config.classes or 0), widths[0], 4, 1, 0, bias=False)
        layers: list[nn.Module] = [
            project,
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
        if config.conditional:
            # One class is one input of many: it must weigh as much as all of z for G to heed it from the start.
            of_classes = project.weight[config.latent_size :]
            nn.init.normal_(of_classes.detach(), 0.0, 0.02 * math.sqrt(config.latent_size))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = append_one_hot(z, labels, self.num_classes)
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Pictures (N, channels, size, size) to logits (N,).

    4 x 4 stride-2 convolutions with LeakyReLU(0.2) halve the picture down to 4 x 4, with BatchNorm on all
    but the first; a last 4 x 4 convolution leaves the logit. A conditional one adds the inner product of the
    features with those of the class (projection, arXiv 1802.05637): here over all 4 x 4 positions, as the logit
    itself, since the place of a stroke tells digits apart better than an average over places.
    """

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config)
        self.num_classes = config.classes
        widths = config.stage_widths
        with_norm = config.discriminator_norm == "batch"
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for width_in, width in pairwise(widths):
            layers.append(nn.Conv2d(width_in, width, 4, 2, 1, bias=not with_norm))
            if with_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers)
        self.logit = nn.Conv2d(widths[-1], 1, 4, 1, 0)
        if config.conditional:
            self.class_logits = nn.Conv2d(widths[-1], config.num_classes, 4, 1, 0, bias=False)
        initialise(self)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.features(x)
        logits = self.logit(features).flatten()
        if self.num_classes is not None:
            of_classes = self.class_logits(features).flatten(1)
            logits = logits + of_classes.gather(1, require_labels(labels)[:, None]).squeeze(1)
        return logits
