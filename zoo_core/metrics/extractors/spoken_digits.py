"""Features of short sounds: a small classifier of spoken digits, bundled, so that evaluation needs no download.

Trained by tools/train_extractor.py. It looks at the logarithm of a mel spectrogram: power in 40 bands that are as
wide as the ear's. Its features decide every figure that names it, so that other weights or another spectrogram make
another version.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core.metrics.extractors.bundled import load_bundled

SAMPLE_RATE = 16_000  # Hz; the core resamples sounds of another rate
LENGTH = 8_192  # samples: shorter sounds get zeros on both sides, longer ones are taken as they are
DIMENSIONS = 64
WINDOW, HOP, BANDS = 512, 128, 40
FLOOR = 1e-2  # of the power, about that of noise of 0.003: what is below, nobody hears beside a voice
WEIGHTS = Path(__file__).with_name("weights") / "spoken-digits-1.safetensors"


def mel_filters() -> Tensor:
    """Return the weight of each frequency of the spectrum in each band: (BANDS, WINDOW // 2 + 1), float32.

    Triangles that overlap by half, equally wide on the scale of O'Shaughnessy, 2595 log10(1 + f / 700).
    """
    mels = torch.linspace(0, 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700), BANDS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)
    low, centre, high = (edges[first : first + BANDS, None] for first in range(3))
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0).float()


def _convolution(width_in: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


class SpokenDigitNetwork(nn.Module):
    """A log-mel spectrogram, four convolutions and two linear layers; features come from the first linear layer."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)
        self.convolutions = nn.Sequential(
            *_convolution(1, 16, 1), *_convolution(16, 32, 2), *_convolution(32, 32, 1), *_convolution(32, 48, 2)
        )
        self.pool = nn.AdaptiveAvgPool2d((5, 4))  # bands and time: a sound of any length
        self.embedding = nn.Linear(48 * 5 * 4, DIMENSIONS, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSIONS)
        self.classifier = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Linear(DIMENSIONS, 10))

    def spectrogram(self, sounds: Tensor) -> Tensor:
        """Return the log-mel spectrogram (N, 1, BANDS, frames) of sounds (N, 1, L) at SAMPLE_RATE."""
        short = max(0, LENGTH - sounds.shape[2])
        x = F.pad(sounds[:, 0], (short // 2, short - short // 2))
        spectrum = torch.stft(x, WINDOW, HOP, window=self.window, pad_mode="constant", return_complex=True)
        power: Tensor = self.filters @ spectrum.abs().square()
        return (power + FLOOR).log()[:, None] / 4  # a range of about −1 to 2

    def forward(self, sounds: Tensor) -> Tensor:
        """Return features (N, 64), float32, of sounds (N, 1, L), float32 in [-1, 1] at 16 kHz."""
        maps = self.pool(self.convolutions(self.spectrogram(sounds)))
        features: Tensor = self.norm(self.embedding(maps.flatten(1)))
        return features

    def logits(self, sounds: Tensor) -> Tensor:
        """Return the logits of the ten digits, (N, 10), for sounds as `forward` takes them."""
        scores: Tensor = self.classifier(self(sounds))
        return scores


def load(weights: Path | None = None) -> SpokenDigitNetwork:
    """Return the bundled network, or one from a file of the same tensors, in eval mode. Raises MetricError."""
    return load_bundled(SpokenDigitNetwork(), weights or WEIGHTS, "spoken-digits")
