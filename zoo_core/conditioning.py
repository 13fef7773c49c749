"""Labels as inputs of a network: one-hot codes appended to its features (conditional GAN, arXiv 1411.1784)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.errors import InterfaceError


def append_one_hot(features: Tensor, labels: Tensor | None, num_classes: int | None) -> Tensor:
    """Append the one-hot code of each label to its features; return them unchanged if `num_classes` is None.

    Args:
        features: (N, F).
        labels: (N,) class indices, int64, from 0 to num_classes - 1.
        num_classes: how many classes there are; None for an unconditional model.

    Returns:
        (N, F + num_classes), in the type of `features`.

    Raises:
        InterfaceError: if a conditional model is given no labels.

    Example:
        >>> append_one_hot(torch.tensor([[0.5, 0.5]]), torch.tensor([2]), num_classes=3)
        tensor([[0.5000, 0.5000, 0.0000, 0.0000, 1.0000]])
    """
    if num_classes is None:
        return features
    # Not len, which is a number: torch.export would take the batch of its example for the only one.
    code = features.new_zeros(features.shape[0], num_classes).scatter_(1, require_labels(labels)[:, None], 1)
    return torch.cat([features, code], 1)


def require_labels(labels: Tensor | None) -> Tensor:
    """Return the labels; raise InterfaceError if there are none.

    Example:
        >>> require_labels(None)
        Traceback (most recent call last):
        zoo_core.errors.InterfaceError: a conditional model needs labels: (N,) class indices, int64
    """
    if labels is None:
        raise InterfaceError("a conditional model needs labels: (N,) class indices, int64")
    return labels
