"""The generator and the discriminator of the first GAN paper: multilayer perceptrons (arXiv 1406.2661)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta
from torch import Tensor, nn

from zoo_core import Discriminator, Generator, ModelConfig
from zoo_core.conditioning import append_one_hot

Width = Annotated[int, Meta(ge=1, le=16384)]
Widths = Annotated[tuple[Width, ...], Meta(min_length=1, max_length=16)]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]


class VanillaGANConfig(ModelConfig, frozen=True):
    """Configuration of an MLP GAN for square pictures.

    Args:
        size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        latent_size: number of dimensions of the latent z.
        generator_widths: widths of the hidden layers of G, from z to the picture.
        discriminator_widths: widths of the hidden layers of D, from the picture to the logit.
        activation: activation after the hidden layers of G and D; leaky_relu has slope 0.2.
        dropout: dropout probability on the hidden layers of D; the paper uses dropout there too.
        conditional: sample a requested class; its one-hot code is appended to the input of both networks
            (arXiv 1411.1784).
        num_classes: number of classes of a conditional model.
    """

    size: Annotated[int, Meta(ge=1, le=256)] = 28
    channels: Literal[1, 3] = 1
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 64
    generator_widths: Widths = (256, 512)
    discriminator_widths: Widths = (512, 256)
    activation: Activation = "leaky_relu"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.3
    conditional: bool = False
    num_classes: Annotated[int, Meta(ge=1, le=10_000)] = 10

    @property
    def classes(self) -> int | None:
        """Number of classes that the networks are conditioned on; None for an unconditional model."""
        return self.num_classes if self.conditional else None


def _activation(name: Activation) -> nn.Module:
    modules: dict[Activation, nn.Module] = {
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(0.2),
        "elu": nn.ELU(),
        "gelu": nn.GELU(),
        "silu": nn.SiLU(),
        "tanh": nn.Tanh(),
    }
    return modules[name]


class VanillaGANGenerator(Generator):
    """Multilayer perceptron from z (N, latent_size) to pictures (N, channels, size, size) in [-1, 1].

    The network of the paper ends in a sigmoid with range [0, 1]. A tanh with range [-1, 1] is the same function
    scaled and centred on zero; it makes training more stable, and GANs have used it ever since.
    """

    config: VanillaGANConfig

    def __init__(self, config: VanillaGANConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        self.sample_shape = (config.channels, config.size, config.size)
        self.num_classes = config.classes
        layers: list[nn.Module] = []
        width_in = config.latent_size + (config.classes or 0)
        for width in config.generator_widths:
            layers += [nn.Linear(width_in, width), _activation(config.activation)]
            width_in = width
        self.layers = nn.Sequential(*layers, nn.Linear(width_in, math.prod(self.sample_shape)), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = append_one_hot(z, labels, self.num_classes)
        return self.layers(z).unflatten(1, self.sample_shape)


class VanillaGANDiscriminator(Discriminator):
    """Multilayer perceptron with dropout, from pictures (N, channels, size, size) to logits (N,)."""

    def __init__(self, config: VanillaGANConfig) -> None:
        super().__init__(config)
        self.num_classes = config.classes
        layers: list[nn.Module] = []
        width_in = config.channels * config.size**2 + (config.classes or 0)
        for width in config.discriminator_widths:
            layers += [nn.Linear(width_in, width), _activation(config.activation), nn.Dropout(config.dropout)]
            width_in = width
        self.layers = nn.Sequential(*layers, nn.Linear(width_in, 1))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(append_one_hot(x.flatten(1), labels, self.num_classes)).squeeze(1)
