"""Sample grids: pictures from the generator during training, and the warning when it has collapsed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from zoo_core.interfaces import Generator, Settings
from zoo_core.kinds.pictures import grid, save_png, to_uint8
from zoo_core.runtime.processes import Processes
from zoo_core.training.log import RunLog
from zoo_core.training.remedies import remedies

GRID_SAMPLES = 64
GRID_ROWS, GRID_COLUMNS = 8, 16  # for a conditional model: one column for each class, up to GRID_COLUMNS


def write_sample_grid(generator: Generator, settings: Settings, path: Path, log: RunLog, processes: Processes) -> None:
    """Write a grid of samples, and warn if the generator has collapsed: all samples are the same picture."""
    if not processes.first:
        return
    pictures = grid_samples(generator, settings.seed)
    shown = grid(pictures, _columns(generator))
    save_png(shown, path)
    log.show(shown)
    if np.ptp(pictures.astype(np.int16), axis=0).max() <= 1:
        what_to_try = remedies(settings, "another seed", "a lower learning_rate")
        log.report("collapse", f"all samples are the same picture: the generator has collapsed; try {what_to_try}")


def save_grid(pictures: np.ndarray, generator: Generator, path: Path) -> None:
    """Write pictures (N, H, W, C) uint8 as one PNG."""
    save_png(grid(pictures, _columns(generator)), path)


def grid_samples(generator: Generator, seed: int) -> np.ndarray:
    """Return the samples of a grid, (N, H, W, C) uint8; for a conditional model, one column shows one class."""
    columns = _columns(generator)
    if columns is None:
        return to_uint8(generator.sample(GRID_SAMPLES, seed=seed))
    labels = torch.arange(columns).repeat(GRID_ROWS)
    return to_uint8(generator.sample(len(labels), seed=seed, labels=labels))


def _columns(generator: Generator) -> int | None:
    return min(generator.num_classes, GRID_COLUMNS) if generator.num_classes is not None else None
