"""The log of a run: log.jsonl for programs, a progress bar on a terminal, and trackers, if the settings name any."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from zoo_core.errors import OutputError, TrainingError, printable
from zoo_core.files import strict_json
from zoo_core.interfaces import Trainer
from zoo_core.training.figures import RATE, STEP
from zoo_core.training.run_folder import RunFolder
from zoo_core.training.trackers import Trackers


class RunLog:
    """The figures of a run, averaged over the steps since the previous line of log.jsonl and over the processes.

    Only the first process writes; on a terminal it also shows a progress bar. A resumed run first drops the lines
    after the step of its checkpoint, because it repeats those steps.

    Attributes:
        latest: the figures of the last line.

    Raises:
        TrainingError: the log of a resumed run is damaged.
        OutputError: the log cannot be read or written.
        SettingsError: accelerate does not know a tracker, or the package of the tracker is not installed.
        MissingExtraError: a tracker is requested, but accelerate is not installed.
    """

    def __init__(self, run: RunFolder, trainer: Trainer) -> None:
        self._path, self._trainer = run.log, trainer
        resumed = trainer.step > 0 and trainer.processes.first
        self._earlier_lines = _lines_up_to(run.log, trainer.step) if resumed else b""
        self._samples_a_step = trainer.settings.batch_size * trainer.batches_per_step
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}  # per figure, because a lazy penalty is not computed at every step
        self._count = 0
        self._since = time.perf_counter()
        self._file: BinaryIO | None = None
        self._reported: set[str] = set()
        self.latest: dict[str, float] = {}
        self._trackers = Trackers(run.root, trainer) if trainer.settings.trackers and trainer.processes.first else None
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not (sys.stderr.isatty() and trainer.processes.first),
        )
        self._task = self._progress.add_task("", total=trainer.settings.steps, completed=trainer.step, figures="")

    def __enter__(self) -> Self:
        if self._trainer.processes.first:
            try:
                self._file = self._path.open("wb")
                self._file.write(self._earlier_lines)
            except OSError as error:
                raise OutputError.unwritable(self._path, error) from error
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._file is not None:
            self._file.close()
        if self._trackers is not None:
            self._trackers.close()

    def add(self, step: int, figures: Mapping[str, Tensor | float]) -> None:
        """Add the figures of one step. Tensors stay on the device until `write`, so that a GPU is not waited for.

        Args:
            figures: as `checked_figures` returns them.
        """
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._count += 1
        self._progress.update(self._task, completed=step)

    def write(self, step: int) -> None:
        """Write the means since the last line. Every process must call it, because it averages over all of them.

        Raises:
            TrainingError: a figure is NaN or infinite.
        """
        figures = self._means()
        now = time.perf_counter()
        rate = self._count * self._samples_a_step / (now - self._since)
        self._sums, self._counts, self._count, self._since = {}, {}, 0, now
        broken = [name for name, mean in figures.items() if not math.isfinite(mean)]
        if broken:
            raise TrainingError(
                f"{', '.join(broken)} became NaN or infinite before step {step}; "
                "try a lower learning_rate, --set precision=fp32, or another seed"
            )
        self.latest = figures | {RATE: rate}
        if self._file is not None:
            self._file.write(json.dumps({STEP: step, **self.latest}).encode() + b"\n")
            self._file.flush()
        if self._trackers is not None:
            self._trackers.log(self.latest, step)
        losses = [(name, mean) for name, mean in figures.items() if name.startswith("loss")]
        shown = "  ".join(f"{name} {mean:.3f}" for name, mean in losses)  # all figures would not fit into 80 columns
        self._progress.update(self._task, figures=f"{rate:,.0f} images/s  {shown}")
        advice = self._trainer.advice(figures)
        if advice is not None:
            self.report("advice", f"step {step}: {advice}")

    def show(self, grid: np.ndarray) -> None:
        """Send the sample grid of this step, (H, W, C) uint8, to the trackers."""
        if self._trackers is not None:
            self._trackers.log_grid(grid, self._trainer.step)

    def report(self, kind: str, line: str) -> None:
        """Write a line to stderr, at most once for each kind."""
        if kind not in self._reported and self._trainer.processes.first:
            self._reported.add(kind)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _means(self) -> dict[str, float]:
        names = list(self._sums)
        if not names:
            return {}
        means = torch.stack(
            [
                torch.as_tensor(self._sums[name], dtype=torch.float32, device=self._trainer.device) / self._counts[name]
                for name in names
            ]
        )
        self._trainer.processes.average([means])
        return dict(zip(names, means.tolist(), strict=True))


def _lines_up_to(path: Path, step: int) -> bytes:
    """Return the lines of a log up to a step, without a last line that a killed process left incomplete.

    Raises:
        TrainingError: a line is damaged; the message contains its number.
        OutputError: the log cannot be read.
    """
    try:
        *lines, _unfinished = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}") from error
    return b"".join(line + b"\n" for number, line in enumerate(lines, 1) if _step_of(line, path, number) <= step)


def _step_of(line: bytes, path: Path, number: int) -> int:
    try:
        logged = strict_json.decode(line)
        if not isinstance(logged, dict) or not isinstance(logged.get("step"), int):
            raise strict_json.JSONProblemError("does not state its step")
    except strict_json.JSONProblemError as error:
        raise TrainingError(
            f"{path}, line {number}: {printable(error, 120)}; remove the damaged lines and use --resume again"
        ) from error
    step: int = logged["step"]
    return step
