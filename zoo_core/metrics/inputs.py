"""Inputs of a measurement: a generator of pictures, and data of the same shape as its samples."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo_core.data import decoding
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
    data: str | Path | TrainingData,
    shape: tuple[int, int, int],
    split: str = "train",
    tell: Tell = no_message,
) -> TrainingData | Path:
    """Return the data as pictures of a model's shape, or the path of a file of statistics.

    Args:
        data: what `zoo train --data` takes, a .safetensors file of statistics, or training data.
        shape: (channels, size, size) of the model's pictures.

    Raises:
        DataError: if the data cannot be read.
        MetricError: if the data is in colour and the model grey, or the reverse; or for samples of another shape.
    """
    if not isinstance(data, TrainingData):
        if Path(data).suffix == ".safetensors":
            return user_path(data)
        images = open_images(data, split=split)
        _check_channels(images.name, images.shape[0], shape[0])
        data = images.decode(shape[0], shape[1])
        for note in data.notes:
            tell(note)
    _check_channels(data.name, data.sample_shape[0], shape[0])
    if data.sample_shape != shape or data.samples.dtype != torch.uint8:
        raise MetricError(f"{printable(data.name)} has samples of {data.sample_shape}, not 8-bit pictures of {shape}")
    return data


def _check_channels(name: str, of_data: int, of_model: int) -> None:
    if of_data != of_model:
        kind = {1: "grey", 3: "in colour"}
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
