"""torch as it is by default, in a block: whatever the caller has set for tensors of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_blocks_inside = 0
_callers_dtype = torch.float32


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Make tensors in the block as torch does by default: float32, on the CPU, and not for inference alone.

    Models are built, loaded, sampled and trained in such blocks, so that `torch.set_default_dtype`,
    `torch.set_default_device`, `with torch.device(…)` and `torch.inference_mode` around them change neither a weight
    nor a sample. Where nothing was set, the block costs next to nothing.

    Example:
        >>> with torch.device("meta"), torch.inference_mode(), torch_defaults():
        ...     x = torch.zeros(2)
        >>> x.device, x.is_inference()
        (device(type='cpu'), False)
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())  # leaving inference mode would switch gradients on
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_float32())
        yield


@contextmanager
def _float32() -> Iterator[None]:
    """Make float32 the default type. It is one for all threads: the first block sets it, the last restores it."""
    global _blocks_inside, _callers_dtype
    with _lock:
        if _blocks_inside == 0:
            _callers_dtype = torch.get_default_dtype()
            if _callers_dtype != torch.float32:
                torch.set_default_dtype(torch.float32)
        _blocks_inside += 1
    try:
        yield
    finally:
        with _lock:
            _blocks_inside -= 1
            if _blocks_inside == 0 and _callers_dtype != torch.float32:
                torch.set_default_dtype(_callers_dtype)
