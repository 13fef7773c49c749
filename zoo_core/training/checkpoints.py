"""Checkpoints: the complete state of a run, so that it continues as if it had never stopped. No pickle is used.

checkpoints/step-00001000/tensors.safetensors    weights, their average, optimiser and random states
checkpoints/step-00001000/state.json             the step, and all other state that is not a tensor
"""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo_core.errors import TrainingError, printable
from zoo_core.files.atomic import atomic_folder
from zoo_core.files.utf8_names import utf8_name
from zoo_core.interfaces import Trainer
from zoo_core.runtime.devices import random_state, set_random_state
from zoo_core.training.ema import ExponentialMovingAverage

_NAME = re.compile(r"step-(\d{8,})")
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
    folder: Path, trainer: Trainer, average: ExponentialMovingAverage | None, figure: float | None = None
) -> Path:
    """Write the complete state of the trainer to a new folder in `folder`; it appears complete or not at all.

    Older checkpoints are then removed, except for the newest `keep_checkpoints` and the one with the lowest figure.

    Args:
        figure: latest mean of the figure that `best_figure` names, or None if there is no such figure.

    Returns:
        The folder of the checkpoint.

    Raises:
        OutputError: the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {"random.torch": torch.get_rng_state()}
    state: dict[str, Any] = {
        "step": trainer.step,
        "figure": figure,
        "scaler": trainer.scaler.state_dict(),
        "optimizers": {},
        "random": {"python": random.getstate(), "numpy": _numpy_state()},
    }
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
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
    _rotate(folder, trainer.settings.keep_checkpoints)
    return target


def _rotate(folder: Path, keep: int) -> None:
    checkpoints = _checkpoints(folder)
    old = checkpoints[:-keep]
    if old:
        figures = {path: figure for path in checkpoints if (figure := _figure(path)) is not None}
        best = min(figures, key=figures.__getitem__, default=None)
        for path in old:
            if path != best:
                shutil.rmtree(path, ignore_errors=True)


def _figure(checkpoint: Path) -> float | None:
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # damage is reported when the checkpoint is restored
        return None
    figure = state.get("figure") if isinstance(state, dict) else None
    return figure if isinstance(figure, float) else None


def restore_checkpoint(path: Path, trainer: Trainer, average: ExponentialMovingAverage | None) -> None:
    """Restore the state of the checkpoint at `path` in a trainer that is already built.

    Raises:
        TrainingError: the checkpoint is damaged, or was saved from different networks.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        with utf8_name(path / "tensors.safetensors") as readable:
            tensors = load_file(readable)
        for name, module in trainer.modules.items():
            module.load_state_dict(_with_prefix(tensors, f"modules.{name}."))
        if average is not None:
            average.module.load_state_dict(_with_prefix(tensors, "average."))
        for name, optimizer in trainer.optimizers.items():
            _restore_optimizer(optimizer, state["optimizers"][name], _with_prefix(tensors, f"optimizers.{name}."))
        trainer.scaler.load_state_dict(state["scaler"])
        trainer.step = _whole_number(state["step"])
        _restore_random(state["random"], tensors, trainer.device)
    except _DAMAGE as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({type(error).__name__}: {printable(error, 160)}); "
            "remove its folder to continue from the one before"
        ) from error


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the highest step, or None if there is none."""
    return next(reversed(_checkpoints(folder)), None)


def _checkpoints(folder: Path) -> list[Path]:
    checkpoints = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(checkpoints, key=lambda path: int(path.name.removeprefix("step-")))


def _whole_number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"the step is {value!r}")
    return value


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["values"].items()}
    for key, value in tensors.items():
        index, _, field = key.partition(".")
        entries.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": entries, "param_groups": state["groups"]})
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
