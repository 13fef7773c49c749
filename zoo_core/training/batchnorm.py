"""BatchNorm over the batches of all processes, so that many train as one does.

torch.nn.SyncBatchNorm does it on CUDA alone; this one needs no more than a sum over the processes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_core.runtime.processes import Processes, sum_over_processes


class _SharedBatchNorm(_BatchNorm):
    """Statistics over the processes in training; in eval mode what BatchNorm is.

    Every process must have as many samples, as those of a run do.
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
            self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        result = centred * _along_channels(torch.rsqrt(variance + self.eps), x.ndim)
        if self.affine:
            result = result * _along_channels(self.weight, x.ndim) + _along_channels(self.bias, x.ndim)
        return result.to(x.dtype)

    def _over_processes(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of all samples from those of each process, in one message.

        Each fills a row of its own, so that the sum holds every row: a sum of squares would lose the digits of a
        variance that is small beside its mean.
        """
        rank, count = self.processes.rank, self.processes.count
        row = torch.stack([mean, variance])[None]
        rows = sum_over_processes(nn.functional.pad(row, (0, 0, 0, 0, rank, count - rank - 1)))
        means, variances = rows.unbind(1)
        mean = means.mean(0)
        return mean, (variances + (means - mean).square()).mean(0)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


class _SharedBatchNorm1d(_SharedBatchNorm, nn.BatchNorm1d):
    pass


class _SharedBatchNorm2d(_SharedBatchNorm, nn.BatchNorm2d):
    pass


class _SharedBatchNorm3d(_SharedBatchNorm, nn.BatchNorm3d):
    pass


SHARED: dict[type[nn.Module], type[_SharedBatchNorm]] = {
    nn.BatchNorm1d: _SharedBatchNorm1d,
    nn.BatchNorm2d: _SharedBatchNorm2d,
    nn.BatchNorm3d: _SharedBatchNorm3d,
}


def _along_channels(values: Tensor, dimensions: int) -> Tensor:
    return values.reshape(1, -1, *[1] * (dimensions - 2))
