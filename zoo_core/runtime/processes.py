"""The processes of one run: the rank of this one, and what all of them agree on.

`accelerate launch` and torchrun start the processes and number them in environment variables; torch.distributed
connects them, by gloo on CPUs and by nccl on GPUs. A single process needs neither.
"""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from zoo_core.errors import ProcessError, printable
from zoo_core.runtime.devices import DEVICE_TYPES
from zoo_core.runtime.environment import local_rank, process_count

_ENDED = "another process of this run has ended, and so must this one"
# The others wait while one process decodes the data. If a process ends, its closed connection shows that at once.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """The rank of this process, and the number of processes. All of them call every method, in the same order.

    Attributes:
        rank: number of this process, from 0; only the first writes files.
        count: number of processes on all machines.
        local_rank: number of this process on its machine, and of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, with one message for each dtype."""
        if self.count == 1:
            return
        for dtype in {tensor.dtype for tensor in tensors}:
            group = [tensor for tensor in tensors if tensor.dtype == dtype]
            together = torch.cat([tensor.reshape(-1) for tensor in group])
            _exchange(dist.all_reduce, together)
            together /= self.count
            parts = torch.split(together, [tensor.numel() for tensor in group])
            for tensor, part in zip(group, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        if self.count == 1:
            return flag
        flags = torch.tensor([int(flag)])
        _exchange(dist.all_reduce, flags, op=dist.ReduceOp.MAX, group=_control_group())
        return bool(flags.item())

    def agree(self, number: int) -> int:
        """Return the number that the first process has, from 0 to 2^62, in all of them."""
        if self.count == 1:
            return number
        numbers = torch.tensor([number if self.first else 0])
        _exchange(dist.all_reduce, numbers, group=_control_group())
        return int(numbers.item())

    def common_token(self) -> str:
        """Return a random name that is the same in all processes."""
        return f"{self.agree(secrets.randbits(60)):015x}"

    def wait(self) -> None:
        """Continue once every process has arrived here."""
        self.any(False)

    @contextmanager
    def local_first(self) -> Iterator[None]:
        """Let the first process of each machine run the block, then the others.

        Raises:
            ProcessError: in a process that waited, if the block failed in a first one.
        """
        if self.local_rank == 0:
            try:
                yield
            except BaseException:
                with suppress(
                    ProcessError
                ):  # the others may have ended too; the error of this process is the one to report
                    self.any(True)
                raise
        if self.any(False):
            raise ProcessError(_ENDED)
        if self.local_rank != 0:
            yield


ALONE = Processes()


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        _exchange(dist.all_reduce, total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        _exchange(dist.all_reduce, total)
        return total


def sum_over_processes(x: Tensor) -> Tensor:
    """Return the sum of a tensor over the processes. Gradients flow through it."""
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total


def join(device_type: str) -> Processes:
    """Connect this process to the others that its launcher started; return at once if there are none.

    Raises:
        ProcessError: if they cannot be connected.
    """
    if process_count() == 1:
        return ALONE
    try:
        if not dist.is_initialized():
            dist.init_process_group(DEVICE_TYPES[device_type].communication)
            atexit.register(_leave)  # gloo's threads would abort the process if they outlived the interpreter
        _control_group()
    except (RuntimeError, ValueError) as error:
        raise ProcessError(f"this process cannot be connected to the others: {printable(error, 200)}") from error
    return Processes(dist.get_rank(), dist.get_world_size(), local_rank())


_groups: list[Any] = []


def _leave() -> None:
    _groups.clear()
    if dist.is_initialized():
        dist.destroy_process_group()


def _control_group() -> Any:
    """A group for flags on the CPU, so that exchanging one never waits for a GPU, with a long timeout."""
    if not _groups:
        _groups.append(dist.new_group(backend="gloo", timeout=_PATIENCE))
    return _groups[0]


def _exchange(operation: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    try:
        operation(*args, **kwargs)
    except RuntimeError as error:  # raised by gloo and nccl when the connection to a process is lost
        raise ProcessError(_ENDED) from error
