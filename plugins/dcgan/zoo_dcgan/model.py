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
    """Configuration of a DCGAN, for pictures whose size is a power of two.

    Args:
        size: height and width in pixels: 16, 32, 64, 128 or 256.
        channels: 1 for grey, 3 for colour.
        latent_size: number of dimensions of the latent z.
        width: channels of the hidden layer with the highest resolution; they double whenever the picture is halved.
            In the paper's 64 x 64 networks, G has 128 (1024 at 4 x 4) and D has 64.
        conditional: sample a requested class: its one-hot code is appended to the latent of G, and D projects on
            it (arXiv 1802.05637).
        num_classes: number of classes of a conditional model.
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
        """Number of classes that the networks are conditioned on; None for an unconditional model."""
        return self.num_classes if self.conditional else None

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels at each resolution: size/2, size/4, …, 4 pixels."""
        stages = self.size.bit_length() - 3  # 16 has two stages (8 and 4 pixels), 64 has four
        return tuple(self.width * 2**stage for stage in range(stages))


def initialise(module: nn.Module) -> None:
    """Initialise as in the paper: weights N(0, 0.02), BatchNorm scales N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


class DCGANGenerator(Generator):
    """Generator from z (N, latent_size) to pictures (N, channels, size, size) in [-1, 1].

    z is projected to 4 x 4 pixels, and 4 x 4 transposed convolutions with stride 2 double these up to `size`.
    BatchNorm and ReLU follow every layer but the last, which ends in tanh.
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
            # A class sets one of many inputs to 1: it must weigh as much as all of z, or G ignores it at first.
            of_classes = project.weight[config.latent_size :]
            nn.init.normal_(of_classes.detach(), 0.0, 0.02 * math.sqrt(config.latent_size))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = append_one_hot(z, labels, self.num_classes)
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Discriminator from pictures (N, channels, size, size) to logits (N,).

    4 x 4 convolutions with stride 2 and LeakyReLU(0.2) halve the picture down to 4 x 4, with BatchNorm on all but
    the first; a last 4 x 4 convolution returns the logit. A conditional discriminator adds the inner product of the
    features and a learnt embedding of the class (projection, arXiv 1802.05637). Here, as for the logit itself, it
    covers all 4 x 4 positions, because the position of a stroke distinguishes digits better than an average over
    positions.
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
