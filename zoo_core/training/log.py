"""The log of a run: log.jsonl for programs, a progress bar on a terminal, and trackers, if the settings name any."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from zoo_core.errors import OutputError, SettingsError, did_you_mean, printable
from zoo_core.files import strict_json
from zoo_core.files.atomic import write_bytes
from zoo_core.interfaces import Generator, Settings, Trainer
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.table import metric_of
from zoo_core.training.checkpoints import newest_checkpoint
from zoo_core.training.evaluation import Evaluation, figures_measured
from zoo_core.training.figures import RATE, STAGE, STEP
from zoo_core.training.finiteness import refuse_broken_figures
from zoo_core.training.run_folder import RunFolder
from zoo_core.training.trackers import Trackers


class RunLog:
    """The figures of a run, averaged over the steps since the previous line of log.jsonl and over the processes.

    Only the first process writes; on a terminal it also shows a progress bar. A resumed run first drops the lines
    after the step of its checkpoint, because it repeats those steps. Damaged lines are moved to log.damaged.

    Attributes:
        latest: the figures of the last line.
        measured: the figures of the latest measurement, with its step.

    Raises:
        OutputError: the log cannot be read or written.
        SettingsError: accelerate does not know a tracker, or the package of the tracker is not installed.
        MissingExtraError: a tracker is requested, but accelerate is not installed.
    """

    def __init__(self, run: RunFolder, trainer: Trainer) -> None:
        self._run, self._path, self._trainer = run, run.log, trainer
        # With their steps, because a lazy penalty is not computed at every one.
        self._values: dict[str, list[tuple[int, Tensor | float]]] = {}
        self._count = 0
        self._begin = self._since = time.perf_counter()
        self._file: BinaryIO | None = None
        self._reported: set[str] = set()
        kind = kind_named(trainer.modules["generator"].kind)  # type: ignore[arg-type]
        self._noun = "images" if kind.name == "image" else printable(kind.noun[1], 20)
        self._known: set[str] = set()  # names of the figures that the run has logged
        self.latest: dict[str, float] = {}
        self.measured: tuple[int, dict[str, float]] = (0, {})
        self._trackers = Trackers(run.root, trainer) if trainer.settings.trackers and trainer.processes.first else None
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.fields[stage]}step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not (sys.stderr.isatty() and trainer.processes.first),
        )
        self._task = self._progress.add_task(
            "", total=trainer.settings.steps, completed=trainer.step, figures="", stage=""
        )

    def __enter__(self) -> Self:
        if self._trainer.processes.first:
            self._keep_earlier_lines()
            try:
                self._file = self._path.open("ab")
            except OSError as error:
                raise OutputError.unwritable(self._path, error) from error
        self._progress.start()
        return self

    def _keep_earlier_lines(self) -> None:
        """Keep the lines up to the step of the checkpoint, and move the damaged ones aside."""
        sound, damaged = _lines_up_to(self._path, self._trainer.step) if self._trainer.step else ([], {})
        if damaged:
            aside = self._path.with_suffix(".damaged")
            earlier = aside.read_bytes() if aside.exists() else b""
            write_bytes(aside, earlier + b"".join(line + b"\n" for line, _ in damaged.values()))
            listed = "; ".join(f"line {number} {problem}" for number, (_, problem) in list(damaged.items())[:3])
            more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
            self.report("log", f"{self._path}: {listed}{more}; moved to {aside.name}, and the run goes on")
        write_bytes(self._path, b"".join(line + b"\n" for line in sound))
        self._known.update(*map(strict_json.decode, sound))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed
            self._progress.stop()
        if self._file is not None:
            with contextlib.suppress(OSError):  # the disk is full, which the line that could not be written has said
                self._file.close()
        if self._trackers is not None:
            self._trackers.close()

    def add(self, step: int, figures: Mapping[str, Tensor | float]) -> None:
        """Add the figures of one step. Tensors stay on the device until `write`, so that a GPU is not waited for.

        Args:
            step: the number of the step.
            figures: as `checked_figures` returns them.
        """
        with torch.no_grad():
            for name, value in figures.items():
                copy = value + 0  # the next step of a compiled network writes into the same memory
                self._values.setdefault(name, []).append((step, copy))
        self._count += 1
        stage = f"{self._trainer.stage} " if self._trainer.stage else ""
        self._progress.update(self._task, completed=step, stage=stage)

    def begin_stage(self, line: str | None) -> None:
        """Forget the figures of the stage before, and write the line that announces the new one, if there is one."""
        self.latest = {}
        if line is not None:
            self.report(line, line)

    def measure(self, step: int, evaluation: Evaluation, generator: Generator) -> None:
        """Measure the generator, for the next line. Every process must call it.

        The speed of the run leaves out the time that this takes. The first time, a line for the user says how long.
        """
        begin = time.perf_counter()
        self.measured = (step, evaluation.measure(generator))
        best = self._trainer.settings.best_figure
        if (
            self._trainer.processes.first
            and best in figures_measured(self._trainer.settings)
            and best not in self.measured[1]
        ):
            raise SettingsError(
                f"best_figure: {best} is not measured of this model; {did_you_mean(best, self.measured[1])}"
            )
        self.report("measuring", evaluation.cost(begin - self._begin))
        for name, warning in evaluation.warnings.items():
            self.report(warning, f"{name} is {warning}")
        self._since += time.perf_counter() - begin

    def best_figure(self, step: int) -> float | None:
        """Return the value at a step of the figure that `best_figure` names, or None if it has none there."""
        best = self._trainer.settings.best_figure
        if best in figures_measured(self._trainer.settings):
            at, figures = self.measured
            return figures.get(best) if at == step else None
        return self.latest.get(best)

    def check(self) -> dict[str, float]:
        """Return the means since the last line. Every process must call it, because it averages over all of them.

        Raises:
            TrainingError: a figure is NaN or infinite; names it, with its step.
        """
        figures = self._averaged_values()
        steps = {name: [step for step, _ in values] for name, values in self._values.items()}
        go_on = newest_checkpoint(self._run.checkpoints) is not None
        refuse_broken_figures(figures, steps, self._trainer, go_on=go_on)
        return {name: float(values.mean()) for name, values in figures.items()}

    def write(self, step: int, *, more_stages: bool = False) -> None:
        """Write the means since the last line. Every process must call it, because it averages over all of them.

        Args:
            step: the number of the last step.
            more_stages: whether later stages of the run may log other figures.

        Raises:
            TrainingError: a figure is NaN or infinite.
            SettingsError: `best_figure` names a figure that there is not, or one is both logged and measured.
            OutputError: the line cannot be written.
        """
        figures = self.check()
        now = time.perf_counter()
        samples_a_step = self._trainer.stage_settings.batch_size * self._trainer.batches_per_step
        rate = self._count * samples_a_step / (now - self._since)
        self._values, self._count, self._since = {}, 0, now
        self._known.update(figures)
        at, measured = self.measured
        self.latest = figures | {RATE: rate} | (measured if at == step else {})
        _check_names(self._trainer.settings, figures, () if more_stages else self._known)
        if self._file is not None:
            try:
                stage = {STAGE: self._trainer.stage} if self._trainer.stage else {}
                self._file.write(json.dumps({STEP: step, **stage, **self.latest}).encode() + b"\n")
                self._file.flush()
            except OSError as error:
                raise OutputError.unwritable(self._path, error) from error
        if self._trackers is not None:
            self._trackers.log(self.latest, step)
        losses = [(name, mean) for name, mean in figures.items() if name.startswith("loss")]
        # All figures would not fit into 80 columns.
        shown = "  ".join(f"{name} {value:.3f}" for name, value in [*losses, *measured.items()])
        self._progress.update(self._task, figures=f"{rate:,.0f} {self._noun}/s  {shown}")
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
            with contextlib.suppress(OSError):  # the terminal was closed
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _averaged_values(self) -> dict[str, Tensor]:
        """The values of each figure since the last line, (n,) float32 on the CPU, averaged over the processes."""
        if not self._values:
            return {}
        device = self._trainer.device
        values = torch.stack(
            [
                torch.as_tensor(value, dtype=torch.float32, device=device).reshape(())
                for of_figure in self._values.values()
                for _, value in of_figure
            ]
        )
        self._trainer.processes.average([values])
        parts = torch.split(values.cpu(), [len(of_figure) for of_figure in self._values.values()])
        return dict(zip(self._values, parts, strict=True))


def _check_names(settings: Settings, logged: Mapping[str, float], known: Collection[str]) -> None:
    """Raise SettingsError if `best_figure` names no figure of the run, or a figure is both logged and measured.

    Args:
        logged: the figures of the trainer in this line.
        known: those of all lines so far; empty while a later stage may log others.
    """
    measured, best = figures_measured(settings), settings.best_figure
    for name in logged.keys() & measured:
        raise SettingsError(
            f"eval_metrics: the trainer logs a figure {printable(name, 80)!r} of its own; leave out {metric_of(name)}"
        )
    possible = [*known, RATE, *measured]
    if best and known and best not in possible:
        metric = metric_of(best)
        hint = f"; {best} is measured with eval_every and eval_metrics={metric}" if metric is not None else ""
        raise SettingsError(
            f"best_figure: no figure {printable(best, 80)!r} is logged; {did_you_mean(best, possible)}{hint}"
        )


def _lines_up_to(path: Path, step: int) -> tuple[list[bytes], dict[int, tuple[bytes, str]]]:
    """Return the lines of a log up to a step, and the damaged ones by number, each with its problem.

    A last line that a killed process left incomplete is dropped; its step is repeated.

    Raises:
        OutputError: the log cannot be read.
    """
    try:
        *lines, unfinished = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}") from error
    if b"\0" in unfinished:  # a crash of the system leaves a file with its length and without its content
        lines.append(unfinished)
    sound, damaged = [], {}
    for number, line in enumerate(lines, 1):
        try:
            if _step_of(line) <= step:
                sound.append(line)
        except strict_json.JSONProblemError as error:
            damaged[number] = (line, printable(error, 120))
    return sound, damaged


def _step_of(line: bytes) -> int:
    logged = strict_json.decode(line)
    if not isinstance(logged, dict) or not isinstance(logged.get("step"), int):
        raise strict_json.JSONProblemError("does not state its step")
    step: int = logged["step"]
    return step
