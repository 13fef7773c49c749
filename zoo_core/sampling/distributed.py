"""Sampling by several processes: each makes a share of the samples, and together they make what one process makes."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from torch import Tensor

from zoo_core.files.paths import user_path
from zoo_core.interfaces import Generator
from zoo_core.kinds.layout import Layout
from zoo_core.kinds.output import as_arrays, check_output, write_samples
from zoo_core.runtime.processes import Processes
from zoo_core.sampling.whole_blocks import BLOCK

DrawSamples = Callable[[int, int], Iterator[Tensor]]  # (index of the first, count) -> batches of samples


def write_together(generator: Generator, n: int, out: str, processes: Processes, draw: DrawSamples) -> Path:
    """Write samples 0 … n - 1 to `out` by all processes together; every one of them calls this.

    What one process has to write, such as a grid, the first writes alone. Otherwise each process makes a contiguous
    share of the samples.

    Args:
        generator: the same in every process.
        n: number of samples of all processes together.
        out: as for `kinds.output.check_output`, in a folder that all processes see.
        draw: called with the index of the first sample and a count; yields batches (N, *sample_shape).

    Returns:
        The path that was written.

    Raises:
        OutputError, SamplingError: as `kinds.output.write_samples`. ProcessError: if another process has ended.
    """
    with ended_by_exception():
        format = check_output(out, generator.kind, n, generator.sample_shape)
        processes.wait()  # all have checked before one writes
        if format.write_share is None:
            if processes.first:
                write_samples(draw(0, n), n, generator.sample_shape, generator.kind, out)
        else:
            start, end = share_of_process(n, processes)
            layout = Layout(generator.kind, tuple(generator.sample_shape), n)
            batches = draw(start, end - start) if end > start else iter(())
            format.write_share(as_arrays(batches, generator.kind), start, layout, user_path(out), processes)
        processes.wait()
        return user_path(out)


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
