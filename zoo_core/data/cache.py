"""Decoded pictures on disk, so that a data set is decoded once and not at every start of every run.

One safetensors file holds the pixels of one data set, of one number of channels and one size: the tensor `pictures`,
uint8 (N, size, size, channels), and beside it the sha256 of its samples and what was done to them. It is mapped into
memory, so that processes which train together share one copy, and is used only where that sha256 is still right.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo_core.data.decoding import DECODER_VERSION, PictureDecoder
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.data.source_files import SourceFiles
from zoo_core.errors import OutputError
from zoo_core.files.atomic import atomic_file
from zoo_core.files.folders import cache_folder

_PICTURES = "pictures"
_HEADER_BYTES = 4096  # fixed, since what it says is known only after the pixels are written; also a page
_ABANDONED = 24 * 3600  # seconds after which a file that nobody finished is nobody's any more


class DamagedCacheError(Exception):
    """A file of the cache is not what was written there."""


@dataclass(frozen=True)
class Cached:
    """What a file of the cache holds.

    Attributes:
        samples: (N, channels, size, size) uint8, read from the file as they are needed.
        fingerprint: of the samples, which was compared with the file's.
        changes: how many pictures were "cropped", "resized" and "converted".
    """

    samples: Tensor
    fingerprint: Fingerprint
    changes: Counter[str]


def decoded_folder() -> Path:
    """Where decoded pictures lie: `decoded` in ZOO_CACHE, else in this system's folder for what can be made again."""
    return cache_folder() / "decoded"


def cache_file(files: SourceFiles, decoder: PictureDecoder) -> Path:
    """Where these pictures, decoded in this way, lie or would lie. Pillow's version is part of it: its codecs and its
    resizing decide the last bit of a pixel."""
    facts = (files.key, str(decoder.rows.split), len(decoder), decoder.image_column, decoder.channels, decoder.size)
    key = hashlib.sha256(repr((*facts, DECODER_VERSION, PIL.__version__)).encode()).hexdigest()
    return decoded_folder() / f"{key[:32]}.safetensors"


def load(path: Path, decoder: PictureDecoder, *, fits: bool) -> Cached | None:
    """The pictures in a file of the cache, every byte of them verified; None where there is no such file.

    Args:
        fits: whether all of them fit into memory.

    Raises:
        DamagedCacheError: where it is not what was written.
    """
    if not is_there(path):
        return None
    shape = [*decoder.stored_shape]
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            stored = file.get_slice(_PICTURES)
            if (stored.get_dtype(), stored.get_shape()) != ("U8", shape):
                raise DamagedCacheError("it holds other pictures")
        changes = Counter({what: int(count) for what, count in json.loads(facts["changes"]).items()})
        samples = mapped(path, decoder, fits=fits)
    except (SafetensorError, OSError, LookupError, ValueError, AttributeError) as error:
        raise DamagedCacheError(str(error)) from error
    fingerprint = decoder.new_fingerprint()
    fingerprint.add(samples)
    if fingerprint.of_samples() != facts.get("sha256"):
        raise DamagedCacheError("its sha256 is not the one that it states")
    return Cached(samples, fingerprint, changes)


def mapped(path: Path, decoder: PictureDecoder, *, fits: bool) -> Tensor:
    """The samples in a file of the cache, (N, channels, size, size) uint8, as they are.

    Where they fit into memory, what is written to them stays in this process, as with any tensor. Where they do not,
    they cannot be written to: a system that counts what may be written against its memory would refuse to map them.
    """
    pixels = np.memmap(path, np.uint8, "c" if fits else "r", offset=_HEADER_BYTES, shape=decoder.stored_shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def is_there(path: Path) -> bool:
    """Whether a path exists; one that may not be looked at does not."""
    try:
        return path.exists()
    except OSError:
        return False


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of the cache to write: pixels, one after another, then `finish`. It is there once the block ends well.

    Raises:
        OutputError: where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(".*.tmp"):  # of a process that was killed
            if left.stat().st_mtime < time.time() - _ABANDONED:
                left.unlink()
    except OSError as error:
        raise OutputError.unwritable(path.parent, error) from error
    with atomic_file(path) as file:
        file.seek(_HEADER_BYTES)
        yield file


def finish(file: BinaryIO, decoder: PictureDecoder, sha256: str, changes: Counter[str]) -> None:
    """Write the header: what lies in the file, and how to tell whether it still does."""
    header = {
        "__metadata__": {"sha256": sha256, "changes": json.dumps(changes)},
        _PICTURES: {"dtype": "U8", "shape": decoder.stored_shape, "data_offsets": [0, decoder.total_bytes]},
    }
    text = json.dumps(header).encode().ljust(_HEADER_BYTES - 8)
    file.seek(0)
    file.write(len(text).to_bytes(8, "little") + text)


def free_space(folder: Path) -> int:
    """Bytes that can be written below `folder`, which need not be there yet; 0 where none may be."""
    there = next((path for path in (folder, *folder.parents) if is_there(path)), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK):
        return 0
    return shutil.disk_usage(there).free
