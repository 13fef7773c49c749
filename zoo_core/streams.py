"""Streams of random numbers: latent, label and pixel i of a seed, each a pure function of (seed, i).

Counter-based, so that any batch size, any number of processes and a start in the middle give the same values.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import SamplingError

_LATENT_STREAM, _LABEL_STREAM, _PIXEL_STREAM = 0, 1, 2
_WORDS = 4  # 64-bit words that Philox4x64 yields for one value of its counter


def _draws(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Raw 64-bit draws (count, size) of samples start … start + count - 1.

    Philox (Salmon et al., 2011) turns a counter into random words without a state; every sample owns
    the same number of counter values, so that sample i begins at i times that number.
    """
    blocks = -(-size // _WORDS)
    generator = np.random.Philox(key=seed | stream << 64, counter=start * blocks)
    return generator.random_raw(count * blocks * _WORDS).reshape(count, blocks * _WORDS)[:, :size]


def latents(seed: int, start: int, count: int, shape: tuple[int, ...], truncation: float | None = None) -> Tensor:
    """Standard normal latents, each a pure function of (seed, its index).

    Args:
        seed: 0 to 2^64 - 1.
        start: index of the first latent, 0 to 2^63 - 1.
        count: how many.
        shape: of one latent.
        truncation: cut the normal at ± this many standard deviations; the same draws, squeezed.

    Returns:
        (count, *shape), float32, on the CPU.

    Raises:
        SamplingError: for a seed, start, count or truncation out of range.
    """
    check_stream(seed, start, count)
    uniform = _uniform(seed, _LATENT_STREAM, start, count, math.prod(shape))
    if truncation is not None:
        check_truncation(truncation)
        tail = math.erfc(truncation / math.sqrt(2)) / 2
        uniform = tail + uniform * (1 - 2 * tail)
    normal = torch.special.ndtri(uniform)
    if truncation is not None:
        normal = normal.clamp(-truncation, truncation)
    result: Tensor = normal.to(torch.float32).reshape(count, *shape)
    return result


def _uniform(seed: int, stream: int, start: int, count: int, size: int) -> Tensor:
    """Numbers (count, size) between 0 and 1, float64."""
    raw = _draws(seed, stream, start, count, size)
    # The upper 52 bits and a half: exact in float64 and never 0 or 1, where the inverse normal is infinite.
    return torch.from_numpy(((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def binarize(pictures: Tensor, seed: int, start: int) -> Tensor:
    """Each pixel drawn black or white, as likely white as it is bright; a pure function of (seed, the picture's index).

    Args:
        pictures: (N, …) in [0, 1].
        start: index of the first.

    Returns:
        (N, …), 0 or 1, float32.
    """
    check_stream(seed, start, len(pictures))
    uniform = _uniform(seed, _PIXEL_STREAM, start, len(pictures), math.prod(pictures.shape[1:]))
    return (uniform.reshape(pictures.shape) < pictures).float()


def draw_labels(seed: int, start: int, count: int, num_classes: int) -> Tensor:
    """Uniform class indices (count,), int64, each a pure function of (seed, its index)."""
    check_stream(seed, start, count)
    raw = _draws(seed, _LABEL_STREAM, start, count, 1)[:, 0]
    return torch.from_numpy((raw >> np.uint64(1)).astype(np.int64) % num_classes)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < high:
        raise SamplingError(f"{name} must be a whole number from {low} to {high - 1}, not {value!r}")


def check_stream(seed: int, start: int, count: int) -> None:
    check_whole("seed", seed, 0, 2**64)
    check_whole("start", start, 0, 2**63)
    check_whole("n", count, 0, 2**63)


def check_truncation(truncation: float) -> None:
    if not (isinstance(truncation, (int, float)) and math.isfinite(truncation) and truncation > 0):
        raise SamplingError(f"truncation must be a positive number, not {truncation!r}")
