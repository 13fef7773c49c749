"""torch.compile for a run: whether it pays back, and switching it on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable

import torch

from zoo_core.interfaces import Trainer
from zoo_core.runtime.devices import synchronize, type_of

# Compiling takes up to a minute and was never seen to gain less than a tenth on a GPU: ten minutes pay it back.
PAYS_BACK_AFTER = 600.0  # seconds
_PROBED_STEPS = 10


def resolve_compile(trainer: Trainer, train_steps: Callable[[int], None]) -> bool:
    """Whether this run will be compiled: as the setting says, and for auto on CUDA where the run is long enough.

    On a CPU auto is off: oneDNN's own kernels were faster there than compiled ones (docs/performance.md).

    Args:
        trainer: on the device that it will train on.
        train_steps: trains so many steps on the side, without a trace.
    """
    setting = trainer.settings.compile
    if setting != "auto":
        return setting == "on"
    if not type_of(trainer.device).compiled_by_default or shutil.which(os.environ.get("CC", "gcc")) is None:
        return False
    train_steps(1)
    began = _clock(trainer.device)
    train_steps(_PROBED_STEPS)
    seconds_a_step = (_clock(trainer.device) - began) / _PROBED_STEPS
    return seconds_a_step * trainer.settings.steps > PAYS_BACK_AFTER


def compile_networks(trainer: Trainer) -> None:
    """Let torch.compile translate each network at its first use; on CUDA its kernels are replayed as a graph."""
    mode = type_of(trainer.device).compile_mode
    for module in trainer.modules.values():
        module.compile(mode=mode, dynamic=False)


def _clock(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    synchronize(device)
    return time.perf_counter()
