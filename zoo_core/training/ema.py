"""The exponential moving average of a generator's weights: what is sampled and saved."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A copy of a module whose floating parameters and buffers follow it, decay · average + (1 − decay) · value.

    BatchNorm's statistics are averaged with the weights they belong to; whole-number buffers are copied.
    The decay ramps up, (1 + step) / (10 + step), so that the random start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the module's tensors after step number `step`, counted from 1."""
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
