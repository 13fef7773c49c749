"""Training of the MLP GAN: the GAN step of zoo-core with the two networks of this plugin."""

from __future__ import annotations

from zoo_core import GANTrainer
from zoo_vanilla_gan.model import VanillaGANConfig, VanillaGANDiscriminator, VanillaGANGenerator


class VanillaGANTrainer(GANTrainer):
    """Trainer of both networks with Adam (arXiv 1406.2661, algorithm 1 with k = 1); the settings choose the loss."""

    config: VanillaGANConfig

    def build(self) -> None:
        self.set_networks(VanillaGANGenerator(self.config), VanillaGANDiscriminator(self.config))
