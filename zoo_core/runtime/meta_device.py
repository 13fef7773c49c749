"""Modules without weights: names and shapes only, built in little time and almost no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_INITIALISERS = frozenset(
    [getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    + [Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.exponential_, Tensor.log_normal_, Tensor.random_]
)


class _WithoutInitialisation(TorchFunctionMode):
    """Makes initialisers return their tensor unchanged.

    A tensor on the meta device has no values to set, and torch would import its compiler (1.5 s) to find that out.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Create tensors on the meta device in the block, where initialisers do nothing.

    Example:
        >>> with on_meta():
        ...     nn.Linear(10**6, 10**6).weight.shape  # four terabytes, if it had values
        torch.Size([1000000, 1000000])
    """
    with torch.device("meta"), _WithoutInitialisation():
        yield
