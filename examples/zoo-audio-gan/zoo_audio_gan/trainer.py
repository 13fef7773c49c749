"""Trainer of audio-gan, with zoo-core's shared GAN step."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta
from zoo_core import GANSettings, GANTrainer, Settings

from zoo_audio_gan.model import (
    AudioGANConfig,
    AudioGANDiscriminator,
    AudioGANGenerator,
)


class AudioGANSettings(GANSettings, frozen=True):
    """Settings of a run, beside those of every GAN.

    Args:
        batch_size: sounds per step.
        betas: decay rates of Adam; without momentum, as the R1 penalty steadies the game.
        r1_gamma: γ of the R1 penalty; small, because the logarithm of a spectrum is steep where a sound is silent.
        r1_every: steps between two penalties.
    """

    batch_size: Annotated[int, Meta(ge=1)] = 16
    betas: tuple[Annotated[float, Meta(ge=0, lt=1)], Annotated[float, Meta(ge=0, lt=1)]] = (0.0, 0.99)
    r1_gamma: Annotated[float, Meta(ge=0)] = 0.002
    r1_every: Annotated[int, Meta(ge=1)] = 16


class AudioGANTrainer(GANTrainer):
    """Adam on both networks, with lazy R1; the settings choose the loss (arXiv 1406.2661)."""

    Settings: ClassVar[type[Settings]] = AudioGANSettings
    config: AudioGANConfig

    def build(self) -> None:
        self.set_networks(
            AudioGANGenerator(self.config),
            AudioGANDiscriminator(self.config),
        )
