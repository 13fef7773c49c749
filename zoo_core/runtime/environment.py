"""What a launcher of several processes says in the environment; torch is asked only where there are several."""

from __future__ import annotations

import os


def process_count() -> int:
    """How many processes torchrun or `accelerate launch` started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def first_process() -> bool:
    """Whether this is the process that speaks for all of them."""
    return int(os.environ.get("RANK") or 0) == 0


def local_rank() -> int:
    """Number of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK") or 0)


def own_device(name: str) -> str:
    """What `auto` or `cuda` is for this one of several processes on a machine: each takes a GPU of its own."""
    if name not in ("auto", "cuda") or process_count() == 1:
        return name
    import torch

    if not torch.cuda.is_available():
        return name
    return f"cuda:{local_rank() % torch.cuda.device_count()}"
