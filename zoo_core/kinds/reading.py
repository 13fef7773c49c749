"""Data as its kind reads it, or the trainer of its model: a stranger's code, whose mistakes become one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.data.source import DataSource, ReadSource
from zoo_core.errors import DataError, InterfaceError, ZooError, printable
from zoo_core.interfaces.kind import Kind
from zoo_core.interfaces.names import CORE_KINDS, canonical_name
from zoo_core.kinds.by_name import kind_named
from zoo_core.plugins import manager

if TYPE_CHECKING:
    from zoo_core.data.training_data import TrainingData
    from zoo_core.interfaces import Architecture, ModelConfig, Trainer
    from zoo_core.runtime.processes import Processes

_Result = TypeVar("_Result")


def kind_of(architecture: Architecture) -> Kind:
    """Return the kind of an architecture's samples; where only its Generator class says so, torch is imported.

    Raises:
        InterfaceError: if there is no such kind.
    """
    return kind_named(architecture.kind or architecture.generator_class().kind)


def open_source(kind: Kind, source: str | Path, **how: Any) -> DataSource:
    """Open data of a kind.

    Args:
        kind: of the samples.
        source: a path or a name, as the user gave it.
        how: as `Kind.open` takes it.

    Raises:
        DataError: if the source is not data of this kind, or its `open` or `read` fails.
        InterfaceError: if they return something else than they should.
    """
    who = _described(kind)
    reads = type(kind).open is Kind.open
    opened = _asked(kind.read if reads else kind.open, who, source, **how)
    if reads:
        opened = ReadSource(_training_data(opened, f"{who}: read"))
    if not isinstance(opened, DataSource):
        raise InterfaceError(f"{who}: open must return a DataSource, not {_a(opened)}")
    for name in ("name", "sample_shape"):
        if not hasattr(opened, name):
            raise InterfaceError(f"{who}: the {type(opened).__qualname__} that open returns has no {name}")
    return opened


def decode_source(
    kind: Kind, opened: DataSource, sample_shape: tuple[int, ...], processes: Processes | None = None
) -> TrainingData:
    """Return what `open_source` opened as samples of this shape.

    Raises:
        DataError: if they cannot be brought to it, or cannot be read.
        InterfaceError: if something else comes of it.
    """
    who = _described(kind)
    data = _asked(lambda source: opened.decode(sample_shape, processes=processes), who, opened.name)
    return _training_data(data, f"{who}: decode")


def read_by_trainer(
    trainer: type[Trainer], source: str | Path, config_class: type[ModelConfig], values: Mapping[str, Any]
) -> TrainingData | None:
    """Return the data as a trainer's own `read_data` reads it; None where that is left to the kind.

    Raises:
        DataError: if it cannot be read.
        InterfaceError: if `read_data` returns something else than it should.
    """
    who = f"{trainer.__qualname__}.read_data"
    data = _asked(trainer.read_data, who, source, config_class, dict(values))
    return None if data is None else _training_data(data, who)


def _asked(read: Callable[..., _Result], who: str, source: str | Path, *given: Any, **how: Any) -> _Result:
    """Let a stranger's code read the data. Raises DataError for whatever else it raises than a ZooError."""
    try:
        return read(source, *given, **how)
    except ZooError:
        raise
    except Exception as error:  # which one is not known here
        problem = f"{type(error).__name__}: {printable(error, 200)}"
        raise DataError(f"{printable(source, 200)} cannot be read by {who}: {problem}") from error


def _training_data(data: object, who: str) -> TrainingData:
    from zoo_core.data.training_data import TrainingData

    if not isinstance(data, TrainingData):
        raise InterfaceError(f"{who} must return a TrainingData, not {_a(data)}")
    return data


def _a(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _described(kind: Kind) -> str:
    """Return the kind, and the plugin that it is from, as a phrase."""
    phrase = f"the kind {kind.name!r}"
    if canonical_name(kind.name) in CORE_KINDS:
        return phrase
    owners = (info.distribution for info in manager().plugins if kind in info.kinds)
    return f"{phrase} of {printable(next(owners, 'an unknown plugin'), 80)}"
