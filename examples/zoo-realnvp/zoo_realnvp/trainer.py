"""Training of RealNVP: maximum likelihood with Adam."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from zoo_core import Batch, Settings, Trainer

from zoo_realnvp.model import RealNVP, RealNVPConfig


class RealNVPSettings(Settings, frozen=True):
    """Settings of a RealNVP run: those of the paper, plus gradient clipping, which stabilises the first steps.

    Args:
        learning_rate: Adam's step size.
        gradient_clip: maximum norm of the gradient.
    """

    learning_rate: Annotated[float, Meta(gt=0)] = 1e-3
    gradient_clip: Annotated[float, Meta(ge=0)] = 10.0


class RealNVPTrainer(Trainer):
    """Trainer that minimises the bits per dimension (arXiv 1605.08803, section 4.1)."""

    Settings: ClassVar[type[Settings]] = RealNVPSettings
    config: RealNVPConfig

    def build(self) -> None:
        flow = RealNVP(self.config)
        self.modules = {"generator": flow}
        self.optimizers = {"generator": self.adam(flow)}
        self._bits_per_dimension = flow.bits_per_dimension

    def compile(self) -> None:
        """Compile the whole loss, which is what a step calls."""
        self._bits_per_dimension = self.compiled("bits_per_dimension", self._bits_per_dimension)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        noise = self.draw(torch.rand, *batch.samples.shape)
        loss = self._bits_per_dimension(batch.samples, noise).mean()
        self.update("generator", loss)
        return {"loss": loss.detach()}
