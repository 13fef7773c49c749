"""Tests of audio-gan: the contract of zoo-core, on small networks. Add your own below."""

from typing import ClassVar

from zoo_core.testing import ArchitectureContract


class TestAudioGAN(ArchitectureContract):
    architecture = "audio-gan"
    config: ClassVar = {"features": 2, "latent_size": 4, "width": 16}
    refused: ClassVar = [{"features": 0}, {"latent_size": 0}]
