"""What is seen while a run goes on: a progress bar on a terminal, log.jsonl for programs, and trackers."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from zoo_core.errors import MissingExtraError, SettingsError, TrainingError
from zoo_core.interfaces import Trainer
from zoo_core.training.run_folder import RunFolder


class RunLog:
    """Figures of a run, averaged over the steps between two lines of log.jsonl and over the processes.

    The first process alone writes, and shows a progress bar where it has a terminal. A resumed run first drops the
    lines past the step from which it goes on.

    Attributes:
        latest: the figures of the last line.
    """

    def __init__(self, run: RunFolder, trainer: Trainer) -> None:
        self._path, self._trainer = run.log, trainer
        self._first_step = trainer.step
        self._samples_a_step = trainer.settings.batch_size * trainer.batches_per_step
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}  # of each figure: a lazy penalty is not there in every step
        self._count = 0
        self._since = time.perf_counter()
        self._file: TextIO | None = None
        self._told: set[str] = set()
        self.latest: dict[str, float] = {}
        self._tracker = _open_trackers(run, trainer) if trainer.settings.trackers and trainer.processes.first else None
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
        if self._file is not None:
            self._file.close()
        if self._tracker is not None:
            self._tracker.end_training()

    def add(self, step: int, figures: dict[str, Tensor]) -> None:
        """Take in one step's figures; nothing is copied from the device until they are written."""
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._count += 1
        self._progress.update(self._task, completed=step)

    def write(self, step: int) -> None:
        """Write the means since the last line; every process calls it.

        Raises:
            TrainingError: where a figure is no longer a number.
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
        self.latest = figures | {"images_per_second": rate}
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **self.latest}) + "\n")
            self._file.flush()
        if self._tracker is not None:
            self._tracker.log(self.latest, step=step)
        losses = [(name, mean) for name, mean in figures.items() if name.startswith("loss")]
        shown = "  ".join(f"{name} {mean:.3f}" for name, mean in losses)  # all figures would not fit 80 columns
        self._progress.update(self._task, figures=f"{rate:,.0f} images/s  {shown}")
        advice = self._trainer.advice(figures)
        if advice is not None:
            self.tell("advice", f"step {step}: {advice}")

    def tell(self, kind: str, line: str) -> None:
        """Say something on stderr; of each kind once a run."""
        if kind not in self._told and self._trainer.processes.first:
            self._told.add(kind)
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _means(self) -> dict[str, float]:
        names = list(self._sums)
        if not names:
            return {}
        means = torch.stack([self._sums[name].float() / self._counts[name] for name in names])
        self._trainer.processes.average([means])
        return dict(zip(names, means.tolist(), strict=True))


def _open_trackers(run: RunFolder, trainer: Trainer) -> Any:
    """accelerate's trackers by name, with the run's settings; TensorBoard writes into the run's folder."""
    try:
        from accelerate import Accelerator
        from accelerate.utils import LoggerType
    except ImportError:
        raise MissingExtraError("train", "a tracker") from None
    names = trainer.settings.trackers
    known = [str(kind) for kind in LoggerType if kind != LoggerType.ALL]
    for name in names:
        if name not in known:
            raise SettingsError(f"trackers: there is no {name!r}; accelerate knows {', '.join(known)}")
    accelerator = Accelerator(cpu=trainer.device.type == "cpu", log_with=list(names), project_dir=str(run.root))
    if len(accelerator.log_with) < len(names):
        raise SettingsError(f"trackers: of {', '.join(names)} not every package is installed")
    settings = msgspec.to_builtins(trainer.settings)
    flat = {
        name: value if isinstance(value, (int, float, str, bool)) else str(value) for name, value in settings.items()
    }
    accelerator.init_trackers("tracking", config=flat)
    return accelerator
