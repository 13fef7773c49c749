"""Settings: how one training run goes, whatever the architecture."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta

from zoo_core.interfaces.config import ModelConfig
from zoo_core.runtime.precision import Precision

Compile = Literal["auto", "on", "off"]
Schedule = Literal["constant", "linear", "cosine"]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=0)]


class Settings(ModelConfig, frozen=True):
    """What every trainer needs to know. A plugin subclasses it to add fields of its own.

    Args:
        steps: training steps of the whole run.
        batch_size: samples a step, over all processes together.
        learning_rate: Adam's step size.
        betas: Adam's decay rates of the first and second moment.
        schedule: of the learning rate: constant, or linear or cosine down to 0 at the last step.
        warmup_steps: over which the learning rate rises from 0 first.
        gradient_clip: largest norm of a network's gradient; a longer one is shortened to it. 0: any.
        seed: of the weights, the order of the data and the noise, 0 to 2^63 - 1.
        loss: the objective, by a name that the trainer knows.
        precision: auto is fp32 on a CPU and, where the card has it, bf16 on CUDA.
        compile: whether torch.compile translates the networks; auto: where that pays back within the run.
        device: auto is CUDA, then Apple's MPS, then the CPU.
        ema_decay: of the moving average of the weights that is saved and sampled; 0 turns it off.
        horizontal_flip: show half of the pictures, chosen anew each time, as in a mirror.
        checkpoint_every: steps between checkpoints; 0: only at the end or when interrupted.
        keep_checkpoints: how many of the newest stay.
        best_figure: the checkpoint at which this figure of the log was lowest stays too; empty: none.
        sample_every: steps between sample grids; 0: never.
        trackers: where figures go besides the log, by accelerate's names: tensorboard, wandb and others.
    """

    steps: Annotated[int, Meta(ge=1)] = 20_000
    batch_size: Annotated[int, Meta(ge=1)] = 64
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Schedule = "constant"
    warmup_steps: Count = 0
    gradient_clip: Annotated[float, Meta(ge=0)] = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    loss: str = "default"
    precision: Precision = "auto"
    compile: Compile = "auto"
    device: str = "auto"
    ema_decay: Fraction = 0.999
    horizontal_flip: bool = False
    checkpoint_every: Count = 1000
    keep_checkpoints: Annotated[int, Meta(ge=1)] = 2
    best_figure: str = ""
    sample_every: Count = 1000
    trackers: tuple[str, ...] = ()

    def learning_rate_factor(self, step: int) -> float:
        """By what the learning rate is multiplied in the step after `step` steps: in [0, 1].

        It rises in equal parts over `warmup_steps`, then follows `schedule` down to 0 at `steps`
        (cosine: arXiv 1608.03983, one cycle).
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return 1 - done if self.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
