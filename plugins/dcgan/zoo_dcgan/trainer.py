"""Trainers of both architectures of this plugin: the GAN step of zoo-core, each with its own networks."""

from __future__ import annotations

from typing import Any

from zoo_core import GANTrainer, ModelConfig
from zoo_dcgan.cnn_gan import CNNGANConfig, CNNGANDiscriminator, CNNGANGenerator
from zoo_dcgan.model import DCGANConfig, DCGANDiscriminator, DCGANGenerator


class DCGANTrainer(GANTrainer):
    """Trainer of the DCGAN. The default settings are the recipe of the paper: Adam at 2e-4 with β1 = 0.5."""

    config: DCGANConfig

    @classmethod
    def config_for(
        cls,
        config_class: type[ModelConfig],
        values: dict[str, Any],
        data_shape: tuple[int, ...],
        num_classes: int | None = None,
    ) -> dict[str, Any]:
        """Resize pictures up to the next power of two, 28 to 32 for example, within 16 to 256."""
        values = super().config_for(config_class, values, data_shape, num_classes)
        if "size" in values and len(data_shape) == 3 and values["size"] == data_shape[1]:
            next_power = 1 << (data_shape[1] - 1).bit_length()
            values["size"] = min(max(next_power, 16), 256)
        return values

    def build(self) -> None:
        self.set_networks(DCGANGenerator(self.config), DCGANDiscriminator(self.config))


class CNNGANTrainer(GANTrainer):
    """Trainer of the CNN GAN, with the recipe of the article: Adam at 2e-4 with β1 = 0.5 for both networks."""

    config: CNNGANConfig

    @classmethod
    def config_for(
        cls,
        config_class: type[ModelConfig],
        values: dict[str, Any],
        data_shape: tuple[int, ...],
        num_classes: int | None = None,
    ) -> dict[str, Any]:
        """Resize pictures of any size to 32, the only size that this network supports."""
        return super().config_for(config_class, {"size": 32} | values, data_shape, num_classes)

    def build(self) -> None:
        self.set_networks(CNNGANGenerator(self.config), CNNGANDiscriminator(self.config))
