"""The range of pictures: whether `to_unit` and `from_unit` match, and whether samples are in the public range."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from zoo_core.errors import InterfaceError, SamplingError

_GREYS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TOLERANCE = 0.01  # a to_unit that rounds to 8 bits is off by less
_ROUNDING = 1e-3  # how far outside [0, 1] a picture may be


class Ranged(Protocol):
    """What is used of a Generator here."""

    @property
    def kind(self) -> str: ...

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    def to_unit(self, x: Tensor) -> Tensor: ...

    def from_unit(self, x: Tensor) -> Tensor: ...


def check_ranges(generator: Ranged, device: torch.device) -> None:
    """Raise InterfaceError unless `to_unit` takes pictures back to [0, 1] that `from_unit` has taken from there.

    Where one class defines both, only black and white are compared, because a model of binary pixels maps every grey to
    one of them. Where a class overrides one of the two alone, the greys between must come back as well.

    Args:
        device: the device of the model, whose methods may use its buffers.

    Example:
        >>> from zoo_core import Generator
        >>> class Squared(Generator):
        ...     sample_shape = (1, 2, 2)
        ...     def forward(self, z, labels=None):
        ...         return z
        ...     def to_unit(self, x):
        ...         return x**2
        >>> check_ranges(Squared(), torch.device("cpu"))
        Traceback (most recent call last):
        zoo_core.errors.InterfaceError: Squared: to_unit(from_unit(x)) is not x: 0 becomes 1; override from_unit as ...
    """
    if device.type == "meta":
        return
    alone = _overridden_alone(type(generator))
    greys = _GREYS if alone else (_GREYS[0], _GREYS[-1])
    before = torch.tensor(greys, device=device)
    shape = (len(greys), *generator.sample_shape)
    with torch.no_grad():
        after = generator.to_unit(generator.from_unit(before.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)))
    farthest = (after.float() - before.reshape(-1, *[1] * (len(shape) - 1))).flatten(1)
    worst = farthest.gather(1, farthest.abs().nan_to_num(math.inf).argmax(1, keepdim=True)).flatten().tolist()
    for grey, error in zip(greys, worst, strict=True):
        if not abs(error) <= _TOLERANCE:
            raise InterfaceError(
                f"{type(generator).__qualname__}: to_unit(from_unit(x)) is not x: {grey:g} becomes {grey + error:.3g}; "
                + (alone or "override both, each as the inverse of the other")
            )


def _overridden_alone(kind: type[Ranged]) -> str | None:
    """What to do about a class that overrides one of `to_unit` and `from_unit` alone; None for any other class."""
    to_unit, from_unit = (next(c for c in kind.__mro__ if name in vars(c)) for name in ("to_unit", "from_unit"))
    if to_unit is from_unit:
        return None
    if issubclass(to_unit, from_unit):
        return f"override from_unit as the inverse of to_unit, which {to_unit.__qualname__} overrides alone"
    return f"override to_unit as the inverse of from_unit, which {from_unit.__qualname__} overrides alone"


def check_public(generator: Ranged, x: Tensor) -> None:
    """Raise SamplingError unless x is what `Generator.sample` could have returned.

    Args:
        x: (N, *sample_shape) of a floating dtype, finite; for kind "image" in [0, 1].

    Example:
        >>> from zoo_core import Generator
        >>> class Picture(Generator):
        ...     sample_shape = (1, 2, 2)
        ...     def forward(self, z, labels=None):
        ...         return z
        >>> check_public(Picture(), torch.full((1, 1, 2, 2), -1.0))
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: pictures are in [0, 1], as sample returns them, not from -1 to -1; \
Picture.to_unit maps them there from the model's own range
    """
    name, shape = type(generator).__qualname__, tuple(generator.sample_shape)
    if not isinstance(x, Tensor):
        raise SamplingError(f"samples must be a tensor (N, {', '.join(map(str, shape))}), not {type(x).__name__}")
    if x.ndim == 0 or tuple(x.shape[1:]) != shape:
        raise SamplingError(f"samples must be of shape (N, {', '.join(map(str, shape))}), not {tuple(x.shape)}")
    if generator.kind != "image" or x.is_meta:
        return
    if not x.is_floating_point():
        pixels = "; divide 8-bit pixels by 255" if x.dtype == torch.uint8 else ""
        raise SamplingError(f"pictures are floating values in [0, 1], not {x.dtype}{pixels}")
    if not x.numel():
        return
    low, high = (end.item() for end in torch.aminmax(x.detach()))
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise SamplingError(
            f"pictures are in [0, 1], as sample returns them, not from {low:.3g} to {high:.3g}; "
            f"{name}.to_unit maps them there from the model's own range"
        )
