"""The record of a training run: run.json, which `zoo train` writes beside the model that it trains.

The file is read here and nowhere else: when a run is resumed, and when its folder is pushed. It may come from a
stranger, so it is read as strictly as config.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from zoo_core.errors import ModelFolderError, printable
from zoo_core.files import strict_json
from zoo_core.registries.entries import Commit, Digest, Repository

RUN = "run.json"
PARENT = "parent"  # where the record names the model that the run started from
MAX_RUN_BYTES = 4 * 2**20

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Length = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class _Settings(msgspec.Struct):
    """The settings that zoo-core itself reads from a record. A trainer's own may stand beside them."""

    steps: _Length
    seed: _Count
    batch_size: _Length


class _Data(msgspec.Struct):
    name: str | None = None
    samples: _Count = 0
    notes: list[str] = []
    sha256: str | None = None


class _Values(msgspec.Struct):
    """The value of a setting before and after it was changed."""

    was: Any
    now: Any


class _Change(msgspec.Struct):
    """What was changed when a run was resumed at a step, by the names of the settings."""

    step: _Count
    settings: dict[str, _Values]


class _Parent(msgspec.Struct):
    """The model that the run started from."""

    name: str
    sha256: Digest
    discriminator_sha256: Digest | None = None
    class_names: tuple[str, ...] = ()
    repository: Repository | None = None
    revision: Commit | None = None
    matching: bool = False


class _RunRecord(msgspec.Struct):
    """The form of run.json. Fields that a newer version adds are kept, not refused."""

    settings: _Settings
    architecture: str = ""
    model: dict[str, Any] = {}
    options: dict[str, Any] = {}
    processes: _Length = 1
    data: _Data = msgspec.field(default_factory=_Data)
    finished: bool = False
    model_step: _Length | None = None
    changes: list[_Change] = []
    parent: _Parent | None = None
    stages: dict[str, dict[str, Any]] = {}


def read_run_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of run.json in a folder, or None where the folder has no such file.

    Returns:
        A dictionary with at least "settings", a dictionary with the integers "steps", "seed" and "batch_size".
        "architecture" (text), "model" and "options" (dictionaries), "processes" (an integer), "data" (a dictionary),
        "finished" (a boolean), "model_step" (an integer), "changes" (a list), "parent" (a dictionary) and "stages" (a
        dictionary of dictionaries) have these types where they are present.

    Raises:
        ModelFolderError: where run.json is not a regular file, cannot be read, or is not the record of a run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     before = read_run_record(folder)
        ...     _ = (folder / "run.json").write_text('{"settings": {"steps": 10, "seed": 0, "batch_size": 4}}')
        ...     record = read_run_record(folder)
        >>> before, record["settings"]["steps"]
        (None, 10)
    """
    path = folder / RUN
    try:
        # A link could lead to any file of whoever pushes this folder, and its content would be published.
        if path.is_symlink():
            raise _refusal(path, "is a link")
        if not path.exists():
            return None
        if not path.is_file():
            raise _refusal(path, "is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_RUN_BYTES + 1)
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_RUN_BYTES:
        raise _refusal(path, f"is larger than {MAX_RUN_BYTES:,} bytes")
    try:
        return checked_record(strict_json.decode(raw))
    except strict_json.JSONProblemError as error:
        raise _refusal(path, str(error)) from error
    except msgspec.ValidationError as error:
        raise _refusal(path, f"is not the record of a training run: {printable(error, 200)}") from error


def checked_record(content: Any) -> dict[str, Any]:
    """Return the content of a run.json if it is one. Raises msgspec.ValidationError."""
    msgspec.convert(content, _RunRecord)
    return cast("dict[str, Any]", content)


def steps_of_model(record: dict[str, Any]) -> int:
    """Return how many steps the model beside a run.json was trained for.

    Example:
        >>> steps_of_model({"settings": {"steps": 1000}, "model_step": 400})
        400
    """
    steps: int = record.get("model_step") or record["settings"]["steps"]
    return steps


def stated_settings(record: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run as a card states them: with the values that a setting had before it was changed.

    Example:
        >>> changes = [{"step": 400, "settings": {"learning_rate": {"was": 0.1, "now": 0.05}}}]
        >>> settings = {"steps": 1000, "learning_rate": 0.05}
        >>> stated_settings({"settings": settings, "changes": changes, "model_step": 600})
        {'steps': '600 (of 1000 planned)', 'learning_rate': '0.05 (0.1 until step 400)'}
    """
    stated = dict(record["settings"])
    earlier: dict[str, list[str]] = {}
    for change in record.get("changes", []):
        for name, values in change["settings"].items():
            earlier.setdefault(name, []).append(f"{_as_text(values['was'])} until step {change['step']}")
    stated |= {name: f"{_as_text(stated.get(name))} ({'; '.join(texts)})" for name, texts in earlier.items()}
    if (step := record.get("model_step")) is not None:
        stated["steps"] = f"{step} (of {stated['steps']} planned)"
    for name, stage in record.get("stages", {}).items():
        own = {key: value for key, value in stage.items() if key not in ("begin", "data")}
        stated[f"stage {name}"] = "; ".join(f"{key} {_as_text(value)}" for key, value in own.items())
    return stated


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _refusal(path: Path, problem: str) -> ModelFolderError:
    return ModelFolderError(path, f"{problem}; restore the file that `zoo train` wrote, or remove it")
