"""The batches of a training run: which samples they contain, in which order, and which of these are mirrored."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, SettingsError
from zoo_core.interfaces import Batch, Generator, Settings
from zoo_core.training.batch_sources import RowLayout, batch_source, to_device

_PIECE = 2**18  # values converted to the range of the model at once on the CPU: a megabyte of float32


def check_mirroring(kind: str, settings: Settings) -> None:
    """Raise SettingsError if the settings ask for mirrored samples of a kind that cannot be pictures.

    Tensors can be, with more channels than pictures have; BatchStream looks at their shape.
    """
    if settings.horizontal_flip and kind not in ("image", "tensor"):
        raise SettingsError(
            f"horizontal_flip: only pictures can be mirrored, and the samples are of kind {kind!r}; leave it out"
        )


class SampleOrder:
    """The samples in a process's share of each batch, determined only by the seed and the number of the batch."""

    def __init__(self, count: int, batch_size: int, seed: int, *, rank: int, processes: int) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._share = batch_size // processes
        self._offset = rank * self._share
        self._drawn: dict[int, tuple[Tensor, Tensor]] = {}

    def chosen(self, number: int) -> Tensor:
        """Return the indices of the samples in the share: (n,) int64."""
        (order, _), share = self._find(number)
        return order[share]

    def mirrored(self, number: int) -> Tensor:
        """Return the positions in the share, from 0, of the pictures to mirror: up to n, int64; half of an epoch."""
        (_, mirrored), share = self._find(number)
        return mirrored[share].nonzero().flatten()

    def _find(self, number: int) -> tuple[tuple[Tensor, Tensor], slice]:
        """Return what was drawn for the epoch of a batch, and the slice of it that is the share of this process."""
        epoch, position = divmod(number, self._count // self._batch_size)
        if epoch not in self._drawn:
            # Two epochs are kept, because sources that read ahead already need the next one near the end of an epoch.
            self._drawn = dict([*self._drawn.items()][-1:]) | {epoch: self._draw(epoch)}
        start = position * self._batch_size + self._offset
        return self._drawn[epoch], slice(start, start + self._share)

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed((self._seed * 0x9E3779B97F4A7C15 + epoch) % 2**63)
        order = torch.randperm(self._count, generator=random)
        return order, torch.randperm(self._count, generator=random) % 2 == 1


def check_batch_size(data: TrainingData, batch_size: int, processes: int) -> None:
    """Raise DataError if the data has fewer samples than one batch, or the processes cannot share one evenly."""
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


class BatchStream:
    """The batches of a run. Batch i depends only on (seed, i), so a run can be resumed from the step number alone.

    Every epoch is a new permutation; samples left over after the last full batch are skipped in that epoch. Processes
    that train together divide every batch into equal parts, and rank r gets the r-th part.

    Attributes:
        note: one line for the log: where the samples are held, and how much device memory they take. It is
            available before the first batch.

    Args:
        batch_size: total number of samples in a batch, over all processes.
        rank: rank of this process, from 0.
        processes: number of processes that train together.
        horizontal_flip: mirror half of the pictures in each epoch, drawn again for every epoch.

    Raises:
        DataError: the data has fewer samples than one batch, the processes cannot share a batch evenly, or the
            samples to flip are not pictures.
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
        check_batch_size(data, batch_size, processes)
        if horizontal_flip and len(data.sample_shape) != 3:
            raise DataError(f"{data.name} has samples of {data.sample_shape}, not pictures that could be mirrored")
        self.data, self.batch_size, self.seed, self.device = data, batch_size, seed, device
        self.horizontal_flip = horizontal_flip
        self.batches_per_epoch = len(data) // batch_size
        self._order = SampleOrder(len(data), batch_size, seed, rank=rank, processes=processes)
        self._layout = RowLayout(data.samples)
        self._source = batch_source(data, self._layout, self._order.chosen, device)
        self._labels = data.labels.to(device) if data.labels is not None else None
        # A tensor, because a GPU divides by a Python number inexactly: it multiplies by the inverse.
        self._white = torch.full((), 255.0, device=device)
        self.note = self._source.note

    def batch(self, number: int, generator: Generator) -> Batch:
        """Return this process's share of a batch, in the range of `generator`.

        Only for a generator of pictures uint8 values are pixels. One of texts gets codes as int64, however they are
        kept, and any other its samples as they are.

        Args:
            number: number of the batch, from 0.

        Returns:
            Samples (batch_size / processes, *sample_shape) on the device; pictures have channels last in memory.
        """
        rows = self._source.gather(number)
        if self.horizontal_flip:
            rows = self._layout.mirrored(rows, self._order.mirrored(number))
        samples = self._layout.samples(rows)
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        if samples.dtype == torch.uint8 and generator.kind == "image":
            samples = self._in_range(samples, generator)
        elif generator.kind == "text":
            samples = samples.long()
        if self._labels is None:
            return Batch(samples)
        return Batch(samples, self._labels.index_select(0, to_device(self._order.chosen(number), self.device)))

    def _in_range(self, pixels: Tensor, generator: Generator) -> Tensor:
        """Convert uint8 pixels (n, …) to float32 in the range of `generator`."""
        step = max(1, _PIECE // pixels[0].numel())
        if pixels.device.type != "cpu" or len(pixels) <= step:
            return generator.from_unit(pixels.float().div_(self._white))
        # On the CPU, new memory for large intermediate results can cost more than the arithmetic; small ones reuse it.
        whole = torch.empty_like(pixels, dtype=torch.float32)
        for start in range(0, len(pixels), step):
            part = slice(start, start + step)
            whole[part] = generator.from_unit(pixels[part].float().div_(self._white))
        return whole
