"""Descriptions of folders: a model, the training run that makes it, or both. Imports no torch."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.errors import ModelFolderError
from zoo_core.modelfolder.layout import CONFIG, MODEL_FILES, WEIGHTS, FolderConfig, read_config
from zoo_core.modelfolder.run_record import RUN, read_run_record
from zoo_core.modelfolder.weights_header import read_header

_CHECKPOINT = re.compile(r"step-(\d{8,})")


class WeightsFacts(msgspec.Struct, frozen=True):
    """What the header of the weights states: the number of tensors and of their values, and the types of these."""

    tensors: int
    values: int
    dtypes: tuple[str, ...]


class FolderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder says about itself.

    Attributes:
        architecture: its name; "" if a run was recorded without one.
        config: the fields of the architecture's configuration.
        model: config.json; None while the run has no model yet.
        weights: what the weights are; None if they are not in the folder.
        files: the size in bytes of each file that the format names and the folder has.
        run: run.json; None for a model without its run.
        checkpoint: the step of the run's newest checkpoint; None if it has none.
    """

    architecture: str
    config: dict[str, Any]
    model: FolderConfig | None
    weights: WeightsFacts | None
    files: dict[str, int]
    run: dict[str, Any] | None
    checkpoint: int | None


def describe(folder: Path) -> FolderFacts:
    """Read what a folder says about itself: a model, a training run that is finished or not, or a download of a part.

    Raises:
        ModelFolderError: if it holds neither config.json nor run.json, or one of its files is damaged.

    Example:
        >>> import zoo_core as zoo
        >>> facts = describe(zoo.pull("vae-mlp-mnist"))
        >>> facts.architecture, facts.config["latent_size"], facts.weights.dtypes, facts.run
        ('vae', 40, ('F32',), None)
    """
    run = read_run_record(folder)
    has_model = (folder / CONFIG).exists() or run is None
    if run is None and not (folder / CONFIG).exists() and folder.is_dir():
        raise ModelFolderError(folder, f"is neither a model nor a training run: it has no {CONFIG} and no {RUN}")
    model = read_config(folder) if has_model else None
    recorded = run or {}
    return FolderFacts(
        architecture=model.architecture if model else recorded.get("architecture", ""),
        config=model.config if model else recorded.get("model", {}),
        model=model,
        weights=_weights(folder / WEIGHTS) if model and (folder / WEIGHTS).exists() else None,
        files={name: (folder / name).stat().st_size for name in MODEL_FILES if (folder / name).is_file()},
        run=run,
        checkpoint=_newest_checkpoint(folder / "checkpoints") if run else None,
    )


def _weights(path: Path) -> WeightsFacts:
    tensors = read_header(path).values()
    values = sum(math.prod(tensor.shape) for tensor in tensors)
    return WeightsFacts(len(tensors), values, tuple(sorted({tensor.dtype for tensor in tensors})))


def _newest_checkpoint(folder: Path) -> int | None:
    found = [match for path in folder.glob("step-*") if (match := _CHECKPOINT.fullmatch(path.name))]
    return max((int(match[1]) for match in found), default=None)
