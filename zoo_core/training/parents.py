"""The model that a run starts from: found by name, compared with the networks that are trained, and taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from zoo_core import modelfolder, models
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, SettingsError, TrainingError, printable
from zoo_core.files.digests import file_sha256
from zoo_core.hub.downloading import Job
from zoo_core.interfaces import Architecture, ModelConfig, Parent, Trainer
from zoo_core.interfaces.names import canonical_name
from zoo_core.modelfolder import DISCRIMINATOR, WEIGHTS
from zoo_core.modelfolder.building import model_config
from zoo_core.modelfolder.run_record import PARENT
from zoo_core.modelfolder.weight_transfer import compare, take
from zoo_core.modelfolder.weights_header import read_header
from zoo_core.registries.address import COMMIT, SCHEME, parse_address
from zoo_core.training.finiteness import broken_weights

_CLASSES = "model.num_classes"
_CLASSES_LISTED = 8  # the most classes that a line lists


def open_parent(name: str | Path, *, matching: bool = False, job: Job | None = None) -> Parent:
    """Find a model by name, folder or address, and check its files; nothing of its weights is read yet.

    Args:
        name: as `models.load` takes it.
        matching: whether a run is to take only what fits.
        job: receives the progress of downloads.

    Raises:
        ZooError: whatever `models.load` raises for a model that cannot be found or trusted.

    Example:
        >>> parent = open_parent("vae-mlp-mnist")
        >>> parent.name, parent.architecture, parent.discriminator_sha256
        ('vae-mlp-mnist', 'vae', None)
    """
    folder, entry = models.verified(name, job)
    stated = modelfolder.read_config(folder)
    repository = revision = None
    if entry is not None:
        title = entry.name
        if entry.hub is not None:
            repository, revision = entry.hub.repo, entry.hub.revision
    elif isinstance(name, str) and name.startswith(SCHEME):
        address = parse_address(name)
        title, repository = str(address), address.repo
        revision = folder.name if COMMIT.fullmatch(folder.name) else address.commit
    else:
        title = folder.resolve().name or "model"
    judge = folder / DISCRIMINATOR
    has_judge = judge.exists() and (entry is None or DISCRIMINATOR in entry.files)  # where digests are stated, all are
    return Parent(
        name=title,
        sha256=_digest(folder / WEIGHTS),
        discriminator_sha256=_digest(judge) if has_judge else None,
        class_names=stated.class_names,
        repository=repository,
        revision=revision,
        matching=matching,
        architecture=stated.architecture,
        config=stated.config,
        folder=folder,
    )


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error


def recorded_parent(record: Mapping[str, Any] | None) -> Parent | None:
    """Return the parent that run.json names, with the configuration of the run; None for one that has no parent."""
    if record is None or record.get(PARENT) is None:
        return None
    parent = msgspec.convert(record[PARENT], Parent)
    return dataclasses.replace(parent, architecture=record.get("architecture"), config=record.get("model"))


def as_record(parent: Parent) -> dict[str, Any]:
    """Return what run.json states about a parent."""
    kept = dataclasses.asdict(dataclasses.replace(parent, architecture=None, config=None, folder=None))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items() if value}


def parent_of_run(
    root: Path, record: Mapping[str, Any] | None, start_from: str | Path | Parent | None, *, matching: bool
) -> Parent | None:
    """Return the parent of a run: the one that is asked for, or the one that the resumed run was started from.

    Args:
        root: folder of the run, for messages.
        record: run.json of a run that is resumed; None for a new one.

    Raises:
        TrainingError: the run was not started from the model that is asked for.
        ZooError: that model cannot be found or trusted.
    """
    recorded = recorded_parent(record)
    if start_from is None:
        return recorded
    asked = start_from if isinstance(start_from, Parent) else open_parent(start_from, matching=matching)
    if record is None:
        return asked
    if recorded is None:
        raise TrainingError(
            f"{printable(root)} was started from nothing, and not from {printable(asked.title, 120)}; "
            "leave out --from to resume it, or choose another --out"
        )
    if _identity(asked) != _identity(recorded):
        raise TrainingError(
            f"{printable(root)} was started from {_described(recorded)}, and not from {_described(asked)}; "
            "leave out --from to resume it, or choose another --out"
        )
    return dataclasses.replace(recorded, folder=asked.folder)


def _identity(parent: Parent) -> tuple[str, str | None, bool]:
    return parent.sha256, parent.discriminator_sha256, parent.matching


def _described(parent: Parent) -> str:
    judge = "" if parent.discriminator_sha256 is None else f", discriminator {parent.discriminator_sha256[:12]}"
    return f"{printable(parent.title, 120)}{judge}{' by --from-matching' if parent.matching else ''}"


def inherited_config(parent: Parent | None, architecture: Architecture, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration that come from the parent, or from the run that is resumed.

    They are all of them, so that the sizes of the networks are the parent's whatever the data, except that the classes
    follow the data where the user makes a conditional model of an unconditional one, or the reverse.

    Args:
        given: the values that the user set, which take precedence.

    Raises:
        TrainingError: the parent is a model of another architecture, and the run is to take all of it.
        ModelFolderError: its configuration does not fit the architecture.
    """
    if parent is None or parent.config is None:
        return {}
    if canonical_name(parent.architecture or "") != canonical_name(architecture.name):
        if parent.matching:
            return {}
        raise TrainingError(
            f"{printable(parent.name, 120)} is a {printable(parent.architecture, 80)} and cannot start a "
            f"{architecture.name}; --from-matching takes what has the same names and shapes"
        )
    values: dict[str, Any] = msgspec.to_builtins(
        model_config(parent.folder or Path(parent.name), architecture, parent.config)
    )
    if given.get("conditional", values.get("conditional")) != values.get("conditional"):
        values.pop("num_classes", None)
    return values


