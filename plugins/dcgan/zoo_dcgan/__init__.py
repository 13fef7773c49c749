"""DCGAN and the CNN GAN as a zoo-core plugin. torch is imported only when a model is built."""

from collections.abc import Iterable
from pathlib import Path

from zoo_core import Architecture, hookimpl

zoo_api = 1


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="dcgan",
            summary="Deep convolutional GAN (Radford et al., 2015)",
            config="zoo_dcgan.model:DCGANConfig",
            generator="zoo_dcgan.model:DCGANGenerator",
            discriminator="zoo_dcgan.model:DCGANDiscriminator",
            trainer="zoo_dcgan.trainer:DCGANTrainer",
            paper="https://arxiv.org/abs/1511.06434",
            kind="image",
        ),
        Architecture(
            name="cnn-gan",
            summary="The CNN GAN of the article on tensors in generative models, put right",
            config="zoo_dcgan.cnn_gan:CNNGANConfig",
            generator="zoo_dcgan.cnn_gan:CNNGANGenerator",
            discriminator="zoo_dcgan.cnn_gan:CNNGANDiscriminator",
            trainer="zoo_dcgan.trainer:CNNGANTrainer",
            kind="image",
        ),
    ]


@hookimpl
def zoo_registry() -> Path:
    return Path(__file__).with_name("registry.yaml")
