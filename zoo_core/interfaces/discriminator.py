"""Discriminator, which tells real samples from generated ones."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from zoo_core.interfaces.config import ModelConfig


class Discriminator(nn.Module, ABC):
    """Tells real samples from generated ones."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        if config is not None:
            self.config = config

    @abstractmethod
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (N,), never probabilities, for samples (N, *sample_shape) in the model's range."""
