"""Differentiable augmentation: random changes to what D sees, real and generated alike (arXiv 2006.10738).

It keeps a discriminator from memorising a small data set. Real and fake samples pass through the same random changes,
and gradients flow through them to G, so the generator does not learn to draw the changes themselves.

To add one, write its function and enter it in AUGMENTATIONS: `zoo train --set augment=NAME` and GANSettings accept it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

TRANSLATION = 1 / 8  # the longest shift, as a share of the side; the paper's ratio
CUTOUT = 1 / 2  # side of the square that is removed, as a share of the picture's; the paper's ratio

# Uniform numbers in [0, 1) for one batch: (count of numbers per sample) -> (N, count).
Uniform = Callable[[int], Tensor]


def augment(x: Tensor, policy: Sequence[Augmentation], uniform: Uniform) -> Tensor:
    """Change each picture at random.

    Args:
        x: (N, C, H, W) in a range that is symmetric about 0, such as [-1, 1].
        policy: names of augmentations, in the order in which they are applied.
        uniform: draws the random numbers, so that the caller decides their stream.

    Returns:
        (N, C, H, W), differentiable in x.

    Example:
        >>> x = torch.ones(2, 1, 4, 4)
        >>> y = augment(x, ["cutout"], uniform=lambda count: torch.full((2, count), 0.5))
        >>> y[0, 0].int().tolist()
        [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    for name in policy:
        x = AUGMENTATIONS[name](x, uniform)
    return x


def color(x: Tensor, uniform: Uniform) -> Tensor:
    """Brightness ± 0.5, saturation × [0, 2), contrast × [0.5, 1.5), as in the paper's released policy."""
    brightness, saturation, contrast = uniform(3).to(x.dtype)[:, :, None, None, None].unbind(1)
    x = x + (brightness - 0.5)
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = torch.lerp(grey, x, saturation * 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, contrast + 0.5)


def translation(x: Tensor, uniform: Uniform) -> Tensor:
    """Shift by up to an eighth of the side along each axis; pixels that come in from outside are 0."""
    height, width = x.shape[2:]
    shifts = uniform(2)
    down = _whole_numbers(shifts[:, 0], round(height * TRANSLATION))
    right = _whole_numbers(shifts[:, 1], round(width * TRANSLATION))
    x = _shift(x, down, 2)
    return _shift(x, right, 3)


def _whole_numbers(uniform: Tensor, largest: int) -> Tensor:
    """Whole numbers from -largest to largest, equally likely."""
    return (uniform * (2 * largest + 1)).long() - largest


def _shift(x: Tensor, offsets: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    source = torch.arange(size, device=x.device)[None] - offsets[:, None]
    inside = (source >= 0) & (source < size)
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    index = source.clamp(0, size - 1).reshape(shape).expand(x.shape)
    return x.gather(axis, index) * inside.reshape(shape)


def cutout(x: Tensor, uniform: Uniform) -> Tensor:
    """Set a square of half the side, centred anywhere in the picture, to 0."""
    height, width = x.shape[2:]
    centres = uniform(2)
    rows = _covered(centres[:, 0], height)
    columns = _covered(centres[:, 1], width)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return x * ~hidden


def _covered(centre: Tensor, size: int) -> Tensor:
    """Which of `size` pixels along an axis the square covers: (N, size)."""
    length = round(size * CUTOUT)
    first = (centre * (size + 1 - length % 2)).long()[:, None] - length // 2
    pixels = torch.arange(size, device=centre.device)[None]
    return (pixels >= first) & (pixels < first + length)


# Each takes pictures (N, C, H, W) and a source of uniform numbers, and returns pictures of the same shape.
AUGMENTATIONS: dict[str, Callable[[Tensor, Uniform], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}

if TYPE_CHECKING:
    Augmentation = str  # a type checker cannot read the names from the table
else:
    Augmentation = Literal[tuple(AUGMENTATIONS)]
