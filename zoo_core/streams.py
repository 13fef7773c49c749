"""Streams of random numbers: latent, label, pixel and noise i of a seed, each a pure function of (seed, i).

Counter-based, so that any batch size, any number of processes and a start in the middle give the same values.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import SamplingError

_LATENT_STREAM, _LABEL_STREAM, _PIXEL_STREAM, _NOISE_STREAM = 0, 1, 2, 3
_STREAM_BITS, _STEP_BITS, _SIZE_BITS = 8, 31, 25  # of the upper word of Philox's key, whose lower word is the seed
_DEQUANTIZING_STEPS = 2**15
_WORDS = 4  # 64-bit words that Philox4x64 yields for one value of its counter


def _draws(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Raw 64-bit draws (count, size) for samples start … start + count - 1.

    Philox (Salmon et al., 2011) turns a counter into random words without any state. Every sample has
    the same number of counter values, so that sample i begins at i times that number.
    """
    blocks = -(-size // _WORDS)
    generator = np.random.Philox(key=seed | stream << 64, counter=start * blocks)
    return generator.random_raw(count * blocks * _WORDS).reshape(count, blocks * _WORDS)[:, :size]


def latents(seed: int, start: int, count: int, shape: tuple[int, ...], truncation: float | None = None) -> Tensor:
    """Draw standard normal latents, each a pure function of (seed, index).

    Args:
        seed: 0 to 2^64 - 1.
        start: index of the first latent, 0 to 2^63 - 1.
        count: number of latents.
        shape: shape of one latent.
        truncation: cut the normal at ± this many standard deviations. The draws are the same, squeezed into the cut
            distribution (the truncation trick, arXiv 1809.11096).

    Returns:
        (count, *shape), float32, on the CPU.

    Raises:
        SamplingError: if a seed, start, count or truncation is out of range.

    Example:
        >>> z = latents(0, 0, 100, (2,))
        >>> torch.equal(z[7:], latents(0, 7, 93, (2,)))  # a start in the middle changes nothing
        True
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


def noise(seed: int, step: int, start: int, count: int, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal noise for one step of a sampler, each sample's a pure function of (seed, index, step).

    It is independent of the latents, the labels and the pixels of the seed, and that of one step of that of any other.
    Shapes of different sizes are independent of each other too.

    Args:
        seed: 0 to 2^64 - 1.
        step: 0 to 2^31 - 1.
        start: index of the first sample, 0 to 2^63 - 1.
        count: number of samples.
        shape: the shape of the noise of one sample.

    Returns:
        (count, *shape), float32, on the CPU.

    Raises:
        SamplingError: if a seed, step, start or count is out of range.

    Example:
        >>> all_of_step_3 = noise(0, 3, 0, 100, (2,))
        >>> torch.equal(all_of_step_3[7:], noise(0, 3, 7, 93, (2,)))
        True
    """
    check_stream(seed, start, count)
    check_whole("step", step, 0, 2**_STEP_BITS)
    size = math.prod(shape)
    stream = _NOISE_STREAM | int(step) << _STREAM_BITS | size % 2**_SIZE_BITS << _STREAM_BITS + _STEP_BITS
    normal: Tensor = torch.special.ndtri(_uniform(seed, stream, start, count, size))
    return normal.to(torch.float32).reshape(count, *shape)


class IndexedNoise:
    """The `noise` that a stochastic generator is given: for each row of a batch that of one sample of the seed.

    Args:
        seed: 0 to 2^64 - 1.
        start: index of the sample in the first row.
        z: the latents (N, …) of the batch, which say how many rows there are, on which device and in which dtype.
        count: number of samples; rows after them, which fill a batch up, have the noise of the last one. N by default.
        same: whether all rows have the noise of the sample `start`, as where one thing is varied from row to row.

    Example:
        >>> draw = IndexedNoise(0, 5, torch.zeros(3, 2))
        >>> draw(step=1, shape=(4,)).shape, torch.equal(draw(1, (4,))[2:], noise(0, 1, 7, 1, (4,)))
        (torch.Size([3, 4]), True)
    """

    def __init__(self, seed: int, start: int, z: Tensor, *, count: int | None = None, same: bool = False) -> None:
        self._seed, self._start = seed, start
        # Not len, which is a number: torch.export would take the batch of its example for the only one.
        self._rows, self._device, self._dtype = z.shape[0], z.device, z.dtype
        self._count = 1 if same else self._rows if count is None else count

    def __call__(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Return (N, *shape), standard normal, on the device and in the dtype of the latents."""
        if self._device.type == "meta":
            return torch.empty(self._rows, *shape, device=self._device, dtype=self._dtype)
        # A pure function of its arguments, and no part of the forward pass, which may be watched.
        with torch._C._DisableTorchDispatch():
            drawn = noise(self._seed, step, self._start, self._count, tuple(shape)).to(self._device, self._dtype)
            missing = self._rows - len(drawn)
            return torch.cat([drawn, drawn[-1:].expand(missing, *shape)]) if missing else drawn


def _uniform(seed: int, stream: int, start: int, count: int, size: int) -> Tensor:
    """Numbers (count, size) between 0 and 1, float64."""
    raw = _draws(seed, stream, start, count, size)
    # The upper 52 bits and a half: exact in float64 and never 0 or 1, where the inverse normal is infinite.
    return torch.from_numpy(((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def binarize(pictures: Tensor, seed: int, start: int) -> Tensor:
    """Draw each pixel black or white, white with the probability of its brightness (dynamic binarization).

    The draws of a picture are a pure function of (seed, index).

    Args:
        pictures: (N, …) in [0, 1].
        seed: 0 to 2^64 - 1.
        start: index of the first picture.

    Returns:
        (N, …), 0 or 1, float32.

    Example:
        >>> binarize(torch.tensor([[0.0, 1.0]]), seed=0, start=0)
        tensor([[0., 1.]])
    """
    check_stream(seed, start, len(pictures))
    uniform = _uniform(seed, _PIXEL_STREAM, start, len(pictures), math.prod(pictures.shape[1:]))
    return (uniform.reshape(pictures.shape) < pictures).float()


def dequantize(pixels: Tensor, seed: int, start: int) -> Tensor:
    """Spread each of the 256 levels of a pixel over its 256th of [0, 1] (uniform dequantisation, arXiv 1511.01844).

    The draws of a picture are a pure function of (seed, index).

    Args:
        pixels: (N, …), uint8.
        seed: 0 to 2^64 - 1.
        start: index of the first picture.

    Returns:
        (N, …), float32, between 0 and 1 and never either.

    Example:
        >>> (dequantize(torch.tensor([[0, 128, 255]], dtype=torch.uint8), seed=0, start=0) * 256).floor()
        tensor([[  0., 128., 255.]])
    """
    check_stream(seed, start, len(pixels))
    uniform = _uniform(seed, _PIXEL_STREAM, start, len(pixels), math.prod(pixels.shape[1:]))
    # In steps that float32 holds exactly beside any level: it would round finer ones up to the next level, or to 1.
    steps = ((uniform * _DEQUANTIZING_STEPS).floor() + 0.5) / _DEQUANTIZING_STEPS
    return ((steps.reshape(pixels.shape) + pixels) / 256).float()


def draw_labels(seed: int, start: int, count: int, num_classes: int) -> Tensor:
    """Draw class indices uniformly, each a pure function of (seed, index).

    Returns:
        (count,), int64, from 0 to num_classes - 1.

    Example:
        >>> labels = draw_labels(seed=0, start=0, count=1000, num_classes=10)
        >>> sorted(set(labels.tolist()))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    check_stream(seed, start, count)
    raw = _draws(seed, _LABEL_STREAM, start, count, 1)[:, 0]
    return torch.from_numpy((raw >> np.uint64(1)).astype(np.int64) % num_classes)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise SamplingError unless the value is a whole number from low to high - 1.

    Example:
        >>> check_whole("n", 0.5, 0, 10)
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: n must be a whole number from 0 to 9, not 0.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < high:
        raise SamplingError(f"{name} must be a whole number from {low} to {high - 1}, not {value!r}")


def check_stream(seed: int, start: int, count: int) -> None:
    """Raise SamplingError for a seed, a start or a count that a stream does not have.

    Example:
        >>> check_stream(seed=0, start=0, count=64)
    """
    check_whole("seed", seed, 0, 2**64)
    check_whole("start", start, 0, 2**63)
    check_whole("n", count, 0, 2**63)


def check_truncation(truncation: float) -> None:
    """Raise SamplingError unless the truncation is a positive number.

    Example:
        >>> check_truncation(0)
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: truncation must be a positive number, not 0
    """
    if not (isinstance(truncation, (int, float)) and math.isfinite(truncation) and truncation > 0):
        raise SamplingError(f"truncation must be a positive number, not {truncation!r}")
