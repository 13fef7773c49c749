"""Sounds at another rate: a band-limited interpolation, computed by one convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ZEROS = 16  # zero crossings of the sinc on either side
ROLLOFF = 0.95  # of the lower Nyquist frequency, up to which frequencies are kept


def resampled(sounds: Tensor, rate: int, new_rate: int) -> Tensor:
    """Return sounds at another rate: (N, C, ceil(L · new_rate / rate)), in the dtype of `sounds`.

    A sinc in a Hann window (Smith, "Digital Audio Resampling", CCRMA). With both rates divided by their greatest common
    divisor, output i + k · new takes the same weights for every k: each i is one filter of a strided convolution.

    Args:
        sounds: (N, C, L), floating.
        rate: of the sounds, in Hz.
        new_rate: in Hz.

    Example:
        >>> resampled(torch.zeros(2, 1, 8_000), 8_000, 16_000).shape
        torch.Size([2, 1, 16000])
        >>> resampled(torch.ones(1, 1, 100), 44_100, 16_000)[0, 0, 18]
        tensor(1.0000)
    """
    if rate == new_rate:
        return sounds
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    filters, reach = _filters(old, new)
    count, channels, length = sounds.shape
    wanted = -(-length * new // old)
    padded = F.pad(sounds.reshape(count * channels, 1, length), (reach, reach + old))
    parts = F.conv1d(padded, filters.to(sounds), stride=old)  # (N · C, new, steps)
    return parts.mT.reshape(count, channels, -1)[..., :wanted]


def _filters(old: int, new: int) -> tuple[Tensor, int]:
    """The weights of the samples around each of `new` outputs, (new, 1, taps), and how many lie before the first."""
    cutoff = min(old, new) * ROLLOFF / 2  # in cycles per `old` samples
    width = ZEROS / (2 * cutoff)  # of half the window, in units of `old` samples
    reach = math.ceil(width * old)
    inputs = torch.arange(-reach, reach + old, dtype=torch.float64) / old
    outputs = torch.arange(new, dtype=torch.float64)[:, None] / new
    away = inputs - outputs
    window = torch.cos(away / width * math.pi / 2).square() * (away.abs() < width)
    weights = torch.sinc(2 * cutoff * away) * window
    return (weights / weights.sum(1, keepdim=True))[:, None], reach
