"""Devices: what `auto` means on this machine, and a clear error for a device that it lacks."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from zoo_core.errors import DeviceError
from zoo_core.runtime.environment import local_rank, process_count


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


def device_of_process(name: str) -> str:
    """The device that `auto` or `cuda` means for this process, where several share a machine: each gets its own GPU.

    Example:
        >>> device_of_process("cpu")
        'cpu'
    """
    if name not in ("auto", "cuda") or process_count() == 1 or not torch.cuda.is_available():
        return name
    return f"cuda:{local_rank() % torch.cuda.device_count()}"


def device_and_dtype(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a module's parameters are, and the type of most of their values: that of the layers that compute.

    A module without parameters is where its buffers are, else on the CPU in float32.

    Example:
        >>> device_and_dtype(nn.Linear(2, 3))
        (device(type='cpu'), torch.float32)
    """
    device, values = torch.device("cpu"), Counter[torch.dtype]()
    for tensor in [*module.parameters()] or module.buffers():
        device = tensor.device
        if tensor.is_floating_point():
            values[tensor.dtype] += tensor.numel()
    return device, max(values, key=values.__getitem__, default=torch.float32)
