"""The variational autoencoder as a zoo-core plugin. torch is imported only when a model is built."""

from collections.abc import Iterable
from pathlib import Path

from zoo_core import Architecture, hookimpl

zoo_api = 1


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="vae",
            summary="Variational autoencoder (Kingma & Welling, 2013) with a weight β on the KL term",
            config="zoo_vae.model:VAEConfig",
            generator="zoo_vae.model:VAE",
            trainer="zoo_vae.trainer:VAETrainer",
            paper="https://arxiv.org/abs/1312.6114",
            kind="image",
        )
    ]


@hookimpl
def zoo_registry() -> Path:
    return Path(__file__).with_name("registry.yaml")
