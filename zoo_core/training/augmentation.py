"""Differentiable augmentation: what D sees, real and generated alike, is changed at random (arXiv 2006.10738).

It keeps a discriminator from learning a small data set by heart. Since real and fake samples pass the same random
changes, through which gradients flow to G, the generator does not learn to draw the changes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

Augmentation = Literal["color", "translation", "cutout"]
TRANSLATION = 1 / 8  # at most, of the side; the paper's ratio
CUTOUT = 1 / 2  # side of the square that is taken out, of the picture's; the paper's ratio

# Uniform numbers in [0, 1) for one batch: (count of numbers per sample) -> (N, count).
Uniform = Callable[[int], Tensor]


def augment(x: Tensor, policy: Sequence[Augmentation], uniform: Uniform) -> Tensor:
    """Change each picture at random.

    Args:
        x: (N, C, H, W) in a range that is symmetric about 0, [-1, 1] say.
        policy: which changes, in their order.
        uniform: draws the random numbers, so that the caller decides their stream.

    Returns:
        (N, C, H, W), differentiable in x.
    """
    for name in policy:
        x = _CHANGES[name](x, uniform)
    return x


def _color(x: Tensor, uniform: Uniform) -> Tensor:
    """Brightness ± 0.5, saturation × [0, 2), contrast × [0.5, 1.5), as in the paper's released policy."""
    brightness, saturation, contrast = uniform(3).to(x.dtype)[:, :, None, None, None].unbind(1)
    x = x + (brightness - 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = torch.lerp(grey, x, saturation * 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, contrast + 0.5)


def _translation(x: Tensor, uniform: Uniform) -> Tensor:
    """Shift by up to an eighth of the side along each axis; what comes in from outside is 0."""
    height, width = x.shape[2:]
    shifts = uniform(2)
    down = _within(shifts[:, 0], round(height * TRANSLATION))
    right = _within(shifts[:, 1], round(width * TRANSLATION))
    x = _shift(x, down, 2)
    return _shift(x, right, 3)


def _within(uniform: Tensor, most: int) -> Tensor:
    """Whole numbers -most … most, equally likely."""
    return (uniform * (2 * most + 1)).long() - most


def _shift(x: Tensor, by: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    source = torch.arange(size, device=x.device)[None] - by[:, None]
    inside = (source >= 0) & (source < size)
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    index = source.clamp(0, size - 1).reshape(shape).expand(x.shape)
    return x.gather(axis, index) * inside.reshape(shape)


def _cutout(x: Tensor, uniform: Uniform) -> Tensor:
    """Set a square of half the side, its centre anywhere in the picture, to 0."""
    height, width = x.shape[2:]
    centres = uniform(2)
    rows = _covered(centres[:, 0], height)
    columns = _covered(centres[:, 1], width)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return x * ~hidden


def _covered(centre: Tensor, size: int) -> Tensor:
    """Which of `size` pixels lie under the square: (N, size)."""
    length = round(size * CUTOUT)
    first = (centre * (size + 1 - length % 2)).long()[:, None] - length // 2
    pixels = torch.arange(size, device=centre.device)[None]
    return (pixels >= first) & (pixels < first + length)


_CHANGES: dict[Augmentation, Callable[[Tensor, Uniform], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
