"""Progress of downloads, and of reading a registry: bars on a terminal, nothing in a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.hub.downloading import Job


@contextlib.contextmanager
def hub_job() -> Iterator[Job]:
    """The job that all downloads of a command share: bars on stderr, and messages while waiting."""
    from zoo_core.hub.downloading import Job

    if not sys.stderr.isatty():
        yield Job()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from zoo_core.hub.client import own_this_process

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True) as shown:
        own_this_process(
            lambda line: shown.console.print(f"zoo: {line}", markup=False, highlight=False, soft_wrap=True)
        )
        yield Job(_Bars(shown))


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

    def __init__(self, shown: object) -> None:
        from rich.progress import Progress, TaskID

        assert isinstance(shown, Progress)
        self.shown, self.tasks = shown, dict[str, TaskID]()

    def begin(self, name: str, size: int | None) -> Callable[[int], None]:
        if name not in self.tasks:
            self.tasks[name] = self.shown.add_task(printable(name, 60), total=size)
        task = self.tasks[name]
        return lambda there: self.shown.update(task, completed=there)
