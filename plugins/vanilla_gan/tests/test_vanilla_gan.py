"""The MLP GAN: the contract, shapes, widths and activations."""

import pytest
import torch
from torch import nn
from zoo_vanilla_gan.model import VanillaGANConfig, VanillaGANDiscriminator, VanillaGANGenerator

from zoo_core.testing import ArchitectureContract


class TestVanillaGAN(ArchitectureContract):
    architecture = "vanilla_gan"
    config = {"size": 8, "latent_size": 4, "generator_widths": (16,), "discriminator_widths": (16,)}
    refused = [{"generator_widths": ()}, {"activation": "step"}, {"dropout": 1.0}, {"size": 0}]


class TestConditionalVanillaGAN(TestVanillaGAN):
    config = TestVanillaGAN.config | {"conditional": True, "num_classes": 3}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_and_logits_out(channels):
    config = VanillaGANConfig(size=10, channels=channels, generator_widths=(7,), discriminator_widths=(9, 5, 3))
    x = VanillaGANGenerator(config)(torch.randn(4, 64))
    assert x.shape == (4, channels, 10, 10)
    assert x.abs().max() <= 1
    assert VanillaGANDiscriminator(config)(x).shape == (4,)


def test_widths_are_those_of_the_configuration():
    config = VanillaGANConfig(generator_widths=(11, 13), discriminator_widths=(17,), latent_size=3)
    widths = [layer.out_features for layer in VanillaGANGenerator(config).modules() if isinstance(layer, nn.Linear)]
    assert widths == [11, 13, 784]
    widths = [layer.out_features for layer in VanillaGANDiscriminator(config).modules() if isinstance(layer, nn.Linear)]
    assert widths == [17, 1]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"])
def test_every_activation_runs(activation):
    generator = VanillaGANGenerator(VanillaGANConfig(activation=activation))
    assert torch.isfinite(generator(torch.randn(2, 64))).all()
