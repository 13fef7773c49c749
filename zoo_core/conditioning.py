"""How a label reaches a network: as one-hot numbers beside its input (conditional GAN, arXiv 1411.1784)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.errors import InterfaceError


def append_one_hot(features: Tensor, labels: Tensor | None, num_classes: int | None) -> Tensor:
    """The features with the label's one-hot code behind them; unchanged where `num_classes` is None.

    Args:
        features: (N, F).
        labels: (N,) class indices, int64, from 0 to num_classes - 1.

    Returns:
        (N, F + num_classes), in the type of `features`.

    Raises:
        InterfaceError: where a conditional model is given no labels.
    """
    if num_classes is None:
        return features
    code = features.new_zeros(len(features), num_classes).scatter_(1, require_labels(labels)[:, None], 1)
    return torch.cat([features, code], 1)


def require_labels(labels: Tensor | None) -> Tensor:
    """The labels; raises InterfaceError where there are none."""
    if labels is None:
        raise InterfaceError("a conditional model needs labels: (N,) class indices, int64")
    return labels
