"""Progress of downloads, and of reading a registry: bars on a terminal, nothing in a pipe."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.cli.working import Work, working
from zoo_core.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from zoo_core.hub.downloading import Job


@contextlib.contextmanager
def hub_job() -> Iterator[Job]:
    """The job that all downloads of a command share: bars on stderr, and messages while waiting.

    Files that are there already are only compared with their digests; that has a bar of its own if it takes long.
    """
    from zoo_core.hub.downloading import Job

    if not sys.stderr.isatty():
        yield Job()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from zoo_core.hub.client import own_this_process

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    shown = Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True)
    own_this_process(lambda line: console.print(f"zoo: {line}", markup=False, highlight=False, soft_wrap=True))
    with working("checking files") as checking:
        try:
            yield Job(_Bars(shown, checking))
        finally:
            if shown.live.is_started:
                shown.stop()


@contextlib.contextmanager
def registry_bar(registry: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while a large registry file of that many bytes is read."""
    if not sys.stderr.isatty():
        yield lambda position: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(f"reading {printable(registry.name, 60)}", total=size)
        yield lambda position: shown.update(task, completed=position)


class _Bars:
    """One bar per file; a download that starts again returns to the beginning of its bar."""

    def __init__(self, shown: Progress, checking: Work) -> None:
        self.shown, self.checking = shown, checking
        self.tasks: dict[str, TaskID] = {}
        self.lock = threading.Lock()  # files are downloaded side by side

    def begin(self, name: str, size: int | None) -> Callable[[int], None]:
        with self.lock:
            if not self.tasks:
                self.checking.end()
                self.shown.start()
            if name not in self.tasks:
                self.tasks[name] = self.shown.add_task(printable(name, 60), total=size)
            task = self.tasks[name]
        return lambda there: self.shown.update(task, completed=there)
