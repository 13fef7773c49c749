"""A GAN of raw sound, after WaveGAN (Donahue et al., 2018, arXiv 1802.04208).

WaveGAN convolves at the rate of the samples. Here both networks work on frames, 16 samples apart, which a filter bank of
overlapping filters turns into sound and back: a learnt counterpart of the short-time Fourier transform, and several times
cheaper.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_core import Discriminator, Generator, ModelConfig

FILTER, HOP = 64, 16  # samples: the length of a filter, and the distance of two frames
SCALES = (6, 4, 3, 2, 2)  # channels after each doubling of the frames, in multiples of the width
SLOPE = 0.2


class AudioGANConfig(ModelConfig, frozen=True):
    """Configuration of a GAN of short sounds. `zoo train` takes all but the sizes of the networks from the data.

    Args:
        length: samples in a sound, a multiple of 512.
        sample_rate: samples per second, in Hz.
        channels: 1 for mono, 2 for stereo.
        num_classes: number of labels; 0 for an unconditional model.
        latent_size: dimensions of z.
        width: channels of the networks are multiples of it.
    """

    length: Annotated[int, Meta(ge=512, le=262144, multiple_of=512)] = 8192
    sample_rate: Annotated[int, Meta(ge=1000, le=192000)] = 16000
    channels: Literal[1, 2] = 1
    num_classes: Annotated[int, Meta(ge=0, le=10000)] = 0
    latent_size: Annotated[int, Meta(ge=1, le=4096)] = 64
    width: Annotated[int, Meta(ge=1, le=1024)] = 16

    @property
    def first_frames(self) -> int:
        """Frames where the generator begins and the discriminator ends."""
        return self.length // HOP >> len(SCALES)


class AudioGANGenerator(Generator):
    """Maps z (N, latent_size) and labels (N,) to sounds (N, channels, length) in [-1, 1]."""

    kind = "audio"
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
        self.first = nn.Linear(inputs, 8 * width * config.first_frames)
        steps = zip((8, *SCALES), SCALES, strict=False)
        self.blocks = nn.ModuleList(UpBlock(before * width, after * width) for before, after in steps)
        self.filters = nn.ConvTranspose1d(SCALES[-1] * width, config.channels, FILTER, HOP, (FILTER - HOP) // 2)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = torch.cat([z, self.embed(labels)], 1)
        frames = self.first(z).unflatten(1, (-1, self.config.first_frames))
        for block in self.blocks:
            frames = block(frames)
        return torch.tanh(self.filters(F.leaky_relu(frames, SLOPE)))


class AudioGANDiscriminator(Discriminator):
    """Maps sounds (N, channels, length) and labels (N,) to logits (N,), by projection (arXiv 1802.05637)."""

    def __init__(self, config: AudioGANConfig) -> None:
        super().__init__(config)
        self.num_classes = config.num_classes or None
        scales, width = (4, 4, 4, 6, 8, 8), config.width
        self.filters = nn.Conv1d(config.channels, scales[0] * width, FILTER, HOP, (FILTER - HOP) // 2)
        steps = zip(scales, scales[1:], strict=False)
        self.blocks = nn.ModuleList(DownBlock(before * width, after * width) for before, after in steps)
        features = scales[-1] * width * config.first_frames
        self.last = nn.Linear(features, 1)
        if self.num_classes:
            self.embed = nn.Embedding(self.num_classes, config.latent_size)
            self.project = nn.Linear(features, config.latent_size, bias=False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        frames = self.filters(x)
        for block in self.blocks:
            frames = block(frames)
        features = F.leaky_relu(frames, SLOPE).flatten(1)
        logits: Tensor = self.last(features).squeeze(1)
        if self.num_classes:
            projected = self.project(features)
            logits = logits + (projected * self.embed(labels)).sum(1) / projected.shape[1] ** 0.5
        return logits


class UpBlock(nn.Module):
    """Doubles the frames: (N, before, T) to (N, after, 2T)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(before, after, 7, padding=3)
        self.residuals = nn.Sequential(Residual(after, 1), Residual(after, 3))

    def forward(self, x: Tensor) -> Tensor:
        doubled = F.interpolate(F.leaky_relu(x, SLOPE), scale_factor=2)
        return self.residuals(self.convolution(doubled))


class DownBlock(nn.Module):
    """Halves the frames: (N, before, T) to (N, after, T / 2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(before, after, 7, stride=2, padding=3)
        self.residual = Residual(after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(self.convolution(F.leaky_relu(x, SLOPE)))


class Residual(nn.Module):
    """Adds a dilated convolution to frames (N, channels, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.convolution(F.leaky_relu(x, SLOPE))
