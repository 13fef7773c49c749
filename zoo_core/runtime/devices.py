"""Which device and which precision: what `auto` means, and a clear error for what is not there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from zoo_core.errors import DeviceError
from zoo_core.settings import Precision

PRECISIONS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA, then Apple's MPS, then the CPU.

    Raises:
        DeviceError: for a name that torch does not know, or a device that this machine lacks.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"there is no device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(f"device {name} is not there: torch sees {count} CUDA devices; --device cpu works")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps is not there: it needs a Mac with Apple silicon; --device cpu works")
    elif device.type not in ("cpu", "cuda", "mps", "meta"):
        raise DeviceError(f"device {name!r} is not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision that `auto` means on a device: bf16 on a CUDA card that computes in it, else fp32.

    Raises:
        DeviceError: for a precision that the device does not compute in.
    """
    bf16_on_cuda = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bf16" if bf16_on_cuda else "fp32"
    if precision == "bf16" and device.type == "cuda" and not bf16_on_cuda:
        raise DeviceError(f"{torch.cuda.get_device_name(device)} does not compute in bf16; use fp16 or fp32")
    return precision


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Forward passes in `precision`; fp32 turns an autocast around it off. Does nothing on devices without autocast."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")
