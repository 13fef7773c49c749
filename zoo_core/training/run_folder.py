"""The folder of a training run: what is being trained, whether it may be resumed, and the paths of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import OutputError, TrainingError
from zoo_core.files.atomic import write_bytes
from zoo_core.interfaces import Trainer
from zoo_core.modelfolder.run_record import RUN, read_run_record

# What may change when a run is resumed: how long it is, where it computes, and what it writes.
FREE_ON_RESUME = frozenset(
    {"steps", "checkpoint_every", "keep_checkpoints", "best_figure", "sample_every", "trackers", "device"}
)


def describe_run(trainer: Trainer, architecture: str, data: TrainingData) -> dict[str, Any]:
    """Return what identifies a run, which a resumed run must match. No setting may be `auto` any more."""
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
        self.record = root / RUN

    def sample_grid(self, step: int) -> Path:
        """Return the path of the sample grid of a step, in a folder that exists."""
        folder = self.root / "samples"
        _make_folder(folder)
        return folder / f"step-{step:08d}.png"

    def sample_grids(self) -> list[Path]:
        """Return the paths of all sample grids so far, in the order of their steps."""
        return sorted((self.root / "samples").glob("step-*.png"))

    def check(self, description: dict[str, Any], *, resume: bool) -> bool:
        """Return whether the run is finished already.

        Raises:
            TrainingError: where the folder holds something else, or a run that differs.
            ModelFolderError: where run.json is damaged.
        """
        self.refuse_foreign(resume=resume)
        recorded = self.recorded()
        if recorded is None:
            return False
        finished = recorded.pop("finished", False)
        _refuse_differences(self.root, recorded, description)
        return bool(finished) and description["settings"]["steps"] == recorded["settings"]["steps"]

    def begin(self, description: dict[str, Any]) -> None:
        """Make the folder and record what is being trained. Raises OutputError."""
        _make_folder(self.root)
        self._write(description)

    def recorded(self) -> dict[str, Any] | None:
        """Return the description of the run that was begun here, or None. Raises ModelFolderError for a damaged one."""
        return read_run_record(self.root)

    def refuse_foreign(self, *, resume: bool) -> None:
        """Raise TrainingError where the folder holds another run, or holds files but no run."""
        if self.record.exists():
            if not resume:
                raise TrainingError(
                    f"{self.root} already holds a training run; use --resume to continue it, "
                    "or another --out to start over"
                )
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise TrainingError(f"{self.root} is not an empty folder and holds no training run; choose another --out")

    def mark_finished(self, description: dict[str, Any]) -> None:
        """Record that all steps are done and the model is written."""
        self._write(description | {"finished": True})

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the finished model."""
        write_bytes(self.root / name, text.encode())

    def _write(self, description: dict[str, Any]) -> None:
        write_bytes(self.record, (json.dumps(description, indent=2) + "\n").encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(folder, error) from error


def _refuse_differences(root: Path, recorded: dict[str, Any], description: dict[str, Any]) -> None:
    """Raise a TrainingError that lists each value that is not the one the run was begun with."""
    old, new = _flatten(recorded), _flatten(json.loads(json.dumps(description)))
    free = {f"settings.{name}" for name in FREE_ON_RESUME} | {"data.name"}
    if recorded["settings"].get("schedule", "constant") != "constant":
        free.remove("settings.steps")  # the learning rate of every step depends on it
    changed = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in free and not name.startswith("data.notes") and old.get(name) != new.get(name)
    ]
    if changed:
        raise TrainingError(f"{root} cannot be resumed with other settings: {'; '.join(changed)}")


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
