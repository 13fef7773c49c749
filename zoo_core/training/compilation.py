"""torch.compile for a run: decide whether it saves time, and switch it on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable

import torch

from zoo_core.interfaces import Trainer
from zoo_core.runtime.devices import synchronize, type_of

# Compiling takes up to a minute, and every GPU run measured became at least 10% faster: ten minutes recover the cost.
PAYS_BACK_AFTER = 600.0  # seconds
_PROBED_STEPS = 10


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


def compile_networks(trainer: Trainer) -> None:
    """Set every network to be compiled at its first call; on CUDA its kernels are then replayed as a CUDA graph."""
    mode = type_of(trainer.device).compile_mode
    for module in trainer.modules.values():
        module.compile(mode=mode, dynamic=False)


def _clock(device: torch.device) -> float:
    """Return the time in seconds after the device has finished all its queued work."""
    synchronize(device)
    return time.perf_counter()
