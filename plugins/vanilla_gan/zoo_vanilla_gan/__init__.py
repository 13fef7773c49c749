"""The MLP GAN of Goodfellow et al. (2014) as a zoo-core plugin. torch is imported only when a model is built."""

from collections.abc import Iterable
from pathlib import Path

from zoo_core import Architecture, hookimpl

zoo_api = 1


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="vanilla_gan",
            summary="Generative adversarial network of fully connected layers (Goodfellow et al., 2014)",
            config="zoo_vanilla_gan.model:VanillaGANConfig",
            generator="zoo_vanilla_gan.model:VanillaGANGenerator",
            discriminator="zoo_vanilla_gan.model:VanillaGANDiscriminator",
            trainer="zoo_vanilla_gan.trainer:VanillaGANTrainer",
            paper="https://arxiv.org/abs/1406.2661",
            kind="image",
        )
    ]


@hookimpl
def zoo_registry() -> Path:
    return Path(__file__).with_name("registry.yaml")
