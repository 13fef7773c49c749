"""Pictures of a data set on their way to samples: the memory they need, where they are kept, and their decoding."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zoo_core.data import cache
from zoo_core.data.decoding import PictureDecoder, blocks, picture_shape, what_was_done
from zoo_core.data.decoding_workers import available_workers, decode
from zoo_core.data.encoded_pictures import EncodedPictures
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.data.picture_formats import PICTURES
from zoo_core.data.picture_survey import Survey, survey
from zoo_core.data.selection import empty_classes, summary, with_known_class, without_damaged
from zoo_core.data.source import DataSource
from zoo_core.data.source_files import state_of_files
from zoo_core.data.training_data import TrainingData, count_classes
from zoo_core.errors import DataError, OutputError, printable
from zoo_core.files.folders import CACHE_VARIABLE
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory
from zoo_core.runtime.processes import ALONE, Processes

MEMORY_SHARE = 1 / 2  # of the available memory may hold the pictures; the model and the system need the rest
DISK_SHARE = 9 / 10  # of the free space on the disk may hold them
CACHED_FROM = 4 * 2**20  # bytes of encoded pictures; fewer are decoded as fast as a file of the cache is verified
WORKERS_FROM = 32 * 2**20  # bytes of encoded pictures; fewer are decoded in the time that processes take to start

_Place = Literal["memory", "disk", "nowhere"]


class ImageSource(DataSource):
    """Pictures that have not been decoded yet.

    Args:
        pictures: of the data source.
        skip_damaged: leave pictures out that cannot be decoded; without it they are an error.

    Attributes:
        pictures: those that are used.
        name: of the data.
        sample_shape: (channels, height, width) of most of the pictures, as a Survey has it; the default for what the
            user left open.
        square_shape: (channels, side, side) of most of the pictures once they are square.
        notes: what was found and chosen, and what is left out: one sentence each.

    Raises:
        DataError: for a picture whose file cannot be read, with its place.
    """

    def __init__(self, pictures: EncodedPictures, *, skip_damaged: bool = False) -> None:
        pictures = with_known_class(pictures, PICTURES)
        self._files = state_of_files(pictures.files())
        found = self._survey(pictures, thorough=skip_damaged)
        self.pictures = without_damaged(pictures, found.damaged, PICTURES, skip=skip_damaged)
        self.name = pictures.name
        self.sample_shape = (found.channels, *found.size)
        self.square_shape = (found.channels, found.side, found.side)
        self.notes = (
            summary(self.pictures, PICTURES),
            *empty_classes(self.pictures, PICTURES),
            *self.pictures.notes,
            *found.notes(),
        )

    def _survey(self, pictures: EncodedPictures, *, thorough: bool) -> Survey:
        """Look at all pictures; what was found at large sets is kept in the cache."""
        what, selection = f"survey-{'thorough' if thorough else 'headers'}", pictures.selection()
        kept = self._files if self._files and self._files.size >= CACHED_FROM else None
        if kept:
            known = Survey.from_facts(cache.remembered(what, kept, selection))
            if known is not None:
                return known
        found = survey(pictures, self._workers(), thorough=thorough)
        if kept:
            cache.remember(what, kept, selection, found.facts())
        return found

    def _workers(self) -> int:
        return available_workers() if self._files and self._files.size >= WORKERS_FROM else 0

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def num_classes(self) -> int | None:  # type: ignore[override]  # which reads the labels, where someone asks
        """Number of classes of the labels, as in TrainingData.num_classes; None without labels."""
        return count_classes(self._labels, self._class_names)

    def shape_for(self, fields: Collection[str]) -> tuple[int, ...]:
        return self.sample_shape if {"height", "width"}.issubset(fields) else self.square_shape

    def plan(self, sample_shape: tuple[int, ...]) -> str:
        """Return a line that says what memory or disk space `decode` needs, without taking it."""
        decoder = self._decoder(sample_shape)
        needed, free, folder = (
            readable_size(decoder.total_bytes),
            readable_size(available_memory()),
            cache.decoded_folder(),
        )
        part = f" ({self.pictures.description})" if self.pictures.description else ""
        pictures = f"{len(self):,} pictures of {decoder.size}{part} take {needed}"
        too_much = f"{pictures}, too much for the {free} of memory that are available"
        return {
            "memory": f"{pictures} of memory; {free} are available",
            "disk": f"{too_much}: they are decoded once into {folder}, and read from there",
            "nowhere": f"{too_much} and for the disk of {folder}: they are decoded once to check them, and again for "
            f"every batch; set {CACHE_VARIABLE}=FOLDER to a disk with more room",
        }[self._place(decoder)]

    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        """Decode all pictures to uint8 (N, *sample_shape), cropped about their centre and resized if needed.

        A crop is the largest part that has the aspect ratio of the shape. The pictures are read from the cache where an
        earlier call left them there, and are the same bit for bit. Of several processes, the first on each machine
        decodes them into the cache, where the others then find them.

        Args:
            sample_shape: (channels, height, width) in pixels; 1 channel is grey, 3 are colour.
            processes: of the training run; by default this one alone.

        Raises:
            DataError: for a picture that cannot be decoded, with its row; for a shape that pictures cannot have.
            ProcessError: where another process failed to decode them.
        """
        decoder, processes = self._decoder(sample_shape), processes or ALONE
        with processes.local_first():
            data = self._decode(decoder)
        if processes.count > 1 and not self._is_cached(decoder):
            note = "these are not kept in the cache: every process decoded them for itself"
            data = dataclasses.replace(data, notes=(*data.notes, note))
        return data

    def _decoder(self, sample_shape: tuple[int, ...]) -> PictureDecoder:
        shape = picture_shape("image", sample_shape)
        if shape is None:
            raise DataError(f"{self.name} is read as pictures, which cannot have the shape {tuple(sample_shape)}")
        return PictureDecoder(self.pictures, shape)

    def _decode(self, decoder: PictureDecoder) -> TrainingData:
        place = self._place(decoder)
        file = self._cache_file(decoder, place)
        notes: list[str] = []
        cached = _load(file, decoder, place == "memory", notes) if file else None
        if cached is not None:
            return self._data(decoder, cached.samples, cached.fingerprint, cached.changes, notes, place)
        if place == "memory":
            return self._decode_into_memory(decoder, file, notes)
        if file is not None:
            try:
                return self._decode_into_file(decoder, file, notes)
            except OutputError as error:
                notes.append(f"the pictures are decoded again for every batch: {printable(error)}")
        fingerprint, changes = self._decode_all(decoder, lambda start, pixels: None)
        return self._data(decoder, None, fingerprint, changes, notes, "nowhere")

    def _decode_into_memory(self, decoder: PictureDecoder, file: Path | None, notes: list[str]) -> TrainingData:
        pixels = np.empty(decoder.stored_shape, np.uint8)

        def keep(start: int, some: np.ndarray) -> None:
            pixels[start : start + len(some)] = some

        fingerprint, changes = self._decode_all(decoder, keep)
        if file is not None:
            try:
                with cache.new_file(file) as stream:
                    stream.write(pixels.data)
                    cache.finish(stream, decoder, fingerprint.of_samples(), changes)
            except OutputError as error:
                notes.append(f"the decoded pictures are not kept for the next time: {printable(error)}")
        return self._data(decoder, _channels_first(pixels), fingerprint, changes, notes, "memory")

    def _decode_into_file(self, decoder: PictureDecoder, file: Path, notes: list[str]) -> TrainingData:
        with cache.new_file(file) as stream:
            fingerprint, changes = self._decode_all(decoder, lambda start, pixels: stream.write(pixels.data))
            cache.finish(stream, decoder, fingerprint.of_samples(), changes)
        return self._data(decoder, cache.mapped(file, decoder, fits=False), fingerprint, changes, notes, "disk")

    def _decode_all(
        self, decoder: PictureDecoder, keep: Callable[[int, np.ndarray], object]
    ) -> tuple[Fingerprint, Counter[str]]:
        """Pass all pixels to `keep` in order, each time with the row of the first; returns what is known of them."""
        fingerprint, changes, start = Fingerprint(torch.uint8, decoder.samples_shape), Counter[str](), 0
        for decoded in decode(decoder, blocks(len(decoder), decoder.picture_bytes), self._workers()):
            keep(start, decoded.pixels)
            fingerprint.add(_channels_first(decoded.pixels))
            changes.update(decoded.changes)
            start += len(decoded.pixels)
        return fingerprint, changes

    def _data(
        self,
        decoder: PictureDecoder,
        samples: Tensor | None,
        fingerprint: Fingerprint,
        changes: Counter[str],
        notes: list[str],
        place: _Place,
    ) -> TrainingData:
        if samples is None:
            samples = torch.empty(
                decoder.samples_shape, dtype=torch.uint8, device="meta", memory_format=torch.channels_last
            )
        kind = "grey" if decoder.channels == 1 else "colour"
        return TrainingData(
            samples,
            self._labels,
            self.name,
            (
                f"{len(decoder):,} {kind} pictures of {decoder.size}",
                *what_was_done(decoder, changes),
                *notes,
            ),
            fingerprint.with_labels(self._labels),
            class_names=self._class_names,
            decoder=decoder if place == "nowhere" else None,
            larger_than_memory=place == "disk",
        )

    def _place(self, decoder: PictureDecoder) -> _Place:
        """Return where there is room for the decoded pictures."""
        if decoder.total_bytes <= available_memory() * MEMORY_SHARE:
            return "memory"
        file = self._cache_file(decoder, "disk")
        room = cache.free_space(cache.decoded_folder()) * DISK_SHARE
        return "disk" if file and (cache.is_there(file) or decoder.total_bytes <= room) else "nowhere"

    def _cache_file(self, decoder: PictureDecoder, place: _Place) -> Path | None:
        if self._files is None or place == "nowhere" or (place == "memory" and self._files.size < CACHED_FROM):
            return None
        return cache.cache_file(self._files, decoder)

    def _is_cached(self, decoder: PictureDecoder) -> bool:
        file = self._cache_file(decoder, self._place(decoder))
        return file is not None and cache.is_there(file)

    @functools.cached_property
    def _labels(self) -> Tensor | None:
        labels = self.pictures.labels()
        return torch.from_numpy(labels) if labels is not None else None

    @functools.cached_property
    def _class_names(self) -> tuple[str, ...]:
        return self.pictures.class_names()


def _load(file: Path, decoder: PictureDecoder, fits: bool, notes: list[str]) -> cache.CachedPictures | None:
    try:
        cached = cache.load(file, decoder, fits=fits)
    except cache.DamagedCacheError as error:
        notes.append(f"{file} is damaged, {printable(error, 80)}: the pictures were decoded again")
        return None
    if cached is not None:
        notes.append(f"the decoded pictures were read from {file}")
    return cached


def _channels_first(pixels: np.ndarray) -> Tensor:
    """Return pixels (N, height, width, channels) as (N, channels, height, width), without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
