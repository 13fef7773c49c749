"""Inputs of a measurement: a generator of pictures, and data of the same shape as its samples."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo_core.data import decoding
from zoo_core.data.from_memory import from_memory
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, printable
from zoo_core.files.paths import user_path
from zoo_core.interfaces import Generator
from zoo_core.metrics.reporting import Tell, no_message
from zoo_core.models import load
from zoo_core.runtime.devices import device_of_process


def load_generator(model: str | Path | Generator, device: str) -> Generator:
    """Return the generator given, or load the one with that name or folder onto a device."""
    if isinstance(model, Generator):
        return model
    return load(model, device=device_of_process(device))


def picture_shape(generator: Generator) -> tuple[int, int, int]:
    """Return the shape of a generator's pictures, (channels, size, size). Raises MetricError for other samples."""
    shape = decoding.picture_shape(generator.kind, generator.sample_shape)
    if shape is None:
        raise MetricError(
            f"{type(generator).__qualname__} makes samples of {tuple(generator.sample_shape)}, not square pictures; "
            "metrics are defined for square pictures only"
        )
    return shape


def open_data(
    data: object,
    shape: tuple[int, int, int],
    split: str = "train",
    tell: Tell = no_message,
    *,
    skip_damaged: bool = False,
) -> TrainingData | Path:
    """Return the data as pictures of a model's shape, or the path of a file of statistics.

    Pictures are converted to what the model makes, grey or colour, as they are for training, and `tell` says so.

    Args:
        data: what `zoo train --data` takes, a .safetensors file of statistics, or what `Trainer.fit` takes.
        shape: (channels, size, size) of the model's pictures.
        skip_damaged: leave out pictures that cannot be decoded.

    Raises:
        DataError: if the data cannot be read.
        MetricError: for training data of another shape, or that is in colour where the model is grey, or the reverse.
    """
    if not isinstance(data, (str, Path, TrainingData)):
        data = from_memory(data, shape)
    if not isinstance(data, TrainingData):
        if Path(data).suffix == ".safetensors":
            return user_path(data)
        images = open_images(data, split=split, skip_damaged=skip_damaged)
        for note in images.notes:
            tell(note)
        data = images.decode(shape[0], shape[1])
        for note in data.notes:
            tell(note)
    _check_channels(data.name, data.sample_shape[0] if len(data.sample_shape) == 3 else 0, shape[0])
    if data.sample_shape != shape or data.samples.dtype != torch.uint8:
        raise MetricError(f"{printable(data.name)} has samples of {data.sample_shape}, not 8-bit pictures of {shape}")
    return data


def _check_channels(name: str, of_data: int, of_model: int) -> None:
    kind = {1: "grey", 3: "in colour"}
    if of_data != of_model and of_data in kind:
        raise MetricError(
            f"{printable(name)} is {kind[of_data]} and the model's pictures are {kind[of_model]}: "
            "a distance between them would measure that alone"
        )


def require_pictures(source: TrainingData | Path, metric: str) -> TrainingData:
    """Return the data unless it is a file of statistics. Raises MetricError."""
    if isinstance(source, Path):
        raise MetricError(
            f"{metric} needs the pictures of the data, and {printable(source)} is a file of statistics; "
            "pass the data set itself"
        )
    return source
