"""How the samples of a batch come together on the device: from its own memory, from the machine's, from disk, or from
pictures that are decoded on the way.

A sample is a row here, all its values one after another: gathering rows is one copy of memory each, and whether the
channels of a picture come first or last in it matters only once the batch is whole.
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

Order = Callable[[int], Tensor]  # number of a batch -> its samples' indices: (n,) int64, on the CPU
DEVICE_SHARE = 1 / 4  # of a GPU's free memory may hold the data; the rest is the model's
READING_THREADS = 4  # a disk answers several requests in little more time than one
BATCHES_AHEAD = 8


class Layout:
    """How one sample lies in a row: as it is, or for a picture with its channels last."""

    def __init__(self, samples: Tensor) -> None:
        self.channels_last = samples.ndim == 4 and samples.is_contiguous(memory_format=torch.channels_last)
        self.shape = tuple(self._stored(samples).shape[1:])

    def rows(self, samples: Tensor) -> Tensor:
        """Samples (N, *sample_shape) as rows (N, values); no copy where they are dense."""
        return self._stored(samples).reshape(len(samples), -1)

    def samples(self, rows: Tensor) -> Tensor:
        """Rows (N, values) as samples (N, *sample_shape), without a copy."""
        stored = rows.view(len(rows), *self.shape)
        return stored.permute(0, 3, 1, 2) if self.channels_last else stored

    def mirrored(self, rows: Tensor, which: Tensor) -> Tensor:
        """Rows with the pictures in some of them, (n,) indices on the CPU, turned left to right."""
        pictures = rows.index_select(0, to_device(which, rows.device)).view(len(which), *self.shape)
        turned = pictures.flip(2 if self.channels_last else 3).view(len(which), rows.shape[1])
        places = torch.arange(len(rows))
        places[which] = torch.arange(len(rows), len(rows) + len(which))
        # Copying everything once more is some times faster than writing into the rows by index.
        return torch.cat([rows, turned]).index_select(0, to_device(places, rows.device))

    def _stored(self, samples: Tensor) -> Tensor:
        return samples.permute(0, 2, 3, 1) if self.channels_last else samples


class Gatherer(ABC):
    """Gives the rows of a batch, on the device.

    Attributes:
        note: where the samples are and what memory that takes, in a line; nothing is taken before the first batch.
    """

    note: str

    @abstractmethod
    def gather(self, number: int) -> Tensor:
        """(n, values): the samples of batch `number`."""


def gatherer(data: TrainingData, layout: Layout, order: Order, device: torch.device) -> Gatherer:
    """The fastest way that the device, the memory and the data leave."""
    if data.decoder is not None:
        return DecodingGatherer(data.decoder, order, device)
    rows = layout.rows(data.samples)
    if device.type == "cuda" and rows.nbytes <= torch.cuda.mem_get_info(device)[0] * DEVICE_SHARE:
        return DeviceGatherer(rows, order, device)
    return (DiskGatherer if data.larger_than_memory else MemoryGatherer)(rows, order, device)


class MemoryGatherer(Gatherer):
    """From the machine's memory, through pinned memory to a GPU, which need not wait for it."""

    def __init__(self, rows: Tensor, order: Order, device: torch.device) -> None:
        self.note = f"batches are gathered from the {readable_size(rows.nbytes)} of samples in memory"
        self._rows, self._order, self._device = rows, order, device

    def gather(self, number: int) -> Tensor:
        return self._pick(self._order(number)).to(self._device, non_blocking=True)

    def _pick(self, chosen: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return self._rows.index_select(0, chosen)
        pinned = torch.empty((len(chosen), self._rows.shape[1]), dtype=self._rows.dtype, pin_memory=True)
        return torch.index_select(self._rows, 0, chosen, out=pinned)


class DiskGatherer(MemoryGatherer):
    """From a file that is mapped into memory and larger than it: threads read the batches that come next."""

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


class DeviceGatherer(Gatherer):
    """From the device's own memory, into which all samples are copied once."""

    def __init__(self, rows: Tensor, order: Order, device: torch.device) -> None:
        self.note = f"all samples are held on {device}: {readable_size(rows.nbytes)} of its memory"
        self._rows, self._order, self._device = rows, order, device

    def gather(self, number: int) -> Tensor:
        if self._rows.device.type != self._device.type:
            self._rows = self._rows.to(self._device)
        return self._rows.index_select(0, to_device(self._order(number), self._device))


class DecodingGatherer(Gatherer):
    """From pictures that are decoded anew for every batch, by processes that work ahead."""

    def __init__(self, decoder: PictureDecoder, order: Order, device: torch.device) -> None:
        self._workers = available_workers()
        self.note = f"pictures are decoded anew for every batch, by {self._workers or 1} processes"
        self._decoder, self._order, self._device = decoder, order, device
        self._next = -1
        self._batches: Iterator[Decoded] = iter(())

    def gather(self, number: int) -> Tensor:
        if number != self._next:  # the first, or after a jump
            order = (chosen.tolist() for chosen in map(self._order, itertools.count(number)))
            self._batches = decode(self._decoder, order, self._workers)
        pixels = torch.from_numpy(next(self._batches).pixels)
        self._next = number + 1
        return to_device(pixels.reshape(len(pixels), -1), self._device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU on the device; a GPU is not waited for."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
