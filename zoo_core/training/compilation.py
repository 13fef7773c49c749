"""torch.compile for a run: whether it saves time, and what it has really compiled."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from zoo_core.errors import TrainingError, printable
from zoo_core.interfaces import Trainer
from zoo_core.runtime.devices import synchronize, type_of

# Compiling takes up to a minute, and every GPU run measured became at least 10% faster: ten minutes recover the cost.
PAYS_BACK_AFTER = 600.0  # seconds
_PROBED_STEPS = 10
_T = TypeVar("_T")


def resolve_compile(trainer: Trainer, train_steps: Callable[[int], None]) -> bool:
    """Return whether to compile this run. With `auto`, only runs on CUDA that are long enough are compiled.

    On a CPU `auto` means off, because the kernels of oneDNN were faster than compiled ones (docs/performance.md).

    Args:
        trainer: the trainer of the run, with its device set.
        train_steps: trains a throwaway trainer for the given number of steps; `trainer` does not change.
    """
    setting = trainer.settings.compile
    if setting != "auto":
        return setting == "on"
    if not type_of(trainer.device).compiled_by_default or shutil.which(os.environ.get("CC", "gcc")) is None:
        return False
    train_steps(1)  # warm-up: the first step includes start-up costs
    began = _clock(trainer.device)
    train_steps(_PROBED_STEPS)
    seconds_a_step = (_clock(trainer.device) - began) / _PROBED_STEPS
    return seconds_a_step * trainer.settings.steps > PAYS_BACK_AFTER


def compiled_in(trainer: Trainer, train: Callable[[], _T]) -> tuple[_T, list[str]]:
    """Train one step; return its figures, and the names of what was called in compiled form, in order.

    A trainer that compiles without `Trainer.compiled` has no names for it: the graphs that torch has made are counted.
    """
    before = _graphs()
    with _compiler_failures():
        figures = train()
    made = _graphs() - before
    return figures, sorted(trainer.compiled_calls) or ([f"{made} graphs"] if made else [])


def _graphs() -> int:
    """Return how many graphs torch's compiler has made in this process; it is imported only when it is used."""
    compiler: Any = sys.modules.get("torch._dynamo.utils")
    return int(compiler.counters["stats"]["unique_graphs"]) if compiler is not None else 0


@contextmanager
def _compiler_failures() -> Iterator[None]:
    """Turn a failure of torch's compiler in the block into a TrainingError of one line."""
    try:
        yield
    except Exception as error:  # the compiler has many errors of its own, and no public class for them
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise TrainingError(f"torch.compile failed: {printable(reason, 200)}; use --set compile=off") from error


def _clock(device: torch.device) -> float:
    """Return the time in seconds after the device has finished all its queued work."""
    synchronize(device)
    return time.perf_counter()
