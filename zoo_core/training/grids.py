"""Sample grids: what the generator makes during training, in pictures, and the warning when it has collapsed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import printable
from zoo_core.interfaces import Generator, Settings
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.pictures import save_png, to_uint8
from zoo_core.kinds.showing import picture_of
from zoo_core.runtime.processes import Processes
from zoo_core.training.log import RunLog
from zoo_core.training.remedies import remedies
from zoo_core.training.run_folder import RunFolder

GRID_SAMPLES = 64
GRID_ROWS, GRID_COLUMNS = 8, 16  # for a conditional model: one column for each class, up to GRID_COLUMNS
_ALIKE = 1e-3  # of the range of all values: samples that differ by less are the same


def write_sample_grid(
    generator: Generator, settings: Settings, run: RunFolder, step: int, log: RunLog, processes: Processes
) -> None:
    """Write a picture of samples, if their kind has one, and warn if the generator has collapsed: all are the same."""
    if not processes.first:
        return
    samples = grid_samples(generator, settings.seed)
    shown = picture_of(samples, generator, columns=_columns(generator))
    if shown is not None:
        save_png(shown, run.sample_grid(step))
        log.show(shown)
    if _are_the_same(samples, generator):
        what_to_try = remedies(settings, "another seed", "a lower learning_rate")
        noun = printable(kind_named(generator.kind).noun[0], 40)
        log.report("collapse", f"all samples are the same {noun}: the generator has collapsed; try {what_to_try}")


def save_grid(generator: Generator, seed: int, path: Path) -> bool:
    """Write a picture of samples of a seed as a PNG; return whether their kind has one."""
    shown = picture_of(grid_samples(generator, seed), generator, columns=_columns(generator))
    if shown is not None:
        save_png(shown, path)
    return shown is not None


def grid_samples(generator: Generator, seed: int) -> Tensor:
    """Return the samples of a grid, (N, *sample_shape); for a conditional model, one column shows one class."""
    columns = _columns(generator)
    if columns is None:
        return generator.sample(GRID_SAMPLES, seed=seed)
    labels = torch.arange(columns).repeat(GRID_ROWS)
    return generator.sample(len(labels), seed=seed, labels=labels)


def _are_the_same(samples: Tensor, generator: Generator) -> bool:
    """Whether samples are alike to the eye: pictures in 8 bits, codes exactly, other values as far as they range."""
    values = to_uint8(samples) if generator.kind == "image" else samples.numpy()
    if values.dtype.kind == "c":
        values = np.stack([values.real, values.imag], axis=-1)
    apart = np.ptp(values.astype(np.float64), axis=0).max(initial=0)
    if generator.kind == "image":
        return bool(apart <= 1)
    if values.dtype.kind != "f":
        return bool(apart == 0)
    return bool(apart <= _ALIKE * np.ptp(values.astype(np.float64)))


def _columns(generator: Generator) -> int | None:
    return min(generator.num_classes, GRID_COLUMNS) if generator.num_classes is not None else None
