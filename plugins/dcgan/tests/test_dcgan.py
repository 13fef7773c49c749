"""DCGAN and the CNN GAN: the contract, shapes, and the paper's initialisation."""

import pytest
import torch
from torch import nn
from zoo_dcgan.cnn_gan import CNNGANConfig, CNNGANDiscriminator, CNNGANGenerator
from zoo_dcgan.model import DCGANConfig, DCGANDiscriminator, DCGANGenerator
from zoo_dcgan.trainer import CNNGANTrainer, DCGANTrainer

from zoo_core.testing import ArchitectureContract


class TestDCGAN(ArchitectureContract):
    architecture = "dcgan"
    config = {"size": 16, "channels": 1, "width": 4, "latent_size": 4}
    refused = [{"size": 28}, {"size": 512}, {"channels": 2}, {"width": 0}, {"width": 10**9}]


class TestConditionalDCGAN(TestDCGAN):
    config = TestDCGAN.config | {"conditional": True, "num_classes": 3}


class TestCNNGAN(ArchitectureContract):
    architecture = "cnn-gan"
    config = {"latent_size": 4}
    refused = [{"size": 64}, {"channels": 2}]


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_and_colour_has_the_shape_it_states(size, channels):
    config = DCGANConfig(size=size, channels=channels, width=2, latent_size=5)
    generator, discriminator = DCGANGenerator(config).eval(), DCGANDiscriminator(config).eval()
    x = generator(torch.randn(2, *generator.latent_shape))
    assert x.shape == (2, channels, size, size) == (2, *generator.sample_shape)
    assert discriminator(x).shape == (2,)


def test_the_64_pixel_network_has_the_papers_shapes():
    config = DCGANConfig(size=64, channels=3, width=128)
    shapes = [
        tuple(layer.weight.shape) for layer in DCGANGenerator(config).layers if isinstance(layer, nn.ConvTranspose2d)
    ]
    assert shapes == [(100, 1024, 4, 4), (1024, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4)]


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_weights_start_as_the_paper_says(network):
    torch.manual_seed(0)
    for layer in network(DCGANConfig(width=64)).modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            assert layer.weight.mean().abs() < 2e-3
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1.0, abs=0.02)
            assert layer.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("discriminator", "config"),
    [
        (DCGANDiscriminator, DCGANConfig(size=16, channels=1, width=4, discriminator_norm="none")),
        (CNNGANDiscriminator, CNNGANConfig(discriminator_norm="none")),
    ],
)
def test_without_norms_a_logit_does_not_depend_on_the_rest_of_the_batch(discriminator, config):
    """In train mode, where BatchNorm would mix the samples."""
    network, x = discriminator(config), torch.randn(4, 1, config.size, config.size)
    torch.testing.assert_close(network(x)[:1], network(x[:1]))


def layer_shapes(network, x):
    """What leaves each convolution of `network`, in order."""
    shapes = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
        for layer in network.modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
    return shapes


def test_01_the_cnn_gan_ends_at_32_pixels_not_at_the_articles_16():
    config = CNNGANConfig()
    generator = layer_shapes(CNNGANGenerator(config), torch.randn(2, 100))
    assert generator == [(128, 16, 16), (64, 32, 32), (1, 32, 32)]
    discriminator = layer_shapes(CNNGANDiscriminator(config), torch.randn(2, 1, 32, 32))
    assert discriminator == [(64, 16, 16), (128, 8, 8), (128, 8, 8)]


def test_the_cnn_gan_has_biases_where_the_article_has_them():
    generator = CNNGANGenerator(CNNGANConfig())
    assert generator.dense[0].bias is None
    assert generator.convolutions[-2].bias is None
    assert generator.convolutions[-2].kernel_size == (7, 7)


@pytest.mark.parametrize(("pixels", "size"), [(28, 32), (32, 32), (33, 64), (5, 16), (200, 256), (900, 256)])
def test_the_size_is_the_next_power_of_two(pixels, size):
    assert DCGANTrainer.config_for(DCGANConfig, {}, (1, pixels, pixels)) == {"channels": 1, "size": size}


def test_a_size_that_was_asked_for_stays():
    assert DCGANTrainer.config_for(DCGANConfig, {"size": 64}, (3, 28, 28)) == {"channels": 3, "size": 64}
    assert CNNGANTrainer.config_for(CNNGANConfig, {}, (1, 28, 28)) == {"channels": 1, "size": 32}
