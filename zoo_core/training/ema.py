"""The exponential moving average (EMA) of the weights of a generator, from which samples and the saved model come."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A copy of a module with averaged parameters: average = decay · average + (1 − decay) · value.

    Floating-point buffers, such as the BatchNorm statistics, are averaged with the weights that they belong to; integer
    buffers are copied. The decay starts low, min(decay, (1 + step) / (10 + step)), so that the random initial weights
    soon stop counting.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Update the average with the tensors of the module after step number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, values = _floating(self.module), _floating(module)
        if averages:
            torch._foreach_lerp_(averages, values, 1 - decay)
        for average, value in zip(self.module.buffers(), module.buffers(), strict=True):
            if not average.is_floating_point():
                average.copy_(value)


def _floating(module: nn.Module) -> list[Tensor]:
    tensors = [*module.parameters(), *module.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
