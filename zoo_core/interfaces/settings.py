"""Settings: how one training run is carried out, whatever the architecture."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from zoo_core.interfaces.config import Config
from zoo_core.interfaces.schedules import SCHEDULES, Schedule
from zoo_core.runtime.precision import Precision

Compile = Literal["auto", "on", "off"]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=0)]


class Settings(Config, frozen=True):
    """The settings that every trainer has. A plugin subclasses it to add its own.

    Values are validated as those of a ModelConfig are, but settings describe the run and not the model.

    Args:
        steps: training steps in the whole run.
        batch_size: samples per step, over all processes together.
        learning_rate: step size of Adam.
        betas: decay rates of Adam's first and second moment.
        schedule: course of the learning rate: constant, or linear or cosine down to 0 at the last step.
        warmup_steps: steps over which the learning rate first rises from 0.
        gradient_clip: largest norm of a network's gradient; a longer one is scaled down to it. 0: no limit.
        seed: seed for the weights, the order of the data and the noise, 0 to 2^63 - 1.
        loss: the objective, by a name that the trainer knows.
        precision: precision of the forward passes; auto: bf16 on a CUDA card that computes in it, fp32 elsewhere.
        compile: whether torch.compile compiles the networks; auto: if that saves time within the run.
        device: where to train; auto: CUDA, then Apple's MPS, then the CPU.
        ema_decay: decay of the moving average of the weights that is saved and sampled; 0 turns the average off.
        horizontal_flip: mirror a random half of the pictures, chosen again each time.
        checkpoint_every: steps between checkpoints; 0: only at the end or on interruption.
        keep_checkpoints: how many of the newest checkpoints to keep.
        best_figure: also keep the checkpoint at which this figure of the log was best: the lowest, but the highest
            precision, recall, density or coverage; empty: none.
        sample_every: steps between sample grids; 0: never.
        eval_every: steps between measurements of the averaged generator against the run's own data; 0: never.
        eval_metrics: what is then measured, by the names of `zoo eval --metric`.
        eval_samples: number of samples that each measurement draws.
        eval_extractor: feature extractor of the metrics, by the names of `zoo eval --extractor`; empty: random-vgg,
            which takes grey and colour pictures.
        trackers: where to send figures and sample grids besides the folder of the run, by accelerate's names:
            tensorboard, wandb and others. Project and run have the name of that folder.

    Attributes:
        changeable: names of the settings that a user may change when a run is resumed: those that fit any state that
            the run has reached. A subclass adds its own, `changeable = Settings.changeable | {"beta"}`.

    Example:
        >>> Settings(steps=1000, schedule="cosine").learning_rate_factor(500)
        0.5
        >>> Settings(schedule="exponential")
        Traceback (most recent call last):
        msgspec.ValidationError: Invalid enum value 'exponential' - at `$.schedule`
    """

    changeable = frozenset({"learning_rate", "betas", "gradient_clip", "precision"})

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
    eval_every: Count = 0
    eval_metrics: tuple[str, ...] = ("fid",)
    eval_samples: Annotated[int, Meta(ge=2)] = 2000
    eval_extractor: str = ""
    trackers: tuple[str, ...] = ()

    def learning_rate_factor(self, step: int) -> float:
        """Return the factor of the learning rate for the step that follows `step` finished ones, in [0, 1].

        It rises in equal parts over `warmup_steps`, then follows `schedule` until `steps`.

        Example:
            >>> [Settings(steps=8, warmup_steps=4, schedule="linear").learning_rate_factor(step) for step in range(8)]
            [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return SCHEDULES[self.schedule](progress)
