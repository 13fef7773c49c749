"""Signs of life: a bar on stderr for work that takes longer than a second; nothing in a pipe."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zoo_core.errors import printable
from zoo_core.runtime.environment import first_process

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

DELAY = 1.0  # seconds; what is done sooner needs no bar


class Work:
    """Work under way. Its bar is drawn by a thread, so that it moves while a single batch is computed."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._done, self._total = what, 0.0, total
        self._named, self._done_before = what, 0  # without the steps of a batch under way
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._ended = False
        self._shown: Progress | None = None
        self._timer = threading.Timer(DELAY, self._appear)
        self._timer.daemon = True

    def begin(self) -> None:
        """Let the bar appear after a second."""
        self._timer.start()

    def advance(self, count: int = 1) -> None:
        """Report that so much more is done."""
        self.report(self._named, self._done_before + count, self._total)

    def stepped(self, step: int, steps: int | None, samples: int) -> None:
        """Report a step of a batch of that many samples, for models that make their samples in steps."""
        part = f"{self._named}, step {step:,}" + (f" of {steps:,}" if steps is not None else "")
        done = self._done_before + (samples * step / steps if steps else 0)
        with self._lock:
            self._what, self._done = part, done
            self._draw()

    def report(self, what: str, done: int, total: int | None) -> None:
        """Report which part of the work is under way, and how much of it is done."""
        with self._lock:
            self._what, self._done, self._total = what, done, total
            self._named, self._done_before = what, done
            self._draw()

    def end(self) -> None:
        """Remove the bar."""
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._shown is not None:
                self._shown.stop()

    def _appear(self) -> None:
        from rich.console import Console
        from rich.errors import LiveError
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        texts = [TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[count]")]
        console = Console(stderr=True)
        shown = Progress(
            SpinnerColumn(), texts[0], BarColumn(), texts[1], TimeElapsedColumn(),
            console=console, transient=True, redirect_stdout=False, get_time=time.monotonic,
        )  # fmt: skip
        with self._lock:
            if self._ended:
                return
            shown.add_task("", count="")
            shown.tasks[0].start_time = self._began
            self._shown = shown
            self._draw()
            with contextlib.suppress(LiveError):  # another bar is being drawn
                shown.start()

    def _draw(self) -> None:
        if self._shown is not None:
            counted = f"{int(self._done):,} of {self._total:,}" if self._total is not None else ""
            self._shown.update(
                self._shown.task_ids[0],
                description=printable(self._what, 60),
                completed=self._done,
                total=self._total,
                count=counted,
            )


class _Unseen(Work):
    """Work that nobody watches."""

    def begin(self) -> None:
        pass


@contextlib.contextmanager
def working(what: str, total: int | None = None) -> Iterator[Work]:
    """Show that the block is at work, once it has taken a second: on a terminal, by the first of several processes.

    Args:
        what: what is being done, in a word or two.
        total: how much there is to do; None if it is not known.
    """
    seen = sys.stderr.isatty() and first_process()
    work = Work(what, total) if seen else _Unseen(what, total)
    work.begin()
    try:
        yield work
    finally:
        work.end()


def counted(batches: Iterable[torch.Tensor], work: Work) -> Iterator[torch.Tensor]:
    """Yield batches, and count their samples as they are done."""
    for batch in batches:
        yield batch
        work.advance(len(batch))
