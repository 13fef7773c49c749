"""Inputs of a measurement: a generator, and data of the same kind and shape as its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch

from zoo_core.data import decoding
from zoo_core.data.from_memory import from_memory
from zoo_core.data.splits import TRAIN, split_of
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import InterfaceError, MetricError, PluginError, printable
from zoo_core.files.paths import user_path
from zoo_core.interfaces import Generator
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.reading import decode_source, open_source, read_by_trainer
from zoo_core.metrics.reporting import Tell, no_message
from zoo_core.models import load
from zoo_core.plugins import manager
from zoo_core.runtime.devices import device_of_process


def load_generator(model: str | Path | Generator, device: str) -> Generator:
    """Return the generator given, or load the one with that name or folder onto a device."""
    if isinstance(model, Generator):
        return model
    return load(model, device=device_of_process(device))


def picture_shape(generator: Generator) -> tuple[int, int, int]:
    """Return the shape of a generator's pictures, (channels, height, width). Raises MetricError for other samples."""
    shape = decoding.picture_shape(generator.kind, generator.sample_shape)
    if shape is None:
        raise MetricError(
            f"{type(generator).__qualname__} makes samples of {tuple(generator.sample_shape)}, not pictures; "
            "which is what its kind, image, stands for"
        )
    return shape


def open_data(
    data: object,
    generator: Generator,
    split: str = TRAIN,
    tell: Tell = no_message,
    *,
    skip_damaged: bool = False,
) -> TrainingData | Path:
    """Return the data as samples of a model's kind and shape, or the path of a file of statistics.

    They are read as for training: by the trainer of the model's architecture where it has a `read_data` of its own,
    else by the kind of samples. Pictures are converted to what the model makes, grey or colour, and `tell` says so.

    Args:
        data: what `zoo train --data` takes, a .safetensors file of statistics, or what `Trainer.fit` takes.
        generator: the model; data is read with the values of its configuration.
        split: part of the data set.
        skip_damaged: leave out what cannot be decoded.

    Raises:
        DataError: if the data cannot be read.
        MetricError: for training data of another shape, or that is in colour where the model is grey, or the reverse.
    """
    shape = picture_shape(generator) if generator.kind == "image" else tuple(generator.sample_shape)
    if isinstance(data, (str, Path)):
        if Path(data).suffix == ".safetensors":
            return user_path(data)
        data = _read(data, generator, split, tell, skip_damaged)
    elif not isinstance(data, TrainingData):
        data = from_memory(data, shape)
    if generator.kind == "image":
        _check_channels(data.name, data.sample_shape[0] if len(data.sample_shape) == 3 else 0, shape[0])
        if data.sample_shape != shape or data.samples.dtype != torch.uint8:
            raise MetricError(
                f"{printable(data.name)} has samples of {data.sample_shape}, not 8-bit pictures of {shape}"
            )
    elif data.sample_shape != shape:
        raise MetricError(f"{printable(data.name)} has samples of {data.sample_shape}, but the model makes {shape}")
    return data


def _read(source: str | Path, generator: Generator, split: str, tell: Tell, skip_damaged: bool) -> TrainingData:
    kind, values = kind_named(generator.kind), _values_of(generator)
    data = _read_by_trainer(source, generator, split, values)
    if data is None:
        opened = open_source(kind, source, values=values, split=split, skip_damaged=skip_damaged)
        for note in opened.notes:
            tell(note)
        data = decode_source(kind, opened, tuple(generator.sample_shape))
    for note in data.notes:
        tell(note)
    return data


def _values_of(generator: Generator) -> dict[str, Any]:
    """Return the values of the model's configuration, and what it states of its samples beside them."""
    try:
        values = msgspec.structs.asdict(generator.config)
    except InterfaceError:  # a generator that was made by hand may have none
        values = {}
    stated = {name: getattr(generator, name, None) for name in ("sample_rate", "alphabet")}
    return values | {name: value for name, value in stated.items() if value is not None}


def _read_by_trainer(
    source: str | Path, generator: Generator, split: str, values: dict[str, Any]
) -> TrainingData | None:
    """Return the data as the trainer of the model's architecture reads it; None where the kind reads it."""
    try:
        architecture, _ = manager().architecture_of(type(generator))
    except PluginError:  # a generator that no plugin registers
        return None
    trainer = architecture.trainer_class()
    if trainer is None or (data := read_by_trainer(trainer, source, architecture.config_class(), values)) is None:
        return None
    if split_of(split) != TRAIN:
        raise MetricError(f"{trainer.__qualname__}.read_data reads data without splits; leave out the split {split!r}")
    return data


def _check_channels(name: str, of_data: int, of_model: int) -> None:
    kind = {1: "grey", 3: "in colour"}
    if of_data != of_model and of_data in kind:
        raise MetricError(
            f"{printable(name)} is {kind[of_data]} and the model's pictures are {kind[of_model]}: "
            "a distance between them would measure that alone"
        )


def require_samples(source: TrainingData | Path, metric: str) -> TrainingData:
    """Return the data unless it is a file of statistics. Raises MetricError."""
    if isinstance(source, Path):
        raise MetricError(
            f"{metric} needs the samples of the data, and {printable(source)} is a file of statistics; "
            "pass the data set itself"
        )
    return source
