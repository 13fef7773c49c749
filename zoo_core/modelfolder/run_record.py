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

RUN = "run.json"
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


class _RunRecord(msgspec.Struct):
    """The form of run.json. Fields that a newer version adds are kept, not refused."""

    settings: _Settings
    architecture: str = ""
    model: dict[str, Any] = {}
    processes: _Length = 1
    data: _Data = msgspec.field(default_factory=_Data)
    finished: bool = False


def read_run_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of run.json in a folder, or None where the folder has no such file.

    Returns:
        A dictionary with at least "settings", a dictionary with the integers "steps", "seed" and "batch_size".
        "architecture" (text), "model" (a dictionary), "processes" (an integer), "data" (a dictionary) and "finished"
        (a boolean) have these types where they are present.

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
        record = strict_json.decode(raw)
        msgspec.convert(record, _RunRecord)
    except strict_json.JSONProblemError as error:
        raise _refusal(path, str(error)) from error
    except msgspec.ValidationError as error:
        raise _refusal(path, f"is not the record of a training run: {printable(error, 200)}") from error
    return cast("dict[str, Any]", record)


def _refusal(path: Path, problem: str) -> ModelFolderError:
    return ModelFolderError(path, f"{problem}; restore the file that `zoo train` wrote, or remove it")
