"""Probes of `log_prob`: data as it takes them, and different samples whose probabilities add up to 1 at most."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.interfaces import Generator
from zoo_core.metrics.likelihood import is_discrete
from zoo_core.testing.architecture_under_test import alphabet_of

_MOST_CHARACTERS = 256
_LEVELS = 255  # of a pixel, besides black


def measurable(generator: Generator, x: Tensor) -> Tensor:
    """Return samples (N, *sample_shape) in the model's range with the values that `zoo eval` measures.

    Pixels have one of 256 levels, or are black or white, where the likelihood is that of such pixels.
    """
    if generator.kind != "image" or not is_discrete(generator):
        return x
    levels = 1 if getattr(generator, "binary", False) else _LEVELS
    return generator.from_unit((generator.to_unit(x).clamp(0, 1) * levels).round() / levels)


def log_prob(generator: Generator, x: Tensor, labels: Tensor | None) -> Tensor:
    """Return what `log_prob` does, without gradients."""
    with torch.no_grad():
        found: Tensor = generator.log_prob(x, *(() if labels is None else (labels,)))
    return found


def distinct(generator: Generator, x: Tensor) -> Tensor:
    """Return samples (n, *sample_shape) no two of which are the same: those of x, or texts of up to one character.

    Of all texts these are the most probable, so that averaged logarithms would add up to more than 1.
    """
    alphabet = alphabet_of(generator) if generator.kind == "text" else None
    if not alphabet:
        of_data: Tensor = torch.unique(x, dim=0)
        return of_data
    texts = torch.zeros(min(len(alphabet), _MOST_CHARACTERS) + 1, *generator.sample_shape, dtype=torch.int64)
    texts[:, 0] = torch.arange(len(texts))
    return texts
