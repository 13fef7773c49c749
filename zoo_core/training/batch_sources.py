"""Sources of batches: samples in device memory, in main memory or on disk, or pictures decoded for every batch.

Here a sample is a row that holds all its values in sequence. To gather a row is then a single memory copy, and whether
the channels of a picture come first or last matters only once the batch is complete.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from zoo_core.data.decoding import Decoded, PictureDecoder
from zoo_core.data.decoding_workers import available_workers, decode
from zoo_core.data.training_data import TrainingData
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.devices import free_memory, type_of

Order = Callable[[int], Tensor]  # number of a batch -> indices of its samples: (n,) int64, on the CPU
DEVICE_SHARE = 1 / 4  # share of a GPU's free memory that the data may take; the rest is for the model
READING_THREADS = 4  # a disk serves several requests in little more time than one
BATCHES_AHEAD = 8


class RowLayout:
    """The order of the values of a sample in its row: as in the tensor; channels last for pictures stored that way."""

    def __init__(self, samples: Tensor) -> None:
        self.channels_last = samples.ndim == 4 and samples.is_contiguous(memory_format=torch.channels_last)
        self.shape = tuple(self._stored(samples).shape[1:])

    def rows(self, samples: Tensor) -> Tensor:
        """Return samples (N, *sample_shape) as rows (N, values), without a copy if they are dense."""
        return self._stored(samples).reshape(len(samples), -1)

    def samples(self, rows: Tensor) -> Tensor:
        """Return rows (N, values) as samples (N, *sample_shape), without a copy."""
        stored = rows.view(len(rows), *self.shape)
        return stored.permute(0, 3, 1, 2) if self.channels_last else stored

    def mirrored(self, rows: Tensor, which: Tensor) -> Tensor:
        """Return the rows, with the pictures at the indices `which`, (n,) on the CPU, mirrored left to right."""
        pictures = rows.index_select(0, to_device(which, rows.device)).view(len(which), *self.shape)
        turned = pictures.flip(2 if self.channels_last else 3).view(len(which), rows.shape[1])
        places = torch.arange(len(rows))
        places[which] = torch.arange(len(rows), len(rows) + len(which))
        # Copying all rows once more is several times faster than writing into them by index.
        return torch.cat([rows, turned]).index_select(0, to_device(places, rows.device))

    def _stored(self, samples: Tensor) -> Tensor:
        return samples.permute(0, 2, 3, 1) if self.channels_last else samples


class BatchSource(ABC):
    """A source of the rows of each batch, on the device.

    Attributes:
        note: one line for the log: where the samples are and how much memory they take. No memory is allocated
            before the first batch.
    """

    note: str

    @abstractmethod
    def gather(self, number: int) -> Tensor:
        """Return the samples of batch `number` as rows (n, values) on the device."""


def batch_source(data: TrainingData, layout: RowLayout, order: Order, device: torch.device) -> BatchSource:
    """Return the fastest source that the device, the free memory and the data allow."""
    if data.decoder is not None:
        return DecodingBatchSource(data.decoder, order, device)
    rows = layout.rows(data.samples)
    if rows.nbytes <= free_memory(device) * DEVICE_SHARE:
        return DeviceBatchSource(rows, order, device)
    return (DiskBatchSource if data.larger_than_memory else MemoryBatchSource)(rows, order, device)


class MemoryBatchSource(BatchSource):
    """Batches from main memory, copied to a GPU through pinned memory, so that the copy does not block."""

    def __init__(self, rows: Tensor, order: Order, device: torch.device) -> None:
        self.note = f"batches are gathered from the {readable_size(rows.nbytes)} of samples in memory"
        self._rows, self._order, self._device = rows, order, device

    def gather(self, number: int) -> Tensor:
        return self._pick(self._order(number)).to(self._device, non_blocking=True)

    def _pick(self, chosen: Tensor) -> Tensor:
        if not type_of(self._device).asynchronous:
            return self._rows.index_select(0, chosen)
        pinned = torch.empty((len(chosen), self._rows.shape[1]), dtype=self._rows.dtype, pin_memory=True)
        return torch.index_select(self._rows, 0, chosen, out=pinned)


class DiskBatchSource(MemoryBatchSource):
    """Batches from a memory-mapped file that is larger than main memory; threads read the next batches ahead."""

    def __init__(self, rows: Tensor, order: Order, device: torch.device) -> None:
        super().__init__(rows, order, device)
        self.note = f"batches are read from the {readable_size(rows.nbytes)} of samples on disk, {BATCHES_AHEAD} ahead"
        self._threads = ThreadPoolExecutor(READING_THREADS)
        self._coming: dict[int, Future[Tensor]] = {}

    def gather(self, number: int) -> Tensor:
        wanted = range(number, number + BATCHES_AHEAD)
        self._coming = {ahead: batch for ahead, batch in self._coming.items() if ahead in wanted}
        for ahead in wanted:
            if ahead not in self._coming:
                self._coming[ahead] = self._threads.submit(self._pick, self._order(ahead))
        return self._coming[number].result().to(self._device, non_blocking=True)


class DeviceBatchSource(BatchSource):
    """Batches from the memory of the device, to which all samples are copied once."""

    def __init__(self, rows: Tensor, order: Order, device: torch.device) -> None:
        self.note = f"all samples are held on {device}: {readable_size(rows.nbytes)} of its memory"
        self._rows, self._order, self._device = rows, order, device

    def gather(self, number: int) -> Tensor:
        if self._rows.device.type != self._device.type:
            self._rows = self._rows.to(self._device)
        return self._rows.index_select(0, to_device(self._order(number), self._device))


class DecodingBatchSource(BatchSource):
    """Batches of pictures that are decoded again every time, by worker processes that run ahead."""

    def __init__(self, decoder: PictureDecoder, order: Order, device: torch.device) -> None:
        self._workers = available_workers()
        self.note = f"pictures are decoded again for every batch, by {self._workers or 1} processes"
        self._decoder, self._order, self._device = decoder, order, device
        self._next = -1
        self._batches: Iterator[Decoded] = iter(())

    def gather(self, number: int) -> Tensor:
        if number != self._next:  # the first batch, or a jump to another one
            order = (chosen.tolist() for chosen in map(self._order, itertools.count(number)))
            self._batches = decode(self._decoder, order, self._workers)
        pixels = torch.from_numpy(next(self._batches).pixels)
        self._next = number + 1
        return to_device(pixels.reshape(len(pixels), -1), self._device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the CPU to the device, without waiting for a GPU."""
    if type_of(device).asynchronous:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
