"""Devices: which one a name means on this machine, and what each type of device can do.

No other module knows a type of device beside the CPU. To support another type, enter it in DEVICE_TYPES, and call its
module of torch, the counterpart of `torch.cuda`, in the functions below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_core.errors import DeviceError
from zoo_core.runtime.environment import local_rank, process_count


@dataclass(frozen=True)
class DeviceType:
    """What devices of a type can do.

    Attributes:
        fused_optimizers: whether torch has fused kernels for its optimizers.
        asynchronous: whether the device computes while Python continues. Copies to it then come from pinned memory, so
            that nothing waits for them, and times are measured after `synchronize`.
        communication: the backend of torch.distributed for such devices.
        compile_mode: the mode of torch.compile; "reduce-overhead" replays the kernels of a step as a graph.
        compiled_by_default: whether a long run is compiled where the user leaves it open.
        bf16_by_default: whether a run trains in bf16 where the user leaves it open, if the device computes in it.
    """

    fused_optimizers: bool = False
    asynchronous: bool = False
    communication: str = "gloo"
    compile_mode: str = "default"
    compiled_by_default: bool = False
    bf16_by_default: bool = False


DEVICE_TYPES = {
    "cpu": DeviceType(fused_optimizers=True),
    "cuda": DeviceType(
        fused_optimizers=True,
        asynchronous=True,
        communication="nccl",
        compile_mode="reduce-overhead",
        compiled_by_default=True,
        bf16_by_default=True,
    ),
    "mps": DeviceType(),
    "meta": DeviceType(),  # shapes without values, for loading and tests
}
_NAMES = "auto, cpu, cuda, cuda:N or mps"


def type_of(device: torch.device) -> DeviceType:
    """Return what the device can do.

    Example:
        >>> type_of(torch.device("cpu")).asynchronous
        False
    """
    return DEVICE_TYPES[device.type]


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA, then Apple's MPS, then the CPU.

    Raises:
        DeviceError: for a name that torch does not know, or a device that this machine does not have.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"there is no device {name!r}; use {_NAMES}") from None
    if device.type not in DEVICE_TYPES:
        raise DeviceError(f"device {name!r} is not supported; use {_NAMES}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(name.partition(":")[2] or 0)  # torch keeps 8 bits of it: its cuda:256 is cuda:0
        if index >= count:
            raise DeviceError(f"device {name} does not exist: torch finds {count} CUDA devices; use --device cpu")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps does not exist: it needs a Mac with Apple silicon; use --device cpu")
    return device


def describe_devices() -> dict[str, str]:
    """Return a description of every device that torch finds on this machine, by name."""
    descriptions = {"cpu": f"{torch.get_num_threads()} threads, bf16"}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if computes_in_bf16(torch.device("cuda", index)) else "no bf16"
        descriptions[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}"
    if torch.backends.mps.is_available():
        descriptions["mps"] = "Apple silicon"
    if torch.version.cuda and not torch.cuda.is_available():
        descriptions["cuda"] = f"torch was built for CUDA {torch.version.cuda}, but sees no device"
    return descriptions


def computes_in_bf16(device: torch.device) -> bool:
    """Return whether the device itself computes in bf16; older GPUs do so by emulation, which saves no time.

    Example:
        >>> computes_in_bf16(torch.device("cpu"))
        True
    """
    if device.type != "cuda":
        return True
    if not torch.cuda.is_available():
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def model_of(device: torch.device) -> str:
    """Return the model of the device, such as `NVIDIA H100`, for messages; its name if it has no model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def select_for_process(device: torch.device, rank: int) -> torch.device:
    """Return the device of that type for process `rank` of this machine, and make it the current one."""
    if device.type != "cuda":
        return device
    own = torch.device("cuda", rank)
    torch.cuda.set_device(own)
    return own


def allow_tf32(device: torch.device, allowed: bool) -> None:
    """Let float32 multiplications on the device be computed in TF32, or not. Changes torch for the whole process."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def tf32_restored() -> Iterator[None]:
    """Restore the switches of TF32 after the block."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def begin_compiled_step(device: torch.device) -> None:
    """Announce a new step of compiled networks: CUDA graphs may now overwrite the tensors of the step before."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def free_memory(device: torch.device) -> int:
    """Return the free memory of the device itself in bytes; 0 for one that shares the memory of the machine."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def random_state(device: torch.device) -> Tensor | None:
    """Return the state of the device's own random generator; None for one that uses the CPU's."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Set the state of the device's own random generator."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)


def device_of_process(name: str) -> str:
    """Return what `auto` or `cuda` means for this process, where several share a machine: each gets its own GPU.

    Example:
        >>> device_of_process("cpu")
        'cpu'
    """
    if name not in ("auto", "cuda") or process_count() == 1 or not torch.cuda.is_available():
        return name
    return f"cuda:{local_rank() % torch.cuda.device_count()}"


def device_and_dtype(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device of a module's parameters, and the dtype of most of their values.

    That is the dtype in which the module computes: single layers, such as norms, may be kept in another. A module
    without parameters is on the device of its buffers, and one without either on the CPU in float32.

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
