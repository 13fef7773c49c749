"""The folder of a training run: its record, its lock, the checks before it is resumed, and the paths of its files."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, OutputError, TrainingError, printable, well_formed
from zoo_core.files.atomic import write_bytes
from zoo_core.files.locks import held_alone, holder_file
from zoo_core.files.paths import user_path
from zoo_core.interfaces import Trainer
from zoo_core.modelfolder.run_record import RUN, read_run_record
from zoo_core.training.checkpoints import recorded_in_checkpoint, remove_leftovers

_log = logging.getLogger("zoo_core")

# Settings that may change when a run is resumed: its length, its device, and what it writes.
FREE_ON_RESUME = frozenset(
    {
        "steps",
        "checkpoint_every",
        "keep_checkpoints",
        "best_figure",
        "sample_every",
        "eval_every",
        "eval_metrics",
        "eval_samples",
        "eval_extractor",
        "trackers",
        "device",
    }
)
# What a resumed run must share of each stage. The rest is as changeable as the settings that it stands for.
FIXED_IN_STAGE = ("begin", "steps", "trains", "batch_size", "schedule", "warmup_steps")
# Names of what the first step called in compiled form, once it is known; empty if that was nothing.
COMPILED = "compiled"

# What `describe_run` returns.
DESCRIPTION = ("architecture", "model", "options", "settings", "stages", "processes", "data")


def describe_run(
    trainer: Trainer, architecture: str, data: TrainingData, stages: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the description that a resumed run must match. Every `auto` setting must be resolved already.

    Args:
        stages: what the record says of each stage, by name, if the run has any.
    """
    of_stages = {"stages": stages} if stages else {}
    return {
        "architecture": architecture,
        "model": msgspec.to_builtins(trainer.config),
        **({"options": msgspec.to_builtins(trainer.options)} if trainer.options is not None else {}),
        "settings": msgspec.to_builtins(trainer.settings),
        **of_stages,
        "processes": trainer.processes.count,
        "data": {
            "name": data.name,
            "class_names": list(data.class_names),
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
        self.description: dict[str, Any] = {}  # what run.json holds, once the run has begun
        self.notes: list[str] = []  # what the user is to know when the run goes on
        self._lock = root / ".lock"
        self._said: set[str] = set()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the folder while the block runs. It is created, and removed if it stays empty.

        Raises:
            TrainingError: another run is at work in it; says which.
            OutputError: the folder cannot be written.
        """
        new = not self.root.exists()
        _make_folder(self.root)
        try:
            with contextlib.ExitStack() as lock:
                try:
                    lock.enter_context(held_alone(self._lock, self._in_use))
                except OSError as error:
                    raise OutputError.unwritable(self.root, error) from error
                remove_leftovers(self.checkpoints)
                yield
        finally:
            if new:
                with contextlib.suppress(OSError):  # it is not empty
                    self.root.rmdir()

    def _in_use(self, holder: str) -> TrainingError:
        return TrainingError(
            f"{printable(self.root)} is in use by another run ({holder}); wait until it ends, or choose another --out"
        )

    def sample_grid(self, step: int) -> Path:
        """Return the path for the sample grid of a step; its folder is created if needed."""
        folder = self.root / "samples"
        _make_folder(folder)
        return folder / f"step-{step:08d}.png"

    def sample_grids(self, last: int) -> list[Path]:
        """Return the paths of the existing sample grids up to a step, in order."""
        steps = {path: path.stem.removeprefix("step-") for path in (self.root / "samples").glob("step-*.png")}
        numbered = {path: int(step) for path, step in steps.items() if step.isdecimal()}
        return sorted((path for path, step in numbered.items() if step <= last), key=numbered.__getitem__)

    def check(
        self,
        description: dict[str, Any],
        *,
        resume: bool,
        change: Collection[str] = (),
        changeable: Collection[str] = (),
    ) -> bool:
        """Return whether the run is already finished.

        Args:
            change: names of settings that may differ from the recorded ones, because the user says so.
            changeable: names of those of which the user may say so.

        Raises:
            TrainingError: the folder contains something else, or a run with another description.
            ModelFolderError: run.json is damaged, and no checkpoint has a copy of it.
        """
        self.refuse_foreign(resume=resume)
        recorded = self.recorded()
        if recorded is None:
            return False
        _refuse_differences(self.root, recorded, description, said=change, changeable=changeable)
        return bool(recorded.get("finished")) and description["settings"]["steps"] == recorded["settings"]["steps"]

    def begin(self, description: dict[str, Any], changes: Sequence[dict[str, Any]] | None = None) -> None:
        """Record the description of a run that begins or goes on.

        A model that was made of an earlier step stays until the run is finished.

        Args:
            changes: what was changed in the run, and when; by default what was recorded by an earlier call.

        Raises:
            OutputError: run.json cannot be written.
        """
        kept = self.description.get("changes", ()) if changes is None else changes
        step = (self.recorded() or {}).get("model_step")
        self.description = description | ({"changes": list(kept)} if kept else {})
        self.write_record(self.description | ({"model_step": step} if step else {}))

    def recorded(self) -> dict[str, Any] | None:
        """Return the recorded description, or None for a new run.

        Where run.json is damaged or missing, the copy in the newest checkpoint stands in for it, and a warning says so.

        Raises:
            ModelFolderError: run.json is damaged, and there is no copy.
        """
        problem: ModelFolderError | None = None
        try:
            if (record := read_run_record(self.root)) is not None:
                return record
        except ModelFolderError as error:
            problem = error
        copy = recorded_in_checkpoint(self.checkpoints)
        if copy is not None:
            state = "missing" if problem is None else "damaged"
            self._warn(f"{self.record} is {state}; its copy in the newest checkpoint is used")
        elif problem is not None:
            raise problem
        return copy

    def note_changes(self, step: int, changed: dict[str, dict[str, Any]]) -> None:
        """Note which settings hold from a step on, each with its value before and now."""
        self.notes += [
            f"from step {step} on, {name} is {values['now']} (it was {values['was']})"
            for name, values in changed.items()
        ]

    def note_stage_data(self, description: dict[str, Any], stage: str, fingerprint: str) -> None:
        """Record the data that was made for a stage, and warn if it is not what it was when the stage began."""
        # A run without stages may make its data in this way too.
        recorded = description.get("stages", {}).get(stage, {})
        if recorded.setdefault("data", fingerprint) != fingerprint:
            self._warn(
                f"{self.root}: the data of the stage {stage} is not what it was when the stage began, and the run goes "
                "on with it; prepare_stage_data depends on weights that the stage trains, or on the device"
            )

    def keep_stage_data(self, description: dict[str, Any], record: dict[str, Any]) -> None:
        """Take over what an earlier record says of the data of each stage."""
        for name, stage in description.get("stages", {}).items():
            if (data := record.get("stages", {}).get(name, {}).get("data")) is not None:
                stage["data"] = data

    def warn_of_damage(self, damaged: Iterable[str]) -> None:
        """Say that newer checkpoints than the one in use cannot be read."""
        for problem in damaged:
            self._warn(f"{problem}; the run goes on from the one before")

    def _warn(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            _log.warning("%s", printable(line, 1000))

    def refuse_foreign(self, *, resume: bool) -> None:
        """Raise TrainingError if the folder has a run that is not to be resumed, or files but no run."""
        if self.record.exists():
            if not resume:
                raise TrainingError(
                    f"{printable(self.root)} already holds a training run; use --resume to continue it, "
                    "or another --out to start over"
                )
        elif self.root.is_symlink() and not self.root.exists():
            raise TrainingError(f"{printable(self.root)} is a link to nowhere; choose another --out")
        elif self._holds_something() and not (resume and recorded_in_checkpoint(self.checkpoints)):
            raise TrainingError(
                f"{printable(self.root)} is not an empty folder and holds no training run; choose another --out"
            )

    def _holds_something(self) -> bool:
        if not self.root.is_dir():
            return self.root.exists()
        ours = {self._lock.name, holder_file(self._lock).name}  # which a run that was killed has left
        return any(path.name not in ours for path in self.root.iterdir())

    def refuse_data_around(self, data: str | Path) -> None:
        """Raise TrainingError if the folder lies within that of the data: its pictures would become data."""
        folder = user_path(data)
        if folder.is_dir() and folder.resolve() in (self.root.resolve(), *self.root.resolve().parents):
            raise TrainingError(
                f"{printable(self.root)} lies within {printable(data)}, and what is written there would become part of "
                "the data; choose another --out"
            )

    def refuse_if_held(self) -> None:
        """Raise TrainingError if another run is at work in the folder."""
        if self._lock.exists():
            with self.held():
                pass

    def model_record(self, step: int) -> dict[str, Any]:
        """Return the content of run.json once the model of a step is written: only that of the last is the end."""
        if step == self.description["settings"]["steps"]:
            return self.description | {"finished": True}
        return self.description | {"model_step": step}

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the finished model."""
        write_bytes(self.root / name, well_formed(text).encode())

    def write_record(self, description: dict[str, Any]) -> None:
        """Write run.json. Raises OutputError."""
        write_bytes(self.record, (json.dumps(description, indent=2) + "\n").encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(folder, error) from error


def _refuse_differences(
    root: Path,
    recorded: dict[str, Any],
    description: dict[str, Any],
    *,
    said: Collection[str],
    changeable: Collection[str],
) -> None:
    """Raise a TrainingError that lists every value that differs from the recorded description.

    Args:
        said: names of what the user says is to differ, as `--set` takes them.
        changeable: names of the settings of which the user may say so.
    """
    old, new = _flatten(_comparable(recorded)), _flatten(_comparable(json.loads(json.dumps(description))))
    # No weight depends on the options: any of them may change, if the user says so.
    free_if_said = {f"settings.{name}" for name in changeable} | {name for name in old | new if _is_option(name)}
    free = {f"settings.{name}" for name in FREE_ON_RESUME.union(set(changeable).intersection(said))} | {
        name for name in said if _is_option(name)
    }
    if recorded["settings"].get("schedule", "constant") != "constant":
        free.discard("settings.steps")  # the learning rate at every step depends on the number of steps
    for name, stage in list(recorded.get("stages", {}).items())[-1:]:
        if stage.get("schedule", recorded["settings"].get("schedule", "constant")) == "constant":
            free.add(f"stages.{name}.steps")
    changed = [name for name in sorted(old.keys() | new.keys()) if name not in free and old.get(name) != new.get(name)]
    if changed:
        listed = "; ".join(f"{name} was {old.get(name)!r} and is now {new.get(name)!r}" for name in changed)
        hint = "; to change it from here on, say so with --set" if free_if_said.issuperset(changed) else ""
        raise TrainingError(f"{printable(root)} cannot be resumed with other settings: {listed}{hint}")


def _is_option(name: str) -> bool:
    return name.startswith("options.")


def _comparable(description: dict[str, Any]) -> dict[str, Any]:
    """The parts of a description that a resumed run must share, apart from the notes and names of the data."""
    data = {key: value for key, value in description.get("data", {}).items() if key in ("samples", "sha256")}
    shared = {part: description[part] for part in DESCRIPTION if part in description} | {"data": data}
    if "stages" in shared:
        shared["stages"] = {
            name: {key: value for key, value in stage.items() if key in FIXED_IN_STAGE}
            for name, stage in shared["stages"].items()
        }
    return shared


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries, with dotted names as keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
