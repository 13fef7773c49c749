"""Layout of a model folder: the names of its files, and config.json, read strictly. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from zoo_core.errors import ModelFolderError, printable
from zoo_core.files import strict_json
from zoo_core.modelfolder.replacing import complete_replacement
from zoo_core.modelfolder.weights_header import TensorFacts, read_header

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
CARD = "README.md"
PREVIEW = "samples.png"
TRAINING = "training.yaml"
GOLDEN = "golden.safetensors"
MODEL_FILES = (CONFIG, WEIGHTS, DISCRIMINATOR, CARD, PREVIEW, TRAINING, GOLDEN)  # every file that the format names
MAX_CONFIG_BYTES = 2**20


class FolderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The content of config.json.

    Attributes:
        config: the fields of the architecture's own configuration, not validated yet.
        sample_shape: the shape of one sample, without the batch.
        plugin, plugin_version: the distribution that saved the model.
        class_names: the names of a conditional model's classes, in the order of their labels; may be left out.
        options: the model's own options for sampling, not validated yet; left out for a class without options.
    """

    format: Literal[1]
    architecture: str
    config: dict[str, Any]
    sample_shape: tuple[int, ...]
    plugin: str
    plugin_version: str
    class_names: tuple[str, ...] = ()
    options: dict[str, Any] = {}


def read_config(folder: Path) -> FolderConfig:
    """Read config.json of a model folder strictly. Raises ModelFolderError.

    Where a save was killed while config.json was away, the save is completed first.
    """
    path = folder / CONFIG
    complete_replacement(folder, last=CONFIG)
    try:
        return msgspec.convert(strict_json.decode(_read_small(path)), FolderConfig)
    except strict_json.JSONProblemError as error:
        raise ModelFolderError(path, str(error)) from error
    except msgspec.ValidationError as error:
        raise ModelFolderError(path, printable(error, 200)) from error


def _read_small(path: Path) -> bytes:
    try:
        if not path.parent.is_dir():
            raise ModelFolderError(path.parent, "is not a folder")
        if not path.is_file():
            unfinished = "; it is a training run without a model yet" if (path.parent / "run.json").is_file() else ""
            raise ModelFolderError(path.parent, f"is not a model folder: it has no {path.name}{unfinished}")
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelFolderError(path, f"is larger than {MAX_CONFIG_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error


def inspect(folder: Path) -> tuple[FolderConfig, dict[str, TensorFacts]]:
    """Check config.json and the header of the weights without importing torch. Raises ModelFolderError."""
    return read_config(folder), read_header(folder / WEIGHTS)
