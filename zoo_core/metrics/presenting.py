"""Samples and data as feature extractors take them: what is measured is what a user gets."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, printable
from zoo_core.interfaces import Generator
from zoo_core.interfaces.names import canonical_name
from zoo_core.kinds.audio import sample_rate_of
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.pictures import to_uint8


def samples_to_measure(generator: Generator, batch: Tensor) -> Tensor:
    """Return samples, as `Generator.sample` returns them, as extractors take them.

    Pictures are the 8-bit ones that would be saved, (N, C, H, W) uint8; sounds are cut off at ±1; all else is as it is.
    """
    kind = canonical_name(generator.kind)
    if kind == "image":
        return torch.from_numpy(to_uint8(batch)).permute(0, 3, 1, 2)
    return batch.float().clamp(-1, 1) if kind == "audio" else batch


def data_to_measure(generator: Generator, samples: Tensor) -> Tensor:
    """Return samples of a data set, (N, *sample_shape) as TrainingData has them, as extractors take them."""
    if canonical_name(generator.kind) == "image":
        return samples
    return samples_to_measure(generator, kind_named(generator.kind).to_public(samples, generator))


def sample_rate(generator: Generator) -> int | None:
    """Return the rate of a generator's sounds in Hz; None for any other kind.

    Raises:
        InterfaceError: for a generator of sounds that states none.
    """
    return sample_rate_of(generator) if canonical_name(generator.kind) == "audio" else None


def check_values(generator: Generator, data: TrainingData) -> None:
    """Raise MetricError for sounds that are no floating values or of another rate, and texts that are no codes."""
    kind, samples, name = canonical_name(generator.kind), data.samples, printable(data.name, 80)
    if kind == "audio" and not samples.is_floating_point():
        raise MetricError(f"{name} has {samples.dtype}; sounds are floating values in [-1, 1]")
    if kind == "text" and samples.dtype != torch.int64:
        raise MetricError(f"{name} has {samples.dtype}; texts are codes, int64")
    rate, own = data.values.get("sample_rate"), sample_rate(generator)
    if own is not None and rate is not None and rate != own:
        raise MetricError(
            f"{name} has sounds of {rate:,} Hz, and the model's are of {own:,} Hz: "
            "a distance between them would measure that alone"
        )
