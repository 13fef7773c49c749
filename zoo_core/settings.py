"""Settings: how one training run goes, whatever the architecture."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from zoo_core.architecture import ModelConfig

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


class Settings(ModelConfig, frozen=True):
    """What every trainer needs to know. A plugin subclasses it to add fields of its own.

    Args:
        steps: training steps (batches) of the whole run.
        batch_size: samples a step.
        learning_rate: Adam's step size.
        betas: Adam's decay rates of the first and second moment.
        seed: of the weights, the order of the data and the noise, 0 to 2^63 - 1.
        loss: the objective, by a name that the trainer knows.
        precision: auto is fp32 on a CPU and, where the card has it, bf16 on CUDA.
        device: auto is CUDA, then Apple's MPS, then the CPU.
        ema_decay: of the moving average of the weights that is saved and sampled; 0 turns it off.
        checkpoint_every: steps between checkpoints; 0: only at the end or when interrupted.
        sample_every: steps between sample grids; 0: never.
    """

    steps: Annotated[int, Meta(ge=1)] = 20_000
    batch_size: Annotated[int, Meta(ge=1)] = 64
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    loss: str = "default"
    precision: Precision = "auto"
    device: str = "auto"
    ema_decay: Fraction = 0.999
    checkpoint_every: Annotated[int, Meta(ge=0)] = 1000
    sample_every: Annotated[int, Meta(ge=0)] = 1000
