"""The conditions of a measurement: everything besides model and data that decides a figure. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from zoo_core.errors import MetricError

# What is done to grey values for a likelihood of binary pixels: each pixel drawn again for every seed, drawn once for
# all seeds, or left alone.
Binarization = Literal["dynamic", "static", "none"]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, how often, and in which features; two figures compare only if these are equal.

    Args:
        samples: number of samples; for a likelihood, the largest number of samples of the data.
        seed: seed of the first draw; draw r, from 0, uses seed + r.
        repeats: number of draws; with two or more, figures carry their standard deviation between draws.
        split: split of the data.
        extractor: name of the feature extractor; None for the one of the kind of samples.
        extractor_weights: weights file, for an extractor that does not bundle one.
        importance_samples: k of iwae.
        binarization: how pixels are made binary for elbo, iwae and nll; None for what fits the model's likelihood.
        options: the options for sampling that differ from the model's own, by name.

    Raises:
        MetricError: for fewer than 2 samples or 1 repeat.

    Example:
        >>> Conditions(samples=500, seed=3).split
        'train'
        >>> Conditions(samples=1)
        Traceback (most recent call last):
        zoo_core.errors.MetricError: at least 2 samples and 1 repeat are needed, not 1 and 1
    """

    samples: int = 10_000
    seed: int = 0
    repeats: int = 1
    split: str = "train"
    extractor: str | None = None
    extractor_weights: str | Path | None = None
    importance_samples: int = 50
    binarization: Binarization | None = None
    options: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.samples < 2 or self.repeats < 1:
            raise MetricError(f"at least 2 samples and 1 repeat are needed, not {self.samples} and {self.repeats}")


DEFAULTS = Conditions()
