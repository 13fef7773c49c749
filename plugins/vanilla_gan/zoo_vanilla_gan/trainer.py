"""Training of the MLP GAN: the shared GAN step on its two networks."""

from __future__ import annotations

from zoo_core import GANTrainer
from zoo_vanilla_gan.model import VanillaGANConfig, VanillaGANDiscriminator, VanillaGANGenerator


class VanillaGANTrainer(GANTrainer):
    """Adam on both networks; the settings name the game (arXiv 1406.2661, algorithm 1 with k = 1)."""

    config: VanillaGANConfig

    def build(self) -> None:
        self.set_networks(VanillaGANGenerator(self.config), VanillaGANDiscriminator(self.config))
