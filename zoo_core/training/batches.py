"""The batches of a training run: which samples, in which order, and which of them mirrored."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError
from zoo_core.interfaces import Batch, Generator
from zoo_core.training.batch_sources import RowLayout, batch_source, to_device

_PIECE = 2**18  # values that are brought into the model's range at once on the CPU: a megabyte of float32


class SampleOrder:
    """Which samples make up a process's share of each batch, as a function of the seed and the batch's number alone."""

    def __init__(self, count: int, batch_size: int, seed: int, *, rank: int, processes: int) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._share = batch_size // processes
        self._offset = rank * self._share
        self._drawn: dict[int, tuple[Tensor, Tensor]] = {}

    def chosen(self, number: int) -> Tensor:
        """The indices of the samples: (n,) int64."""
        (order, _), share = self._find(number)
        return order[share]

    def mirrored(self, number: int) -> Tensor:
        """The places in the share, from 0, whose pictures are mirrored: up to n, int64. Half of an epoch are."""
        (_, mirrored), share = self._find(number)
        return mirrored[share].nonzero().flatten()

    def _find(self, number: int) -> tuple[tuple[Tensor, Tensor], slice]:
        """What was drawn for the epoch of a batch, and where in it the share lies."""
        epoch, position = divmod(number, self._count // self._batch_size)
        if epoch not in self._drawn:
            # Two are kept: the one at hand, and the next for those who read ahead.
            self._drawn = dict([*self._drawn.items()][-1:]) | {epoch: self._draw(epoch)}
        start = position * self._batch_size + self._offset
        return self._drawn[epoch], slice(start, start + self._share)

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed((self._seed * 0x9E3779B97F4A7C15 + epoch) % 2**63)
        order = torch.randperm(self._count, generator=random)
        return order, torch.randperm(self._count, generator=random) % 2 == 1


class BatchStream:
    """The batches of a run: batch number i depends on (seed, i) alone, so a position is all that resuming needs.

    Every epoch is a new permutation; samples that do not fill a last batch wait for another epoch. Processes that
    train together share every batch: that of rank r is the r-th of as many equal parts.

    Attributes:
        note: where the samples are held and what memory of the device that takes, which is before the first batch.

    Args:
        batch_size: of all processes together.
        rank: of this process, from 0.
        processes: how many train together.
        horizontal_flip: mirror half of the pictures of each epoch, drawn anew for each epoch.

    Raises:
        DataError: for fewer samples than one batch, a batch that the processes cannot share evenly, or a flip of
            samples that are not pictures.
    """

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        rank: int = 0,
        processes: int = 1,
        horizontal_flip: bool = False,
    ) -> None:
        if len(data) < batch_size:
            raise DataError(
                f"{data.name} has {len(data)} samples, fewer than one batch of {batch_size}; "
                f"--set batch_size={len(data)} is the most"
            )
        if batch_size % processes:
            raise DataError(
                f"{processes} processes cannot share a batch of {batch_size} evenly; "
                f"--set batch_size={batch_size + processes - batch_size % processes} can be shared"
            )
        if horizontal_flip and len(data.sample_shape) != 3:
            raise DataError(f"{data.name} has samples of {data.sample_shape}, not pictures that could be mirrored")
        self.data, self.batch_size, self.seed, self.device = data, batch_size, seed, device
        self.horizontal_flip = horizontal_flip
        self.batches_per_epoch = len(data) // batch_size
        self._order = SampleOrder(len(data), batch_size, seed, rank=rank, processes=processes)
        self._layout = RowLayout(data.samples)
        self._source = batch_source(data, self._layout, self._order.chosen, device)
        self._labels = data.labels.to(device) if data.labels is not None else None
        self._white = torch.full((), 255.0, device=device)  # a GPU divides by a number as by its inverse: not exactly
        self.note = self._source.note

    def batch(self, number: int, generator: Generator) -> Batch:
        """This process's share of a batch, in the range of `generator`.

        Args:
            number: of the batch, from 0.

        Returns:
            Samples (batch_size / processes, *sample_shape) on the device, pictures with their channels last in memory.
        """
        rows = self._source.gather(number)
        if self.horizontal_flip:
            rows = self._layout.mirrored(rows, self._order.mirrored(number))
        samples = self._layout.samples(rows)
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        if samples.dtype == torch.uint8:
            samples = self._in_range(samples, generator)
        if self._labels is None:
            return Batch(samples)
        return Batch(samples, self._labels.index_select(0, to_device(self._order.chosen(number), self.device)))

    def _in_range(self, pixels: Tensor, generator: Generator) -> Tensor:
        """uint8 pixels (n, …) as float32 in the range of `generator`."""
        step = max(1, _PIECE // pixels[0].numel())
        if pixels.device.type != "cpu" or len(pixels) <= step:
            return generator.from_unit(pixels.float().div_(self._white))
        # On the CPU fresh memory for every result in between can cost more than the arithmetic: small ones are reused.
        whole = torch.empty_like(pixels, dtype=torch.float32)
        for start in range(0, len(pixels), step):
            part = slice(start, start + step)
            whole[part] = generator.from_unit(pixels[part].float().div_(self._white))
        return whole
