"""Checkpoints: the complete state of a run, so that it continues as if it had never stopped. No pickle is used.

checkpoints/step-00001000/tensors.safetensors    weights, their average, optimiser and random states
checkpoints/step-00001000/state.json             the step, all other state that is not a tensor, and a copy of run.json
checkpoints/step-00001000.damaged                one that could not be read when the run was resumed
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo_core.errors import TrainingError, printable
from zoo_core.files.atomic import atomic_folder
from zoo_core.files.utf8_names import utf8_name
from zoo_core.interfaces import Settings, Trainer
from zoo_core.metrics.table import higher_is_better
from zoo_core.modelfolder.run_record import checked_record
from zoo_core.runtime.devices import random_state, set_random_state
from zoo_core.training.ema import ExponentialMovingAverage
from zoo_core.training.finiteness import broken_weights, refuse_broken_weights
from zoo_core.training.stages import Stages

_NAME = re.compile(r"step-(\d{8,})")
_TEMPORARY = re.compile(r"\.step-\d{8,}\.[0-9a-f]{8}\.tmp")
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
# What a damaged checkpoint can raise when it is restored: a wrong type or shape can fail almost anywhere.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SafetensorError,
)


def save_checkpoint(
    folder: Path,
    trainer: Trainer,
    average: ExponentialMovingAverage | None,
    figure: float | None = None,
    record: dict[str, Any] | None = None,
) -> Path:
    """Write the complete state of the trainer to a new folder in `folder`; it appears complete or not at all.

    Older checkpoints are then removed, except for the newest `keep_checkpoints` and the one with the best figure.

    Args:
        figure: latest mean of the figure that `best_figure` names, or None if there is no such figure.
        record: the content of run.json, of which a copy is kept.

    Returns:
        The folder of the checkpoint.

    Raises:
        TrainingError: a weight is NaN or infinite.
        OutputError: the folder cannot be written.
    """
    refuse_broken_weights(trainer, average.module if average else None, go_on=newest_checkpoint(folder) is not None)
    tensors: dict[str, Tensor] = {"random.torch": torch.get_rng_state()}
    state: dict[str, Any] = {
        "step": trainer.step,
        "best_figure": trainer.settings.best_figure,
        "figure": figure,
        "scaler": trainer.scaler.state_dict(),
        "optimizers": {},
        "random": {"python": random.getstate(), "numpy": _numpy_state()},
        "run": record,
    } | ({"stage": trainer.stage} if trainer.stage else {})
    if (own := random_state(trainer.device)) is not None:
        tensors[f"random.{trainer.device.type}"] = own
    for name, module in trainer.modules.items():
        tensors |= {f"modules.{name}.{key}": value for key, value in module.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{key}": value for key, value in average.module.state_dict().items()}
    for name, optimizer in trainer.optimizers.items():
        optimizer_state = optimizer.state_dict()
        state["optimizers"][name] = {"groups": optimizer_state["param_groups"], "values": {}}
        for index, entries in optimizer_state["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizers.{name}.{index}.{key}"] = value
                else:
                    state["optimizers"][name]["values"].setdefault(str(index), {})[key] = value
    target = folder / f"step-{trainer.step:08d}"
    with atomic_folder(target) as temporary:
        _write_tensors(tensors, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
    _rotate(folder, trainer.settings)
    return target


def _write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file. Raises OSError: safetensors hides that of a full disk in an error of its own."""
    try:
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path)
    except SafetensorError as error:
        number = _SYSTEM_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _rotate(folder: Path, settings: Settings) -> None:
    checkpoints = _checkpoints(folder)
    old = checkpoints[: -settings.keep_checkpoints]
    if old:
        figures = _figures(checkpoints, settings.best_figure)
        choose = max if higher_is_better(settings.best_figure) else min
        best = choose(figures, key=figures.__getitem__, default=None)
        for path in old:
            if path != best:
                shutil.rmtree(path, ignore_errors=True)


def is_improvement(folder: Path, settings: Settings, figure: float | None, stage: str) -> bool:
    """Return whether a value of the figure that `best_figure` names is better than that of every checkpoint.

    Args:
        stage: the name of the stage that the value is of, with whose checkpoints alone it is compared; empty without.
    """
    if figure is None:
        return False
    earlier = _figures(_checkpoints(folder), settings.best_figure, [stage or None]).values()
    sign = -1 if higher_is_better(settings.best_figure) else 1
    return all(sign * figure < sign * value for value in earlier)


def _figures(checkpoints: Collection[Path], name: str, stages: Collection[Any] = ()) -> dict[Path, float]:
    """Return the figure of that name of each checkpoint that was saved with one.

    Those of one stage are not compared with those of another.

    Args:
        stages: the stage that counts; by default the latest that has the figure.
    """
    found = {path: figure for path in checkpoints if (figure := _figure(path, name)) is not None}
    counted = stages or [next((stage for stage, _ in reversed(found.values())), None)]
    return {path: value for path, (stage, value) in found.items() if stage in counted}


def _figure(checkpoint: Path, name: str) -> tuple[Any, float] | None:
    """Return the stage of a checkpoint, and the finite value of the figure of that name, if it was saved with one."""
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # damage is reported when the checkpoint is restored
        return None
    if not isinstance(state, dict) or state.get("best_figure", name) != name:
        return None
    figure = state.get("figure")
    return (state.get("stage"), figure) if isinstance(figure, float) and math.isfinite(figure) else None


