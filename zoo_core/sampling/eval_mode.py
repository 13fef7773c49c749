"""Eval mode during sampling, for any number of threads that sample from one model at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from zoo_core.runtime.torch_defaults import torch_defaults


@dataclass
class _Use:
    """The number of threads in a model's blocks, and the modules that were in training mode before the first block."""

    threads: int = 0
    in_training: list[nn.Module] = field(default_factory=list)


_uses: weakref.WeakKeyDictionary[nn.Module, _Use] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode for the block; afterwards every module is again in the mode that it was in.

    In the block torch has its own defaults, since a forward pass may make tensors of its own.

    If several threads are in such blocks at once, the first switches the mode and the last restores it. If each
    restored it on its own, the others would continue in training mode, and BatchNorm would learn from their samples.

    Example:
        >>> layer = nn.Dropout()
        >>> with in_eval_mode(layer):
        ...     layer.training
        False
        >>> layer.training
        True
    """
    with _lock:
        use = _uses.setdefault(model, _Use())
        if use.threads == 0:
            use.in_training = [module for module in model.modules() if module.training]
            if use.in_training:
                model.eval()
        use.threads += 1
    try:
        with torch_defaults():
            yield
    finally:
        with _lock:
            use.threads -= 1
            if use.threads == 0:
                for module in use.in_training:
                    module.training = True
                del _uses[model]
