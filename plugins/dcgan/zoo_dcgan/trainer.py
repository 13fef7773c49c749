"""Trainers of both architectures of this plugin: the GAN step of zoo-core, each with its own networks."""

from __future__ import annotations

from zoo_core import GANTrainer
from zoo_dcgan.cnn_gan import CNNGANConfig, CNNGANDiscriminator, CNNGANGenerator
from zoo_dcgan.model import DCGANConfig, DCGANDiscriminator, DCGANGenerator


class DCGANTrainer(GANTrainer):
    """Trainer of the DCGAN. The default settings are the recipe of the paper: Adam at 2e-4 with β1 = 0.5."""

    config: DCGANConfig

    def build(self) -> None:
        self.set_networks(DCGANGenerator(self.config), DCGANDiscriminator(self.config))


class CNNGANTrainer(GANTrainer):
    """Trainer of the CNN GAN, with the recipe of the article: Adam at 2e-4 with β1 = 0.5 for both networks."""

    config: CNNGANConfig

    def build(self) -> None:
        self.set_networks(CNNGANGenerator(self.config), CNNGANDiscriminator(self.config))