@dataclass(frozen=True)
class Restored:
    """A checkpoint that a run goes on from.

    Attributes:
        record: the copy of run.json that it holds; None in one of an earlier version.
        damaged: the newer checkpoints that cannot be read, each with the reason.
    """

    record: dict[str, Any] | None
    damaged: dict[Path, str]


def restore_newest(
    folder: Path, trainer: Trainer, average: ExponentialMovingAverage | None, stages: Stages | None = None
) -> Restored | None:
    """Restore the newest checkpoint that can be read, in a trainer that is already built; None if there is none.

    Args:
        stages: of the run; that of the checkpoint begins before its state is restored.

    Raises:
        TrainingError: there are checkpoints, and none can be read.
    """
    damaged: dict[Path, str] = {}
    for path in reversed(_checkpoints(folder)):
        try:
            return Restored(restore_checkpoint(path, trainer, average, stages), damaged)
        except TrainingError as error:
            damaged[path] = str(error)
    if damaged:
        raise TrainingError(f"{'; '.join(damaged.values())}; no checkpoint is left: choose another --out to start over")
    return None


def set_aside(damaged: Collection[Path]) -> None:
    """Rename damaged checkpoints, so that none of them is taken for one of the newest that are kept."""
    for path in damaged:
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f"{path.name}.damaged"))


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed had written of a checkpoint. No other process may be at work."""
    for path in folder.glob(".step-*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def restore_checkpoint(
    path: Path, trainer: Trainer, average: ExponentialMovingAverage | None, stages: Stages | None = None
) -> dict[str, Any] | None:
    """Restore the state of the checkpoint at `path` in a trainer that is already built.

    Where the settings of the trainer are not those of the checkpoint, the optimizers take the hyperparameters that they
    were built with.

    Returns:
        The copy of run.json in the checkpoint; None in one of an earlier version.

    Raises:
        TrainingError: the checkpoint is damaged, or was saved from different networks.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        record = checked_record(state["run"]) if state.get("run") is not None else None
        with utf8_name(path / "tensors.safetensors") as readable:
            tensors = load_file(readable)
        step = _whole_number(state["step"])
        if stages is not None:
            stages.go_to(step)
        for name, module in trainer.modules.items():
            module.load_state_dict(_with_prefix(tensors, f"modules.{name}."))
        if average is not None:
            average.module.load_state_dict(_with_prefix(tensors, "average."))
        changed = record is not None and bool(changed_settings(record, trainer.settings))
        for name, optimizer in trainer.optimizers.items():
            own = _with_prefix(tensors, f"optimizers.{name}.")
            _restore_optimizer(optimizer, state["optimizers"][name], own, keep_hyperparameters=changed)
        if state["scaler"] or not changed:  # fp16 scales losses, and the run may have begun without
            trainer.scaler.load_state_dict(state["scaler"])
        trainer.step = step
        _restore_random(state["random"], tensors, trainer.device)
        for name, module in trainer.modules.items():
            for key in broken_weights(module):
                raise ValueError(f"{name}.{key} is NaN or infinite")
    except _DAMAGE as error:
        raise TrainingError(
            f"the checkpoint {printable(path)} cannot be read ({type(error).__name__}: {printable(error, 160)})"
        ) from error
    return record


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the highest step, or None if there is none."""
    return next(reversed(_checkpoints(folder)), None)


def recorded_in_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the copy of run.json in the newest checkpoint that has a sound one; None if none has."""
    for path in reversed(_checkpoints(folder)):
        with contextlib.suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
            return checked_record(json.loads((path / "state.json").read_text(encoding="utf-8"))["run"])
    return None


def changed_settings(record: dict[str, Any], settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the changeable settings that differ from those in a record, each with its value then and now."""
    recorded, now = record["settings"], msgspec.to_builtins(settings)
    return {
        name: {"was": recorded[name], "now": _as_json(now[name])}
        for name in sorted(settings.changeable)
        if name in recorded and name in now and recorded[name] != _as_json(now[name])
    }


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _checkpoints(folder: Path) -> list[Path]:
    checkpoints = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(checkpoints, key=lambda path: int(path.name.removeprefix("step-")))


def _whole_number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"the step is {value!r}")
    return value


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    tensors: dict[str, Tensor],
    *,
    keep_hyperparameters: bool,
) -> None:
    built = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["values"].items()}
    for key, value in tensors.items():
        index, _, field = key.partition(".")
        entries.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": entries, "param_groups": state["groups"]})
    if keep_hyperparameters:
        for group, hyperparameters in zip(optimizer.param_groups, built, strict=True):
            group.pop("initial_lr", None)  # of which the schedule takes its part
            group |= hyperparameters
    # Fused kernels read parameters and moments as flat memory, so both need the same memory format (channels_last).
    for parameter in parameters:
        for field, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                optimizer.state[parameter][field] = torch.empty_like(parameter).copy_(value)


def _numpy_state() -> list[Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return [name, [int(key) for key in keys], *rest]


def _restore_random(state: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(tensors["random.torch"])
    if (own := tensors.get(f"random.{device.type}")) is not None:
        set_random_state(device, own)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
