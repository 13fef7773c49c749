"""The figures that a plugin's `training_step` returns: checked, and ready to be averaged."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import InterfaceError, printable
from zoo_core.interfaces import Trainer

# The log writes these itself, beside the figures.
STEP, RATE = "step", "images_per_second"
STAGE = "stage"  # of a run that has stages


def checked_figures(trainer: Trainer, returned: object) -> dict[str, Tensor | float]:
    """Return the figures of one step, ready to be averaged: tensors without a dimension, and floats.

    Args:
        trainer: whose `training_step` returned them.
        returned: what it returned.

    Raises:
        InterfaceError: for anything but a mapping from names to numbers. A number is a float, an int, a scalar of
            numpy, or an array or tensor of one real value that is not on the meta device, unless the trainer is.
    """
    step = f"{type(trainer).__qualname__}.training_step"
    if not isinstance(returned, Mapping):
        raise InterfaceError(
            f"{step} returned {_described(returned)}; it must return its figures, a dictionary of numbers by name "
            "such as {'loss': loss.detach()}"
        )
    figures: dict[str, Tensor | float] = {}
    for name, value in returned.items():
        if not isinstance(name, str) or name in (STEP, RATE) or (name == STAGE and trainer.stage):
            reason = "the log uses this name itself" if isinstance(name, str) else "a name is a text"
            raise InterfaceError(f"{step} returned a figure called {printable(repr(name), 80)}; {reason}")
        number = _number(value, meta=trainer.device.type == "meta")
        if number is None:
            raise InterfaceError(
                f"{step} returned the figure {printable(name, 80)} as {_described(value)}; "
                "a figure is one real number: a float, or a tensor with one value"
            )
        figures[name] = number
    return figures


def _number(value: object, *, meta: bool) -> Tensor | float | None:
    """The value as one real number, or None where it is not one."""
    if isinstance(value, Tensor):
        dense = value.layout == torch.strided and not value.is_nested and not value.is_quantized
        real = dense and value.numel() == 1 and not value.is_complex() and (meta or not value.is_meta)
        return value.detach().reshape(()).float() if real else None  # sums of narrow types overflow
    if isinstance(value, np.ndarray):
        return float(value.item()) if value.size == 1 and value.dtype.kind in "biuf" else None
    return float(value) if isinstance(value, (Real, np.bool_)) else None


def _described(value: Any) -> str:
    """What came instead, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        kind = "complex tensor" if value.is_complex() else "tensor"
        return f"a {kind} of shape {tuple(value.shape)} on {value.device}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    return f"{printable(repr(value), 60)}, of type {type(value).__qualname__}"
