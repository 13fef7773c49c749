"""A run's folder: what was asked for, whether it may be resumed, and where its files lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import TrainingError
from zoo_core.files.atomic import write_bytes
from zoo_core.interfaces import Trainer

# What may change when a run is resumed: how long it goes on, and what it writes.
FREE_ON_RESUME = frozenset(
    {"steps", "checkpoint_every", "keep_checkpoints", "best_figure", "sample_every", "trackers", "device"}
)


def describe_run(trainer: Trainer, architecture: str, data: TrainingData) -> dict[str, Any]:
    """What identifies a run: a resumed one must match it. No setting is `auto` any more."""
    return {
        "architecture": architecture,
        "model": msgspec.to_builtins(trainer.config),
        "settings": msgspec.to_builtins(trainer.settings),
        "processes": trainer.processes.count,
        "data": {
            "name": data.name,
            "samples": len(data),
            "notes": list(data.notes),
            "sha256": data.fingerprint,
        },
    }


class RunFolder:
    """The folder of one training run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.log = root / "log.jsonl"
        self._description = root / "run.json"

    def sample_grid(self, step: int) -> Path:
        folder = self.root / "samples"
        folder.mkdir(exist_ok=True)
        return folder / f"step-{step:08d}.png"

    def sample_grids(self) -> list[Path]:
        """All that were written, in the order of their steps."""
        return sorted((self.root / "samples").glob("step-*.png"))

    def check(self, description: dict[str, Any], *, resume: bool) -> bool:
        """Whether the run is finished already.

        Raises:
            TrainingError: where the folder holds something else, or a run that differs.
        """
        self.refuse_foreign(resume=resume)
        before = self.recorded()
        if before is not None:
            finished = bool(before.pop("finished", False))
            _refuse_differences(self.root, before, description)
            if finished and description["settings"]["steps"] == before["settings"]["steps"]:
                return True
        return False

    def begin(self, description: dict[str, Any]) -> None:
        """Make the folder and write down what is being trained."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._write(description)

    def recorded(self) -> dict[str, Any] | None:
        """The description of the run that was begun here; None where there is none."""
        if not self._description.exists():
            return None
        description: dict[str, Any] = json.loads(self._description.read_text(encoding="utf-8"))
        return description

    def refuse_foreign(self, *, resume: bool) -> None:
        """Raise TrainingError where this folder is not for this run: another run's, or nobody's and not empty."""
        if self._description.exists():
            if not resume:
                raise TrainingError(
                    f"{self.root} holds a training run already; --resume goes on with it, another --out starts anew"
                )
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise TrainingError(f"{self.root} is not an empty folder and holds no training run; choose another --out")

    def mark_finished(self) -> None:
        self._write(json.loads(self._description.read_text(encoding="utf-8")) | {"finished": True})

    def write_text(self, name: str, text: str) -> None:
        write_bytes(self.root / name, text.encode())

    def _write(self, description: dict[str, Any]) -> None:
        write_bytes(self._description, (json.dumps(description, indent=2) + "\n").encode())


def _refuse_differences(root: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise TrainingError that shows each value which is not what the run was started with."""
    old, new = _flat(before), _flat(json.loads(json.dumps(now)))
    free = {f"settings.{name}" for name in FREE_ON_RESUME} | {"data.name"}
    if before["settings"].get("schedule", "constant") != "constant":
        free.remove("settings.steps")  # the learning rate of every step depends on it
    changed = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in free and not name.startswith("data.notes") and old.get(name) != new.get(name)
    ]
    if changed:
        raise TrainingError(f"{root} cannot be resumed with other settings: {'; '.join(changed)}")


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
