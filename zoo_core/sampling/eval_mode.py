"""Eval mode for the time of sampling, for any number of threads that sample from one model at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn


@dataclass
class _Use:
    """How many threads sample from a model now, and which of its parts were in training mode before the first."""

    threads: int = 0
    in_training: list[nn.Module] = field(default_factory=list)


_uses: weakref.WeakKeyDictionary[nn.Module, _Use] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode while the block runs; then every part is in the mode that it was in, one by one.

    Where several threads are in such blocks at once, the first switches the mode and the last one restores it: were
    each to restore it on its own, the others would go on in training mode, and move the statistics of BatchNorm.

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
        yield
    finally:
        with _lock:
            use.threads -= 1
            if use.threads == 0:
                for module in use.in_training:
                    module.training = True
                del _uses[model]
