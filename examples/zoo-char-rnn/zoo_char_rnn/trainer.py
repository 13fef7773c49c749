"""Training of char-rnn: maximum likelihood with Adam."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F
from zoo_core import Batch, Settings, Trainer

from zoo_char_rnn.model import CharRNN, CharRNNConfig, counted


class CharRNNSettings(Settings, frozen=True):
    """Settings of a run, beside those of every run.

    Args:
        steps: training steps in the whole run.
        batch_size: texts per step.
        learning_rate: step size of Adam.
        gradient_clip: largest norm of the gradient, which recurrent networks need.
    """

    steps: Annotated[int, Meta(ge=1)] = 5000
    batch_size: Annotated[int, Meta(ge=1)] = 128
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-3
    gradient_clip: Annotated[float, Meta(ge=0)] = 1.0


class CharRNNTrainer(Trainer):
    """Minimises the bits per character, that of the end included."""

    Settings: ClassVar[type[Settings]] = CharRNNSettings
    config: CharRNNConfig

    def build(self) -> None:
        model = CharRNN(self.config)
        self.modules = {"generator": model}
        self.optimizers = {"generator": self.adam(model)}
        self._logits = model.logits

    def compile(self) -> None:
        """Compile the logits, which are what a step calls."""
        self._logits = self.compiled("logits", self._logits)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.samples
        nats = F.cross_entropy(self._logits(x).float().transpose(1, 2), x, reduction="none")
        used = counted(x)
        loss = (nats * used).sum() / used.sum()
        self.update("generator", loss)
        return {"loss": loss.detach() / math.log(2)}
