"""What is seen while a run goes on: a progress bar on a terminal, and log.jsonl for programs."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from typing_extensions import Self

from zoo_core.errors import TrainingError


class RunLog:
    """Figures of a run, averaged between two lines of log.jsonl; on a terminal also a progress bar on stderr.

    A resumed run first drops the lines past the step from which it goes on.
    """

    def __init__(self, path: Path, steps: int, first_step: int, batch_size: int) -> None:
        self._path, self._steps, self._batch_size = path, steps, batch_size
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._since = time.perf_counter()
        self._file: TextIO
        self._first_step = first_step
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=steps, completed=first_step, figures="")

    def __enter__(self) -> Self:
        kept = []
        if self._first_step and self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self._first_step]
        self._file = self._path.open("w", encoding="utf-8")
        self._file.writelines(kept)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()

    def add(self, step: int, figures: dict[str, Tensor]) -> None:
        """Take in one step's figures; nothing is copied from the device until they are written."""
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        self._progress.update(self._task, completed=step)

    def write(self, step: int) -> None:
        """Write the means since the last line.

        Raises:
            TrainingError: where a figure is no longer a number.
        """
        names = list(self._sums)
        means = (torch.stack([self._sums[name].float() for name in names]) / self._count).tolist() if names else []
        now = time.perf_counter()
        rate = self._count * self._batch_size / (now - self._since)
        line: dict[str, Any] = {
            "step": step,
            **dict(zip(names, means, strict=True)),
            "images_per_second": rate,
        }
        self._sums, self._count, self._since = {}, 0, now
        broken = [name for name, mean in zip(names, means, strict=True) if not math.isfinite(mean)]
        if broken:
            raise TrainingError(
                f"{', '.join(broken)} became NaN or infinite before step {step}; "
                "try a lower learning_rate, --set precision=fp32, or another seed"
            )
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        losses = [(name, mean) for name, mean in zip(names, means, strict=True) if name.startswith("loss")]
        shown = "  ".join(f"{name} {mean:.3f}" for name, mean in losses)  # all figures would not fit 80 columns
        self._progress.update(self._task, figures=f"{rate:,.0f} images/s  {shown}")
