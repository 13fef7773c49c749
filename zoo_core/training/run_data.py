"""The data of a run: what `Trainer.fit` is given, as samples of the shape that the model makes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zoo_core.data.decoding import picture_shape
from zoo_core.data.from_memory import from_memory
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, printable
from zoo_core.interfaces import Generator, Trainer
from zoo_core.interfaces.kind import Kind
from zoo_core.interfaces.names import canonical_name
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.reading import decode_source, kind_of, open_source, read_by_trainer
from zoo_core.plugins import manager
from zoo_core.training.run_folder import RunFolder


def data_of_run(data: object, trainer: Trainer, run: RunFolder) -> TrainingData:
    """Return what is trained on. What was found and done while a path was read becomes notes of the run.

    Args:
        data: as `Trainer.fit` takes it.

    Raises:
        DataError: for data that cannot be read, or does not have the shape of the model's samples.
        TrainingError: for a folder of data around that of the run.
    """
    if isinstance(data, (str, Path)):
        run.refuse_data_around(data)
        data = _read(data, trainer, run)
    elif not isinstance(data, TrainingData):
        data = from_memory(data, trainer.sample_shape)
    if data.sample_shape != trainer.sample_shape:
        raise DataError(f"{data.name} has samples of {data.sample_shape}, but the model makes {trainer.sample_shape}")
    return data


def check_read_as(trainer: Trainer, generator: Generator, source: str | Path) -> None:
    """Raise DataError if a path was read as data of another kind than the model turned out to make."""
    read_as = _kind_of(trainer)
    if canonical_name(generator.kind) != canonical_name(read_as.name):
        raise DataError(
            f"{printable(source, 200)} is read as {read_as.noun[1]}, but {type(generator).__qualname__} makes none; "
            "pass a tensor"
        )


def _read(source: str | Path, trainer: Trainer, run: RunFolder) -> TrainingData:
    values = msgspec.structs.asdict(trainer.config)
    data = read_by_trainer(type(trainer), source, type(trainer.config), values)
    if data is None:
        kind = _kind_of(trainer)
        if kind.name == "image" and picture_shape("image", trainer.sample_shape) is None:
            raise DataError(
                f"{printable(source, 200)} is read as pictures, but the model makes {trainer.sample_shape}; "
                "pass a tensor"
            )
        opened = open_source(kind, source, values=values)
        run.notes += opened.notes
        data = decode_source(kind, opened, trainer.sample_shape, trainer.processes)
    run.notes += data.notes
    return data


def _kind_of(trainer: Trainer) -> Kind:
    """Return the kind of the architecture that has this configuration, before any network is built."""
    architecture = manager().architecture_with(type(trainer.config))
    return kind_of(architecture) if architecture is not None else kind_named("image")