def refuse_other_classes(
    parent: Parent | None, config: ModelConfig, given: Mapping[str, Any], data: TrainingData
) -> None:
    """Raise SettingsError if the data has no labels, or another number of classes than a conditional parent.

    A number of classes that the user set is taken as it is.

    Args:
        config: the configuration of the model that is trained.
        given: the values of it that the user set.
    """
    known, classes, names = getattr(config, "num_classes", None), data.num_classes, data.class_names
    if parent is None or parent.folder is None or known is None or not getattr(config, "conditional", True):
        return
    if classes is None:
        if getattr(config, "conditional", False):
            raise SettingsError(
                f"model.conditional: {printable(parent.name, 120)} draws a class that is asked for, and the data has "
                "no labels; --set model.conditional=false --from-matching starts a model without classes from it"
            )
        return
    if "num_classes" in given or classes == known or (names and set(names) <= set(parent.class_names)):
        return
    take_places = f" with num_classes={known}, the classes of the data take its places;" if classes < known else ""
    raise SettingsError(
        f"{_CLASSES}: {printable(parent.name, 120)} knows {known} classes{_named(parent.class_names)}, and the data "
        f"has {classes}{_named(names)};{take_places} --set {_CLASSES}={classes} --from-matching lets the layers of "
        "the classes start anew"
    )


def _named(names: Sequence[str]) -> str:
    return f" ({_listed(names)})" if names else ""


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names) - _CLASSES_LISTED} more" if len(names) > _CLASSES_LISTED else ""
    return ", ".join(printable(name, 80) for name in names[:_CLASSES_LISTED]) + more


def with_classes_of(parent: Parent, data: TrainingData, num_classes: int | None) -> tuple[TrainingData, str | None]:
    """Give the classes of the data the numbers that they have in the parent, where a model keeps the parent's classes.

    Classes that the parent knows by name keep their numbers. Others take the places that are left, in order.

    Args:
        num_classes: number of classes of the model that is trained.

    Returns:
        The data, and a line for the user if its classes are not the parent's in the same order.
    """
    theirs, ours = parent.class_names, data.class_names
    if data.labels is None or not theirs or len(theirs) != num_classes or ours == theirs or len(ours) > len(theirs):
        return data, None
    if not ours:
        return dataclasses.replace(data, class_names=theirs), None
    if int(data.labels.max()) >= len(ours):  # labels beyond the names have no counterpart
        return data, None
    left = (number for number, name in enumerate(theirs) if name not in ours)
    numbers = [theirs.index(name) if name in theirs else next(left) for name in ours]
    names = list(theirs)
    for number, name in zip(numbers, ours, strict=True):
        names[number] = name
    labels = torch.tensor(numbers)[data.labels]
    return dataclasses.replace(data, labels=labels, class_names=tuple(names)), _renumbering(parent, ours, numbers)


def _renumbering(parent: Parent, names: Sequence[str], numbers: Sequence[int]) -> str:
    """What a user is told of classes that got these numbers."""
    theirs = parent.class_names
    taken = [f"{name} for {theirs[number]}" for name, number in zip(names, numbers, strict=True) if name not in theirs]
    if taken:
        return f"the classes that {parent.name} does not know take the places of others: {_listed(taken)}"
    return f"the classes have the numbers that they have in {parent.name}: {_listed(names)}"


def start(trainer: Trainer, parent: Parent, architecture: Architecture) -> list[str]:
    """Copy the weights of a parent into the networks of a trainer that is built, and say what was taken.

    Returns:
        Lines for the user.

    Raises:
        TrainingError: what the parent has does not fit, or is not finite; says what, by name and shape.
        ModelFolderError: its files cannot be read.
    """
    if parent.folder is None:
        raise TrainingError(
            f"the run has no checkpoint to continue from, so it needs {printable(parent.title, 120)} again: add --from"
        )
    _refuse_other_architecture(parent, architecture)
    lines = [f"starts from {parent.title}"]
    lines += _take(trainer, "generator", parent.folder / WEIGHTS, parent)
    if "discriminator" in trainer.modules and parent.discriminator_sha256 is None:
        lines.append(f"{parent.name} has no {DISCRIMINATOR}: the discriminator starts anew")
    elif "discriminator" in trainer.modules:
        lines += _take(trainer, "discriminator", parent.folder / DISCRIMINATOR, parent)
    trainer.started_from(parent)
    return [printable(line, 4000) for line in lines]


def _refuse_other_architecture(parent: Parent, architecture: Architecture) -> None:
    if not parent.matching:
        inherited_config(parent, architecture, {})


def _take(trainer: Trainer, name: str, path: Path, parent: Parent) -> Iterator[str]:
    module, header = trainer.modules[name], read_header(path)
    found = compare(module, header)
    title = printable(parent.name, 120)
    if found.problem is not None and not parent.matching:
        raise TrainingError(
            f"the {name} of {title} does not fit: {found.problem}; --from-matching takes what fits, and lets the rest "
            "start anew"
        )
    if not found.fitting and name == "generator":
        raise TrainingError(f"nothing of {title} fits: {found.problem}; choose another --from")
    take(module, path, header, found.fitting)
    for broken in broken_weights(module):
        raise TrainingError(f"{title} cannot be started from: its {name}.{printable(broken, 120)} is NaN or infinite")
    if found.problem is not None:
        yield (
            f"the {name} takes {len(found.fitting)} of its {found.tensors} tensors from {parent.name}, and the others "
            f"start anew: {found.problem}"
        )
