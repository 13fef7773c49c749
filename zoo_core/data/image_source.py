"""Pictures of a data set on their way to samples: what that takes, where they are kept, and the decoding itself."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo_core.data import cache as decodedcache
from zoo_core.data.decoding import (
    PictureDecoder,
    available_workers,
    blocks,
    channels_of,
    decode,
    open_picture,
)
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.data.source_files import source_files
from zoo_core.data.training_data import TrainingData, count_classes
from zoo_core.errors import OutputError, printable
from zoo_core.files.folders import CACHE_VARIABLE
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory
from zoo_core.runtime.processes import ALONE, Processes

MEMORY_SHARE = 1 / 2  # of what is available may hold the pictures; the model and the system need some
DISK_SHARE = 9 / 10  # of what is free may
CACHED_FROM = 4 * 2**20  # bytes of encoded pictures: fewer are decoded as fast as a file is verified
WORKERS_FROM = 32 * 2**20  # likewise: fewer are decoded while processes would start

_Place = Literal["memory", "disk", "nowhere"]


class ImageSource:
    """Pictures that have not been decoded yet: rows of a data set with an image column.

    Attributes:
        shape: (channels, side, side) of the first picture once it is square, which decides what is not asked for.

    Args:
        rows: all rows of a data set, in their order, with an image column that `datasets` does not decode.
        location: the file or folder that they are from; None for a data set of the Hub.
    """

    def __init__(
        self, rows: Any, image_column: str, label_column: str | None, name: str, *, location: Path | None = None
    ) -> None:
        self.rows, self.image_column, self.label_column, self.name = rows, image_column, label_column, name
        with open_picture(rows[0][image_column], name, 0) as first:
            side = min(first.size)
            self.shape = (channels_of(first), side, side)
        self._files = source_files(location, rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_classes(self) -> int | None:
        """How many classes the labels tell apart, as TrainingData.num_classes; None without a label column."""
        return count_classes(self._labels, self._class_names)

    def plan(self, channels: int, size: int) -> str:
        """What `decode` is about to take, and from where, in a line. Takes nothing."""
        decoder = self._decoder(channels, size)
        needed, free, folder = (
            readable_size(decoder.total_bytes),
            readable_size(available_memory()),
            decodedcache.decoded_folder(),
        )
        columns = f"image column {self.image_column!r}" + (
            f", label column {self.label_column!r}" if self.label_column else ""
        )
        pictures = f"{len(self):,} pictures of {size} x {size} ({columns}) take {needed}"
        too_much = f"{pictures}, too much for the {free} of memory that are available"
        return {
            "memory": f"{pictures} of memory; {free} are available",
            "disk": f"{too_much}: they are decoded once into {folder}, and read from there",
            "nowhere": f"{too_much} and for the disk of {folder}: they are decoded once to check them, and again for "
            f"every batch; {CACHE_VARIABLE}=FOLDER names a disk with more room",
        }[self._place(decoder)]

    def decode(self, channels: int, size: int, *, processes: Processes = ALONE) -> TrainingData:
        """All pictures as uint8 (N, channels, size, size): centre-cropped to a square and resized where needed.

        They are read from the cache where an earlier call left them there, and are the same bit for bit. Of several
        processes the first of each machine decodes them into the cache, and the others then find them there.

        Raises:
            DataError: for a picture that cannot be decoded, naming its row.
            ProcessError: where another process failed to decode them.
        """
        decoder = self._decoder(channels, size)
        with processes.local_first():
            data = self._decode(decoder)
        if processes.count > 1 and not self._is_cached(decoder):
            note = "these are not kept in the cache: every process decoded them for itself"
            data = dataclasses.replace(data, notes=(*data.notes, note))
        return data

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
        pixels = np.empty((len(self), decoder.size, decoder.size, decoder.channels), np.uint8)

        def keep(start: int, some: np.ndarray) -> None:
            pixels[start : start + len(some)] = some

        fingerprint, changes = self._decode_all(decoder, keep)
        if file is not None:
            try:
                with decodedcache.new_file(file) as stream:
                    stream.write(pixels.data)
                    decodedcache.finish(stream, decoder, fingerprint.of_samples(), changes)
            except OutputError as error:
                notes.append(f"the decoded pictures are not kept for the next time: {printable(error)}")
        return self._data(decoder, _channels_first(pixels), fingerprint, changes, notes, "memory")

    def _decode_into_file(self, decoder: PictureDecoder, file: Path, notes: list[str]) -> TrainingData:
        with decodedcache.new_file(file) as stream:
            fingerprint, changes = self._decode_all(decoder, lambda start, pixels: stream.write(pixels.data))
            decodedcache.finish(stream, decoder, fingerprint.of_samples(), changes)
        return self._data(decoder, decodedcache.mapped(file, decoder, fits=False), fingerprint, changes, notes, "disk")

    def _decode_all(
        self, decoder: PictureDecoder, keep: Callable[[int, np.ndarray], object]
    ) -> tuple[Fingerprint, Counter[str]]:
        """Hand the pixels to `keep`, row by row from the first; returns what is known of all once they are through."""
        fingerprint, changes, start = decoder.new_fingerprint(), Counter[str](), 0
        workers = available_workers() if self._files and self._files.size >= WORKERS_FROM else 0
        for decoded in decode(decoder, blocks(len(decoder), decoder.picture_bytes), workers):
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
            shape = (len(decoder), decoder.channels, decoder.size, decoder.size)
            samples = torch.empty(shape, dtype=torch.uint8, device="meta", memory_format=torch.channels_last)
        return TrainingData(
            samples,
            self._labels,
            self.name,
            (*_what_was_done(decoder, changes), *notes),
            fingerprint.with_labels(self._labels),
            class_names=self._class_names,
            decoder=decoder if place == "nowhere" else None,
            larger_than_memory=place == "disk",
        )

    def _decoder(self, channels: int, size: int) -> PictureDecoder:
        return PictureDecoder(self.rows, self.image_column, self.name, channels, size)

    def _place(self, decoder: PictureDecoder) -> _Place:
        """Where the decoded pictures are kept."""
        if decoder.total_bytes <= available_memory() * MEMORY_SHARE:
            return "memory"
        file = self._cache_file(decoder, "disk")
        room = decodedcache.free_space(decodedcache.decoded_folder()) * DISK_SHARE
        return "disk" if file and (decodedcache.is_there(file) or decoder.total_bytes <= room) else "nowhere"

    def _cache_file(self, decoder: PictureDecoder, place: _Place) -> Path | None:
        if self._files is None or place == "nowhere" or (place == "memory" and self._files.size < CACHED_FROM):
            return None
        return decodedcache.cache_file(self._files, decoder)

    def _is_cached(self, decoder: PictureDecoder) -> bool:
        file = self._cache_file(decoder, self._place(decoder))
        return file is not None and decodedcache.is_there(file)

    @functools.cached_property
    def _labels(self) -> Tensor | None:
        return torch.tensor(self.rows[self.label_column][:], dtype=torch.int64) if self.label_column else None

    @functools.cached_property
    def _class_names(self) -> tuple[str, ...]:
        """Those of a ClassLabel column; those of a folder of pictures are its subfolders."""
        feature = self.rows.features[self.label_column] if self.label_column else None
        return tuple(getattr(feature, "names", None) or ())


def _load(file: Path, decoder: PictureDecoder, fits: bool, notes: list[str]) -> decodedcache.Cached | None:
    try:
        cached = decodedcache.load(file, decoder, fits=fits)
    except decodedcache.DamagedCacheError as error:
        notes.append(f"{file} is damaged, {printable(error, 80)}: the pictures were decoded anew")
        return None
    if cached is not None:
        notes.append(f"the decoded pictures were read from {file}")
    return cached


def _what_was_done(decoder: PictureDecoder, changes: Counter[str]) -> list[str]:
    kind, size = "grey" if decoder.channels == 1 else "colour", decoder.size
    meaning = {
        "cropped": "were not square and were cropped about their centre",
        "resized": f"were resized to {size} x {size} (bicubic)",
        "converted": f"were converted to {kind} 8-bit pixels (transparency onto white)",
    }
    done = [f"{changes[what]:,} {words}" for what, words in meaning.items() if changes[what]]
    return [f"{len(decoder):,} {kind} pictures of {size} x {size}", *done]


def _channels_first(pixels: np.ndarray) -> Tensor:
    """(N, size, size, channels) as (N, channels, size, size), without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
