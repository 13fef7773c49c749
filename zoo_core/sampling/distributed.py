"""Sampling by several processes: each makes a share of the samples, and together they make what one process makes."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from zoo_core.files.atomic import temporary_sibling
from zoo_core.interfaces import Generator
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.formats import KindWithFormats
from zoo_core.kinds.output import Output, check_output, write_at
from zoo_core.runtime.processes import Processes
from zoo_core.sampling.whole_blocks import BLOCK

DrawSamples = Callable[[int, int], Iterator[Tensor]]  # (index of the first, count) -> batches of samples


def write_together(
    generator: Generator, n: int, out: str, processes: Processes, draw: DrawSamples, *, start: int = 0
) -> Path:
    """Write samples start … start + n - 1 to `out` by all processes together; every one of them calls this.

    Each process makes a contiguous share of the samples. A format of the core may write shares; of any other, the
    samples are gathered by the first process, in files beside the output, and written by it.

    Args:
        generator: the same in every process.
        n: number of samples of all processes together.
        out: as for `kinds.output.check_output`, in a folder that all processes see.
        draw: called with the index of the first sample and a count; yields batches (N, *sample_shape).
        start: index of the first sample.

    Returns:
        The path that was written.

    Raises:
        OutputError, SamplingError, InterfaceError: as `kinds.output.write_samples`.
        ProcessError: if another process has ended.
    """
    with ended_by_exception():
        output = check_output(out, kind_named(generator.kind), n, generator.sample_shape)
        assert output is not None
        processes.wait()  # all have checked before one writes
        begin, end = (start + index for index in share_of_process(n, processes))
        batches = draw(begin, end - begin) if end > begin else iter(())
        with _place_of_all(output, processes) as place:
            if isinstance(output.kind, KindWithFormats) and output.kind.formats[output.suffix].write_share:
                output.kind.write_share(batches, begin, n, generator, place, processes, start=start)
            else:
                _gather(place, output, batches, n, generator, processes, start)
        processes.wait()
        return output.path


@contextlib.contextmanager
def _place_of_all(output: Output, processes: Processes) -> Iterator[Path]:
    """Yield the place where all processes write; the first renames it when every one is done."""
    token = processes.common_token()
    if processes.first:
        with output.protected(token) as place:
            processes.wait()
            yield place
            processes.wait()
        return
    processes.wait()
    folder = temporary_sibling(output.path, token)
    try:
        yield folder / output.name_while_written
        processes.wait()
    except BaseException:  # the first process may have ended without clearing up
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _gather(
    place: Path,
    output: Output,
    batches: Iterator[Tensor],
    n: int,
    generator: Generator,
    processes: Processes,
    start: int,
) -> None:
    """Let the first process write the samples of all, which the others leave in files."""
    parts = [place.with_name(f"share-{rank}") for rank in range(processes.count)]
    if processes.first:
        write_at(place, output, _joined(batches, parts[1:], processes), n, generator, start)
        return
    with parts[processes.rank].open("xb") as file:
        for batch in batches:
            np.save(file, batch.numpy())
    processes.wait()


def _joined(own: Iterator[Tensor], parts: list[Path], processes: Processes) -> Iterator[Tensor]:
    yield from own
    processes.wait()  # the others have written theirs
    for part in parts:
        size = part.stat().st_size
        with part.open("rb") as file:
            while file.tell() < size:
                yield torch.from_numpy(np.load(file, allow_pickle=False))


def share_of_process(n: int, processes: Processes) -> tuple[int, int]:
    """Return which of n samples this process makes: the index of the first, and the index after the last.

    Shares are as even as possible. They are whole blocks, in which samples are computed, so that no block is computed
    twice.

    Example:
        >>> [share_of_process(100, Processes(rank, count=3)) for rank in range(3)]
        [(0, 32), (32, 64), (64, 100)]
    """
    blocks = -(-n // BLOCK)
    first, last = (blocks * rank // processes.count for rank in (processes.rank, processes.rank + 1))
    return min(n, first * BLOCK), min(n, last * BLOCK)


@contextlib.contextmanager
def ended_by_exception() -> Iterator[None]:
    """Turn SIGTERM into an exception while the block runs, so that nothing half-written stays behind.

    When one process fails, a launcher ends the others with SIGTERM.
    """

    def end(number: int, frame: FrameType | None) -> None:
        # An exception in flight means that the lost connection was noticed first, and that cleaning up is under way.
        if sys.exc_info()[0] is None:
            sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
