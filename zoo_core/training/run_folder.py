"""The folder of a training run: its record, the checks before it is resumed, and the paths of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import OutputError, TrainingError, well_formed
from zoo_core.files.atomic import write_bytes
from zoo_core.interfaces import Trainer
from zoo_core.modelfolder.run_record import RUN, read_run_record

# Settings that may change when a run is resumed: its length, its device, and what it writes.
FREE_ON_RESUME = frozenset(
    {"steps", "checkpoint_every", "keep_checkpoints", "best_figure", "sample_every", "trackers", "device"}
)
# Names of what the first step called in compiled form, once it is known; empty if that was nothing.
COMPILED = "compiled"


def describe_run(trainer: Trainer, architecture: str, data: TrainingData) -> dict[str, Any]:
    """Return the description that a resumed run must match. Every `auto` setting must be resolved already."""
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
        """Return the path for the sample grid of a step; its folder is created if needed."""
        folder = self.root / "samples"
        _make_folder(folder)
        return folder / f"step-{step:08d}.png"

    def sample_grids(self) -> list[Path]:
        """Return the paths of all existing sample grids, ordered by step."""
        return sorted((self.root / "samples").glob("step-*.png"))

    def check(self, description: dict[str, Any], *, resume: bool) -> bool:
        """Return whether the run is already finished.

        Raises:
            TrainingError: the folder contains something else, or a run with another description.
            ModelFolderError: run.json is damaged.
        """
        self.refuse_foreign(resume=resume)
        recorded = self.recorded()
        if recorded is None:
            return False
        finished = recorded.pop("finished", False)
        _refuse_differences(self.root, recorded, description)
        return bool(finished) and description["settings"]["steps"] == recorded["settings"]["steps"]

    def begin(self, description: dict[str, Any]) -> None:
        """Create the folder and record the description. Raises OutputError if it cannot be written."""
        _make_folder(self.root)
        self._write(description)

    def recorded(self) -> dict[str, Any] | None:
        """Return the recorded description, or None for a new run. Raises ModelFolderError if run.json is damaged."""
        return read_run_record(self.root)

    def refuse_foreign(self, *, resume: bool) -> None:
        """Raise TrainingError if the folder has a run that is not to be resumed, or files but no run."""
        if self.record.exists():
            if not resume:
                raise TrainingError(
                    f"{self.root} already holds a training run; use --resume to continue it, "
                    "or another --out to start over"
                )
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise TrainingError(f"{self.root} is not an empty folder and holds no training run; choose another --out")

    def mark_finished(self, description: dict[str, Any]) -> None:
        """Record that all steps are done and the model has been written."""
        self._write(description | {"finished": True})

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the finished model."""
        write_bytes(self.root / name, well_formed(text).encode())

    def _write(self, description: dict[str, Any]) -> None:
        write_bytes(self.record, (json.dumps(description, indent=2) + "\n").encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(folder, error) from error


def _refuse_differences(root: Path, recorded: dict[str, Any], description: dict[str, Any]) -> None:
    """Raise a TrainingError that lists every value that differs from the recorded description."""
    old, new = _flatten(recorded), _flatten(json.loads(json.dumps(description)))
    free = {f"settings.{name}" for name in FREE_ON_RESUME} | {"data.name", COMPILED}
    if recorded["settings"].get("schedule", "constant") != "constant":
        free.remove("settings.steps")  # the learning rate at every step depends on the number of steps
    changed = [
        f"{name} was {old.get(name)!r} and is now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in free and not name.startswith("data.notes") and old.get(name) != new.get(name)
    ]
    if changed:
        raise TrainingError(f"{root} cannot be resumed with other settings: {'; '.join(changed)}")


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries, with dotted names as keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
