"""Precision: fp32, bf16 and fp16, which of them a device computes in, and autocast.

torch is imported when a function is called, so that settings can name a precision without it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from zoo_core.errors import DeviceError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the precision for a run: `auto` is bf16 on a CUDA device that computes in it, and fp32 on any other.

    Raises:
        DeviceError: for a precision that the device does not compute in.

    Example:
        >>> import torch
        >>> resolve_precision("auto", torch.device("cpu"))
        'fp32'
    """
    from zoo_core.runtime.devices import computes_in_bf16, model_of, type_of

    if precision == "auto":
        return "bf16" if type_of(device).bf16_by_default and computes_in_bf16(device) else "fp32"
    if precision == "bf16" and not computes_in_bf16(device):
        raise DeviceError(f"{model_of(device)} does not compute in bf16; use fp16 or fp32")
    return precision


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Run forward passes in `precision`; fp32 switches off an autocast around the block.

    Devices without autocast are left as they are.

    Example:
        >>> import torch
        >>> with autocast(torch.device("cpu"), "bf16"):
        ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    import torch

    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, _dtype(precision), enabled=precision != "fp32")


def _dtype(precision: Precision) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
