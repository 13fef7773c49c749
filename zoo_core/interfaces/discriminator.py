"""Discriminator: the network of a GAN that tells real samples from generated ones."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from zoo_core.interfaces.config import ModelConfig


class Discriminator(nn.Module, ABC):
    """Tells real samples from generated ones. A subclass implements `forward`.

    Args:
        config: the configuration to build it from, kept as `self.config`; the same as the generator's.

    Example:
        >>> import torch
        >>> class Brightness(Discriminator):
        ...     def forward(self, x, labels=None):
        ...         return x.flatten(1).mean(1)
        >>> discriminator = Brightness()
        >>> discriminator(torch.ones(3, 1, 8, 8))
        tensor([1., 1., 1.])
    """

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        if config is not None:
            self.config = config

    @abstractmethod
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit per sample: positive where it looks real. Losses expect logits, never probabilities.

        Args:
            x: samples (N, *sample_shape) in the model's range.
            labels: class indices (N,), int64, for a conditional model; None otherwise.

        Returns:
            (N,), unbounded.

        Example:
            >>> discriminator(torch.zeros(2, 1, 8, 8)).shape
            torch.Size([2])
        """
