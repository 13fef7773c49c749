"""Checkpoints: everything a run needs to go on as if it had never stopped, without a pickle.

checkpoints/step-00001000/tensors.safetensors    weights, their average, optimiser and generator states
checkpoints/step-00001000/state.json             the step, and what is not a tensor
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

from zoo_core.errors import TrainingError
from zoo_core.files.atomic import atomic_folder
from zoo_core.interfaces import Trainer
from zoo_core.training.ema import ExponentialMovingAverage

_NAME = re.compile(r"step-(\d{8,})")


def save_checkpoint(
    folder: Path, trainer: Trainer, average: ExponentialMovingAverage | None, figure: float | None = None
) -> Path:
    """Write the trainer's whole state under `folder`, whole or not at all.

    All but the newest `keep_checkpoints` are dropped, and the one with the lowest `figure`.
    """
    tensors: dict[str, Tensor] = {"random.torch": torch.get_rng_state()}
    state: dict[str, Any] = {
        "step": trainer.step,
        "figure": figure,
        "scaler": trainer.scaler.state_dict(),
        "optimizers": {},
        "random": {"python": random.getstate(), "numpy": _numpy_state()},
    }
    if trainer.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(trainer.device)
    for name, module in trainer.modules.items():
        tensors |= {f"modules.{name}.{key}": value for key, value in module.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{key}": value for key, value in average.module.state_dict().items()}
    for name, optimizer in trainer.optimizers.items():
        whole = optimizer.state_dict()
        state["optimizers"][name] = {"groups": whole["param_groups"], "values": {}}
        for index, entries in whole["state"].items():
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
    found = _checkpoints(folder)
    old = found[:-keep]
    if old:
        figures = {path: _figure(path) for path in found}
        known = [path for path in found if figures[path] is not None]
        best = min(known, key=lambda path: figures[path] or 0.0, default=None)
        for path in old:
            if path != best:
                shutil.rmtree(path, ignore_errors=True)


def _figure(checkpoint: Path) -> float | None:
    try:
        figure: float | None = json.loads((checkpoint / "state.json").read_text(encoding="utf-8")).get("figure")
    except (OSError, ValueError):
        return None
    return figure


def restore_checkpoint(path: Path, trainer: Trainer, average: ExponentialMovingAverage | None) -> None:
    """Put a built trainer into the state that `path` holds.

    Raises:
        TrainingError: where the checkpoint is damaged or of other networks.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(path / "tensors.safetensors")
        for name, module in trainer.modules.items():
            module.load_state_dict(_under(tensors, f"modules.{name}."))
        if average is not None:
            average.module.load_state_dict(_under(tensors, "average."))
        for name, optimizer in trainer.optimizers.items():
            _restore_optimizer(optimizer, state["optimizers"][name], _under(tensors, f"optimizers.{name}."))
        trainer.scaler.load_state_dict(state["scaler"])
        trainer.step = state["step"]
        _restore_random(state["random"], tensors, trainer.device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({type(error).__name__}: {str(error)[:160]}); "
            "remove its folder to go on from the one before"
        ) from error


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the highest step, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def _checkpoints(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["values"].items()}
    for key, value in tensors.items():
        index, _, field = key.partition(".")
        entries.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": entries, "param_groups": state["groups"]})
    # Fused kernels walk parameter and moments as flat memory: both must lie in the same order (channels_last).
    for parameter in parameters:
        for field, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                optimizer.state[parameter][field] = torch.empty_like(parameter).copy_(value)


def _numpy_state() -> list[Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return [name, [int(key) for key in keys], *rest]


def _restore_random(state: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(tensors["random.torch"])
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
