"""Sampling by several processes: each makes a share of the samples, and the union is what one process makes."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
from torch import Tensor

from zoo_core.files.atomic import atomic_folder, temporary_sibling
from zoo_core.interfaces import Generator
from zoo_core.kinds import image as images
from zoo_core.runtime.processes import Processes
from zoo_core.sampling.batches import BLOCK

Draw = Callable[[int, int], Iterator[Tensor]]  # (first index, count) -> batches of samples


def write_shared(generator: Generator, n: int, out: str, processes: Processes, draw: Draw) -> Path:
    """Samples 0 … n - 1 written to `out` by all processes together; every one of them calls this.

    A grid is drawn by the first alone. Else each process makes a contiguous share: the files of its pictures, or its
    part of the array, which the first puts together.

    Raises:
        OutputError, SamplingError: as images.write_samples. ProcessError: where another process has ended.
    """
    with ended_by_exception():
        path = Path(out).expanduser()
        how = images.check_output(out, generator.kind, n)
        processes.wait()  # all have looked before one writes
        if how == "png":
            if processes.first:
                images.write_samples(draw(0, n), n, generator.sample_shape, generator.kind, out)
        else:
            start, end = share(n, processes)
            arrays = _arrays(generator, draw(start, end - start)) if end > start else iter(())
            if how == "folder":
                _write_folder(arrays, start, n, path, processes)
            else:
                _write_npz(arrays, generator, n, path, processes)
        processes.wait()
        return path


def share(n: int, processes: Processes) -> tuple[int, int]:
    """This process's samples, from the first up to but without the second: whole blocks, as even as they come."""
    blocks = -(-n // BLOCK)
    first, last = (blocks * rank // processes.count for rank in (processes.rank, processes.rank + 1))
    return min(n, first * BLOCK), min(n, last * BLOCK)


def _arrays(generator: Generator, batches: Iterator[Tensor]) -> Iterator[np.ndarray]:
    return (images.to_uint8(batch) if generator.kind == "image" else batch.numpy() for batch in batches)


def _write_folder(arrays: Iterator[np.ndarray], start: int, n: int, path: Path, processes: Processes) -> None:
    """All write into the first one's temporary folder, which it renames when every one is done."""
    token = _common_token(processes)
    with atomic_folder(path, durable=False, token=token) if processes.first else contextlib.nullcontext():
        processes.wait()
        images.write_pictures(arrays, start, n, temporary_sibling(path, token))
        processes.wait()
        if processes.first and path.exists():
            path.rmdir()  # which refuses one that was filled meanwhile


def _write_npz(arrays: Iterator[np.ndarray], generator: Generator, n: int, path: Path, processes: Processes) -> None:
    """Every process leaves the bytes of its samples in a file; the first copies them behind each other."""
    is_image = generator.kind == "image"
    channels_last = (*generator.sample_shape[1:], generator.sample_shape[0])
    shape, dtype = (channels_last, "|u1") if is_image else (generator.sample_shape, "<f4")
    token = _common_token(processes)
    parts = [temporary_sibling(path, f"{token}-{rank}") for rank in range(processes.count)]
    try:
        with parts[processes.rank].open("xb") as file:
            for array in arrays:
                file.write(np.ascontiguousarray(array, dtype).data.cast("B"))
        processes.wait()
        if processes.first:
            with images.npz_member(path, n, shape, dtype) as member:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, member, 2**20)
        processes.wait()
    finally:
        # The first clears up behind those that were killed; Windows keeps what is still open until its owner ends.
        for part in parts if processes.first else [parts[processes.rank]]:
            with contextlib.suppress(PermissionError):
                part.unlink(missing_ok=True)


def _common_token(processes: Processes) -> str:
    """The same random name for all."""
    return f"{processes.agree(secrets.randbits(60)):015x}"


@contextlib.contextmanager
def ended_by_exception() -> Iterator[None]:
    """A launcher ends the others with SIGTERM when one fails: as an exception, so that what is half-written goes."""

    def end(number: int, frame: FrameType | None) -> None:
        if sys.exc_info()[0] is None:  # else the lost connection was noticed first, and its clearing up is under way
            sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
