"""A GAN of short sounds by their spectrograms, after SpecGAN (Donahue et al., 2018, arXiv 1802.04208).

The generator makes the magnitudes of a spectrum as if they were a picture, and finds phases that go with them. The
discriminator looks at the spectrogram of the sound that results, so that what phases cannot express is punished too.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_core import Discriminator, Generator, ModelConfig, SamplingOptions

from zoo_audio_gan.spectrum import BINS, HOP, Spectrum

PATCH = 4  # the networks work on squares of 4 x 4 values of the spectrogram
DOUBLINGS = 3  # from the first feature map of the generator to the patches
FIRST_BINS = BINS // PATCH >> DOUBLINGS
SHORTEST = HOP * PATCH << DOUBLINGS  # samples: one column of the first feature map
MEAN, SPREAD = -2.5, 2.5  # of log magnitudes, roughly
LOUDEST = 5.5  # log magnitude beyond which a sound would be clipped
TRAINING_ITERATIONS = 4  # for phases while training, where time counts
SLOPE = 0.2


class AudioGANConfig(ModelConfig, frozen=True):
    """Configuration of a GAN of short sounds. `zoo train` takes all but the sizes of the networks from the data.

    Args:
        length: samples in a sound, a multiple of 4096.
        sample_rate: samples per second, in Hz.
        channels: 1 for mono, 2 for stereo.
        num_classes: number of labels; 0 for an unconditional model.
        latent_size: dimensions of z.
        width: channels of the networks are multiples of it.
    """

    length: Annotated[int, Meta(ge=SHORTEST, le=262144, multiple_of=SHORTEST)] = 8192
    sample_rate: Annotated[int, Meta(ge=1000, le=192000)] = 16000
    channels: Literal[1, 2] = 1
    num_classes: Annotated[int, Meta(ge=0, le=10000)] = 0
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 64
    width: Annotated[int, Meta(ge=1, le=1024)] = 16


class AudioGANOptions(SamplingOptions, frozen=True):
    """Choices when sounds are drawn.

    Args:
        iterations: steps of the algorithm that finds the phases: more give clearer sounds.
    """

    iterations: Annotated[int, Meta(ge=0, le=1000)] = 32


class AudioGANGenerator(Generator):
    """Maps z (N, latent_size) and labels (N,) to sounds (N, channels, length) in [-1, 1]."""

    kind = "audio"
    Options = AudioGANOptions
    config: AudioGANConfig

    def __init__(self, config: AudioGANConfig) -> None:
        super().__init__(config)
        self.num_classes = config.num_classes or None
        self.sample_rate = config.sample_rate
        self.latent_shape = (config.latent_size,)
        self.sample_shape = (config.channels, config.length)
        width, inputs = config.width, config.latent_size
        if self.num_classes:
            self.embed = nn.Embedding(self.num_classes, config.latent_size)
            inputs += config.latent_size
        self.first = nn.Linear(inputs, 8 * width * FIRST_BINS * (config.length // SHORTEST))
        self.blocks = nn.Sequential(
            UpBlock(8 * width, 8 * width), UpBlock(8 * width, 4 * width), UpBlock(4 * width, 2 * width)
        )
        self.last = nn.Conv2d(2 * width, config.channels * PATCH**2, 5, padding=2)
        # Which frequencies are loud on average, and how loud silence is, need not be learnt from z.
        self.average = nn.Parameter(torch.full((config.channels, BINS, 1), -3.5))
        self.spectrum = Spectrum(config.length)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, options: AudioGANOptions) -> Tensor:
        iterations = TRAINING_ITERATIONS if self.training else options.iterations
        x: Tensor = self.spectrum.sounds(self.log_magnitudes(z, labels), iterations)
        return x.clamp(-1, 1).to(z.dtype)

    def log_magnitudes(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the log magnitudes (N, channels, BINS, T) of the sounds of latents z."""
        if self.num_classes:
            z = torch.cat([z, self.embed(labels)], 1)
        features = self.first(z).unflatten(1, (-1, FIRST_BINS, self.config.length // SHORTEST))
        patches = self.last(F.leaky_relu(self.blocks(features), SLOPE))
        return (F.pixel_shuffle(patches, PATCH) * SPREAD + self.average).clamp(max=LOUDEST)


class AudioGANDiscriminator(Discriminator):
    """Maps sounds (N, channels, length) and labels (N,) to logits (N,), by projection (arXiv 1802.05637)."""

    def __init__(self, config: AudioGANConfig) -> None:
        super().__init__(config)
        self.num_classes = config.num_classes or None
        width = config.width
        self.spectrum = Spectrum(config.length)
        self.first = nn.Conv2d(config.channels * PATCH**2, 2 * width, 5, padding=2)
        self.blocks = nn.Sequential(
            DownBlock(2 * width, 4 * width), DownBlock(4 * width, 8 * width), DownBlock(8 * width, 8 * width)
        )
        features = 8 * width * FIRST_BINS * (config.length // SHORTEST)
        self.last = nn.Linear(features, 1)
        if self.num_classes:
            self.embed = nn.Embedding(self.num_classes, config.latent_size)
            self.project = nn.Linear(features, config.latent_size, bias=False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        spectrogram = (self.spectrum.log_magnitudes(x) - MEAN) / SPREAD
        features = self.blocks(self.first(F.pixel_unshuffle(spectrogram, PATCH)))
        features = F.leaky_relu(features, SLOPE).flatten(1)
        logits: Tensor = self.last(features).squeeze(1)
        if self.num_classes:
            projected = self.project(features)
            logits = logits + (projected * self.embed(labels)).sum(1) / projected.shape[1] ** 0.5
        return logits


class UpBlock(nn.Module):
    """Doubles a feature map: (N, before, H, W) to (N, after, 2H, 2W)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1)
        self.residual = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(F.interpolate(F.leaky_relu(x, SLOPE), scale_factor=2))
        return x + 0.5 * self.residual(F.leaky_relu(x, SLOPE))


class DownBlock(nn.Module):
    """Halves a feature map: (N, before, H, W) to (N, after, H / 2, W / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 4, stride=2, padding=1)
        self.residual = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(F.leaky_relu(x, SLOPE))
        return x + 0.5 * self.residual(F.leaky_relu(x, SLOPE))
