"""BatchNorm and dropout over the batch of all processes, so that several processes train as one does.

torch.nn.SyncBatchNorm works on CUDA only; the one here needs no more than a sum over the processes. Dropout needs one
of its own because all processes draw from equal generators: each would drop the same units of its part of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from zoo_core.runtime.processes import Processes, sum_over_processes


def synchronise_layers(module: nn.Module, processes: Processes) -> None:
    """Let every BatchNorm in `module` use the statistics of the whole batch, and every dropout draw for all of it.

    Parameters and buffers stay as they are. Classes that derive from torch's own are left alone.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> synchronise_layers(layer, Processes(rank=0, count=2))
        >>> isinstance(layer, nn.BatchNorm1d), type(layer) is nn.BatchNorm1d
        (True, False)
    """
    if processes.count == 1:
        return
    for layer in module.modules():
        if type(layer) in _SYNCHRONISED:
            layer.__class__ = _SYNCHRONISED[type(layer)]
            layer.processes = processes  # type: ignore[assignment]


class _SynchronisedBatchNorm(_BatchNorm):
    """BatchNorm whose statistics in training are those of all processes; in eval mode it is torch's.

    Every process must have equally many samples, which those of a training run do.
    """

    processes: Processes

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        features = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        own_mean = features.mean(axes)
        own_variance = (features - _along_channels(own_mean, x.ndim)).square().mean(axes)
        mean, variance = self._over_processes(own_mean, own_variance)
        count = x.numel() // x.shape[1] * self.processes.count
        centred = features - _along_channels(mean, x.ndim)
        if self.track_running_stats and self.running_mean is not None:
            self._update_running_statistics(mean.detach(), (variance * count / (count - 1)).detach())
        result = centred * _along_channels(torch.rsqrt(variance + self.eps), x.ndim)
        if self.affine:
            result = result * _along_channels(self.weight, x.ndim) + _along_channels(self.bias, x.ndim)
        return result.to(x.dtype)

    def _over_processes(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of all samples, from those of each process, in one message.

        Each process fills a row of its own, so that the sum holds every row: a sum of squares would lose the digits
        of a variance that is small beside its mean.
        """
        rank, count = self.processes.rank, self.processes.count
        row = torch.stack([mean, variance])[None]
        rows = sum_over_processes(nn.functional.pad(row, (0, 0, 0, 0, rank, count - rank - 1)))
        means, variances = rows.unbind(1)
        mean = means.mean(0)
        return mean, (variances + (means - mean).square()).mean(0)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


class _SynchronisedBatchNorm1d(_SynchronisedBatchNorm, nn.BatchNorm1d):
    pass


class _SynchronisedBatchNorm2d(_SynchronisedBatchNorm, nn.BatchNorm2d):
    pass


class _SynchronisedBatchNorm3d(_SynchronisedBatchNorm, nn.BatchNorm3d):
    pass


class _SynchronisedDropout(_DropoutNd):
    """Dropout of units, or of whole channels where `_DROPS_CHANNELS` is set; in eval mode the identity."""

    _DROPS_CHANNELS = False
    processes: Processes

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        count, *shape = x.shape
        if self._DROPS_CHANNELS:
            shape[1:] = [1] * len(shape[1:])
        of_all = torch.empty(self.processes.count * count, *shape, dtype=x.dtype, device=x.device)
        kept = of_all.bernoulli_(1 - self.p)[self.processes.rank * count :][:count]
        return x * kept / (1 - self.p) if self.p < 1 else x * kept


class _SynchronisedDropoutOfUnits(_SynchronisedDropout, nn.Dropout):
    pass


class _SynchronisedDropout1d(_SynchronisedDropout, nn.Dropout1d):
    _DROPS_CHANNELS = True


class _SynchronisedDropout2d(_SynchronisedDropout, nn.Dropout2d):
    _DROPS_CHANNELS = True


class _SynchronisedDropout3d(_SynchronisedDropout, nn.Dropout3d):
    _DROPS_CHANNELS = True


_SYNCHRONISED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SynchronisedBatchNorm1d,
    nn.BatchNorm2d: _SynchronisedBatchNorm2d,
    nn.BatchNorm3d: _SynchronisedBatchNorm3d,
    nn.Dropout: _SynchronisedDropoutOfUnits,
    nn.Dropout1d: _SynchronisedDropout1d,
    nn.Dropout2d: _SynchronisedDropout2d,
    nn.Dropout3d: _SynchronisedDropout3d,
}


def _along_channels(values: Tensor, dimensions: int) -> Tensor:
    """Reshape (C,) so that it broadcasts over a tensor of that many dimensions, whose second axis is the channels."""
    return values.reshape(1, -1, *[1] * (dimensions - 2))
