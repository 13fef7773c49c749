"""Layers that look at the whole batch, over the batches of all processes, so that many train as one does."""

from __future__ import annotations

from torch import nn

from zoo_core.runtime.processes import Processes
from zoo_core.training import batchnorm, dropout

_SHARED: dict[type[nn.Module], type[nn.Module]] = {**batchnorm.SHARED, **dropout.SHARED}


def share_layers(module: nn.Module, processes: Processes) -> None:
    """Let every BatchNorm in `module` use the statistics of the global batch, and every dropout draw for all of it.

    Their state stays as it is. Classes derived from torch's own are left alone.
    """
    if processes.count == 1:
        return
    for layer in module.modules():
        if type(layer) in _SHARED:
            layer.__class__ = _SHARED[type(layer)]
            layer.processes = processes  # type: ignore[assignment]
