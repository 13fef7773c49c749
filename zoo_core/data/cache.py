"""The cache of decoded pictures on disk, so that a data set is decoded once and not at the start of every run.

A safetensors file holds the pixels of one data set for one number of channels and one size: the tensor `pictures`,
uint8 (N, height, width, channels), the sha256 of the samples, and what was done to them. It is mapped into memory, so
that processes that train together share one copy, and it is used only if that sha256 still matches.
"""

from __future__ import annotations

import contextlib
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
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo_core.data.decoding import DECODER_VERSION, PictureDecoder
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.data.source_files import SourceFiles
from zoo_core.errors import OutputError
from zoo_core.files.atomic import atomic_file, write_bytes
from zoo_core.files.folders import cache_folder
from zoo_core.files.utf8_names import utf8_name

_PICTURES = "pictures"
_HEADER_BYTES = 4096  # fixed, since its content is known only after the pixels are written; also the size of a page
_ABANDONED = 24 * 3600  # seconds after which the file of an unfinished process is removed


class DamagedCacheError(Exception):
    """A file of the cache no longer holds what was written to it."""


@dataclass(frozen=True)
class CachedPictures:
    """The content of a file of the cache.

    Attributes:
        samples: (N, channels, height, width) uint8, read from the file where they are used.
        fingerprint: of the samples; it matches the one in the file.
        changes: how many pictures were changed in each way, as in `decoding.Decoded`.
    """

    samples: Tensor
    fingerprint: Fingerprint
    changes: Counter[str]


def decoded_folder() -> Path:
    """Return the folder of decoded pictures: `decoded` in ZOO_CACHE, else in this system's folder for caches.

    Example:
        >>> decoded_folder().name
        'decoded'
    """
    return cache_folder() / "decoded"


def cache_file(files: SourceFiles, decoder: PictureDecoder) -> Path:
    """Return the path of the file for these pictures, decoded in this way; it need not exist.

    The version of Pillow is part of the key: its codecs and its resizing decide the last bit of a pixel.
    """
    size = (decoder.width,) if decoder.width == decoder.height else (decoder.height, decoder.width)
    facts = (files.key, *decoder.pictures.selection(), decoder.channels, *size)
    key = hashlib.sha256(repr((*facts, DECODER_VERSION, PIL.__version__)).encode()).hexdigest()
    return decoded_folder() / f"{key[:32]}.safetensors"


def remembered(what: str, files: SourceFiles, selection: tuple[object, ...]) -> Any:
    """Return what `remember` wrote about these pictures; None where it wrote nothing that can be read."""
    try:
        return json.loads(_facts_file(what, files, selection).read_bytes())
    except (OSError, ValueError):
        return None


def remember(what: str, files: SourceFiles, selection: tuple[object, ...], facts: Any) -> None:
    """Write facts about pictures into the cache, where that can be written."""
    file = _facts_file(what, files, selection)
    with contextlib.suppress(OSError, OutputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps(facts).encode())


def _facts_file(what: str, files: SourceFiles, selection: tuple[object, ...]) -> Path:
    key = hashlib.sha256(repr((what, files.key, *selection, DECODER_VERSION, PIL.__version__)).encode()).hexdigest()
    return decoded_folder() / f"{key[:32]}.{what}.json"


def load(path: Path, decoder: PictureDecoder, *, fits: bool) -> CachedPictures | None:
    """Return the pictures in a file of the cache, every byte of them verified; None where there is no such file.

    Args:
        fits: whether all of them fit into memory.

    Raises:
        DamagedCacheError: where the file no longer holds what was written to it.
    """
    if not is_there(path):
        return None
    shape = [*decoder.stored_shape]
    try:
        with utf8_name(path) as name, safe_open(name, framework="np") as file:
            facts = file.metadata() or {}
            stored = file.get_slice(_PICTURES)
            if (stored.get_dtype(), stored.get_shape()) != ("U8", shape):
                raise DamagedCacheError("it holds other pictures")
        changes = Counter({what: int(count) for what, count in json.loads(facts["changes"]).items()})
        samples = mapped(path, decoder, fits=fits)
    except (SafetensorError, OSError, LookupError, ValueError, AttributeError) as error:
        raise DamagedCacheError(str(error)) from error
    fingerprint = Fingerprint(torch.uint8, decoder.samples_shape)
    fingerprint.add(samples)
    if fingerprint.of_samples() != facts.get("sha256"):
        raise DamagedCacheError("its sha256 is not the one that it states")
    return CachedPictures(samples, fingerprint, changes)


def mapped(path: Path, decoder: PictureDecoder, *, fits: bool) -> Tensor:
    """Map the samples in a file of the cache into memory, unverified: (N, channels, height, width) uint8.

    Samples that fit into memory can be written to, as any tensor; the change stays in this process. Others are
    read-only: a system that counts writable memory against what it has would refuse to map them.
    """
    pixels = np.memmap(path, np.uint8, "c" if fits else "r", offset=_HEADER_BYTES, shape=decoder.stored_shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def is_there(path: Path) -> bool:
    """Return whether a path exists; one in a folder that may not be searched counts as missing."""
    try:
        return path.exists()
    except OSError:
        return False


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file of the cache to write the pixels of one picture after another, and then call `finish`.

    The file appears when the block ends without an error.

    Raises:
        OutputError: where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(".*.tmp"):  # of a process that was killed
            if leftover.stat().st_mtime < time.time() - _ABANDONED:
                leftover.unlink()
    except OSError as error:
        raise OutputError.unwritable(path.parent, error) from error
    with atomic_file(path) as file:
        file.seek(_HEADER_BYTES)
        yield file


def finish(file: BinaryIO, decoder: PictureDecoder, sha256: str, changes: Counter[str]) -> None:
    """Write the header: the content of the file, and the sha256 by which damage is noticed."""
    header = {
        "__metadata__": {"sha256": sha256, "changes": json.dumps(changes)},
        _PICTURES: {"dtype": "U8", "shape": decoder.stored_shape, "data_offsets": [0, decoder.total_bytes]},
    }
    text = json.dumps(header).encode().ljust(_HEADER_BYTES - 8)
    file.seek(0)
    file.write(len(text).to_bytes(8, "little") + text)


def free_space(folder: Path) -> int:
    """Return how many bytes can be written below `folder`, which need not exist yet; 0 where it is not writable."""
    existing = next((path for path in (folder, *folder.parents) if is_there(path)), None)
    if existing is None or not existing.is_dir() or not os.access(existing, os.W_OK):
        return 0
    return shutil.disk_usage(existing).free
