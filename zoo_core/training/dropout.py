"""Dropout over the batches of all processes, so that many train as one does.

All processes draw from equal generators: each would drop the same units of its own part of the batch as the others do
of theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from zoo_core.runtime.processes import Processes


class _SharedDropout(_DropoutNd):
    """Dropout of units, or of whole channels where `_DROPS_CHANNELS`; in eval mode nothing."""

    _DROPS_CHANNELS = False
    processes: Processes

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        count, *shape = x.shape
        if self._DROPS_CHANNELS:
            shape[1:] = [1] * len(shape[1:])
        everybody = torch.empty(self.processes.count * count, *shape, dtype=x.dtype, device=x.device)
        kept = everybody.bernoulli_(1 - self.p)[self.processes.rank * count :][:count]
        return x * kept / (1 - self.p) if self.p < 1 else x * kept


class _SharedDropoutOfUnits(_SharedDropout, nn.Dropout):
    pass


class _SharedDropout1d(_SharedDropout, nn.Dropout1d):
    _DROPS_CHANNELS = True


class _SharedDropout2d(_SharedDropout, nn.Dropout2d):
    _DROPS_CHANNELS = True


class _SharedDropout3d(_SharedDropout, nn.Dropout3d):
    _DROPS_CHANNELS = True


SHARED: dict[type[nn.Module], type[_SharedDropout]] = {
    nn.Dropout: _SharedDropoutOfUnits,
    nn.Dropout1d: _SharedDropout1d,
    nn.Dropout2d: _SharedDropout2d,
    nn.Dropout3d: _SharedDropout3d,
}
