"""From encoded pictures to pixels: centre crop, resize and 8-bit grey or colour, here or in worker processes."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from zoo_core.data.fingerprint import Fingerprint
from zoo_core.errors import DataError, printable

DECODER_VERSION = 1  # of what `_decode` does to a picture; raise it whenever a pixel changes
MOST_WORKERS = 16  # past these the process that gathers what they decode is the slowest


class Decoded(NamedTuple):
    """Some pictures' pixels.

    Attributes:
        pixels: (N, size, size, channels) uint8: with the channels last, as convolutions like them best.
        changes: how many pictures were "cropped", "resized" and "converted".
    """

    pixels: np.ndarray
    changes: Counter[str]


class PictureDecoder:
    """The rows of a data set as pixels; indexed with a list of rows it decodes them.

    Args:
        rows: a data set of `datasets`, whose image column is not decoded by it.
        name: of the data, for errors.
        channels: 1 for grey, 3 for colour.
        size: of the square that is made of each picture, in pixels.
    """

    def __init__(self, rows: Any, image_column: str, name: str, channels: int, size: int) -> None:
        self.rows, self.image_column, self.name = rows, image_column, name
        self.channels, self.size = channels, size

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def picture_bytes(self) -> int:
        """Of one picture, decoded."""
        return self.channels * self.size * self.size

    @property
    def total_bytes(self) -> int:
        """Of all pictures, decoded."""
        return len(self) * self.picture_bytes

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """(N, size, size, channels), of all pictures."""
        return len(self), self.size, self.size, self.channels

    def new_fingerprint(self) -> Fingerprint:
        """That of all pictures as samples, (N, channels, size, size), before the first was added."""
        return Fingerprint(torch.uint8, (len(self), self.channels, self.size, self.size))

    def __getitem__(self, chosen: Sequence[int]) -> Decoded:
        """The pictures of these rows. Raises DataError for one that cannot be decoded, naming its row."""
        pixels = np.empty((len(chosen), self.size, self.size, self.channels), np.uint8)
        changes: Counter[str] = Counter()
        for place, (row, value) in enumerate(zip(chosen, self.rows[list(chosen)][self.image_column], strict=True)):
            with open_picture(value, self.name, row) as image:
                try:
                    pixels[place] = _decode(image, self.channels, self.size, changes)
                except (OSError, ValueError, SyntaxError) as error:  # what Pillow's decoders raise
                    raise _undecodable(value, self.name, row, error) from error
        return Decoded(pixels, changes)


def decode(decoder: PictureDecoder, order: Iterable[Sequence[int]], workers: int) -> Iterator[Decoded]:
    """The pictures of each list of rows in `order`, in that order, decoded ahead by `workers` processes (0: here).

    Raises:
        DataError: for a picture that cannot be decoded, naming its row.
    """
    if not workers:
        yield from (decoder[chosen] for chosen in order)
        return
    # What is decoded travels through pipes: a container's shared memory, torch's way, may hold 64 MB in all.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin_worker, (decoder, os.getpid()))
    coming: deque[Future[Decoded]] = deque()
    try:
        for chosen in order:
            coming.append(pool.submit(_decode_in_worker, chosen))
            if len(coming) > 2 * workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            f"{decoder.name}: a process that decodes pictures was killed; the machine may have run out of memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def available_workers() -> int:
    """How many processes may decode at once on this machine; 0 where decoding had better stay in this one.

    Only Linux forks a process safely: elsewhere a new one would run the user's own script again.
    """
    if sys.platform != "linux":
        return 0
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def blocks(count: int, picture_bytes: int) -> Iterator[range]:
    """The rows 0 … count - 1 in blocks of about a megabyte of pixels."""
    step = max(1, min(1000, 2**20 // picture_bytes))
    return (range(start, min(start + step, count)) for start in range(0, count, step))


def open_picture(value: Any, name: str, row: int) -> Image.Image:
    """The picture in a cell of an image column, not yet decoded. Raises DataError, naming its row."""
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise DataError(f"{name}, row {row}: there is no picture")
    try:
        return Image.open(io.BytesIO(value["bytes"]) if value.get("bytes") else value["path"])
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _undecodable(value, name, row, error) from error


def read_picture(path: Path, channels: int, size: int) -> np.ndarray:
    """A picture of its own as training would see it: (size, size, channels) uint8. Raises DataError."""
    try:
        with Image.open(path) as image:
            return _decode(image, channels, size, Counter())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{printable(path, 200)}: this picture cannot be read: {printable(reason, 120)}") from error


def channels_of(image: Image.Image) -> int:
    """1 for a grey picture, with or without transparency, and 3 for any other."""
    return 1 if image.mode in ("1", "L", "I", "I;16", "F", "LA") else 3


def _undecodable(value: Any, name: str, row: int, error: Exception) -> DataError:
    file = f" ({printable(Path(value['path']).name)})" if isinstance(value, dict) and value.get("path") else ""
    return DataError(f"{name}, row {row}{file}: the picture cannot be decoded: {printable(error, 120)}")


def _decode(image: Image.Image, channels: int, size: int, changes: Counter[str]) -> np.ndarray:
    """One picture as uint8 (size, size, channels); counts what was done to it."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = _convert(image, mode)
        changes["converted"] += 1
    if image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        changes["cropped"] += 1
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        changes["resized"] += 1
    return np.asarray(image).reshape(size, size, channels)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


_worker_decoder: PictureDecoder  # of a worker process, from its first moment on


def _begin_worker(decoder: PictureDecoder, main_process: int) -> None:
    """Ctrl-C reaches every process of a terminal: the main one ends its step, for which the workers must live on. A
    handler that it set before the fork, in turn, would keep it from ending them."""
    global _worker_decoder
    _worker_decoder = decoder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(main_process,), daemon=True).start()


def _end_with(main_process: int) -> None:
    """Without it a worker would wait for ever once the main process was killed: it holds its own end of the pipe."""
    while os.getppid() == main_process:
        time.sleep(1)
    os._exit(1)


def _decode_in_worker(chosen: Sequence[int]) -> Decoded:
    return _worker_decoder[chosen]
