"""Small runs of the contract's tests: a trainer on one batch, through all its stages, and what it changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.data.training_data import TrainingData
from zoo_core.interfaces import Batch, Discriminator, Encoder, Generator, Stage, Trainer
from zoo_core.testing.architecture_under_test import COUNT, encode
from zoo_core.testing.expectation import violation
from zoo_core.testing.probes import forward
from zoo_core.training.batches import BatchStream
from zoo_core.training.figures import checked_figures
from zoo_core.training.loop import batch_stream, train_one_step
from zoo_core.training.stages import PlannedStage, Stages, planned_stages


class SmallRun:
    """A run of a built trainer on one batch, whose stages begin where they do in `Trainer.fit`."""

    def __init__(self, trainer: Trainer, stages: Stages, batch: Batch) -> None:
        self.trainer, self.batch, self._stages = trainer, batch, stages
        self._data = TrainingData.from_tensors(batch.samples, batch.labels)
        self._stream = self._of_stage()
        self._frozen = _frozen_by_stages(trainer) if stages.planned else set()

    def train(self, steps: int, *, same_draws: bool = False) -> dict[str, list[float]]:
        """Take steps; return what each figure was, by name.

        Args:
            same_draws: whether every step draws the same random numbers, so that a loss falls as on one batch of noise.
        """
        history: dict[str, list[float]] = {}
        for _ in range(steps):
            if same_draws:
                torch.manual_seed(self.trainer.settings.seed)
            if self._stages.at_end and not self._stages.in_last:
                self._stages.proceed(None)
                self._stream = self._of_stage()
            for name, value in self._step().items():
                history.setdefault(name, []).append(float(value))
        return history

    def train_stage(self) -> dict[str, list[float]]:
        """Take the steps of the next stage, or of all the run."""
        ends = [planned.end for planned in self._stages.planned if planned.end > self.trainer.step]
        return self.train(min(ends, default=self.trainer.settings.steps) - self.trainer.step)

    @property
    def planned(self) -> list[PlannedStage]:
        """The stages with their places; empty for a run without stages."""
        return self._stages.planned

    def state(self) -> dict[str, Tensor]:
        """Return a copy of every parameter and buffer by name."""
        return {name: tensor.detach().clone() for name, tensor in _tensors(self.trainer.modules)}

    def named(self, stage: Stage) -> set[str]:
        """Return the names of the tensors that a stage trains: all of them, if it names none."""
        names = [name for name, _ in _tensors(self.trainer.modules)]
        roots = [root for part in stage.trained for root in (f"{part}.", f"generator.{part}.")]
        return {name for name in names if not roots or f"{name}.".startswith(tuple(roots))}

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that the run is there to train, whatever the present stage does."""
        for network, module in self.trainer.modules.items():
            for name, parameter in module.named_parameters():
                if parameter.requires_grad or f"{network}.{name}" in self._frozen:
                    yield f"{network}.{name}", parameter

    def _step(self) -> dict[str, Tensor | float]:
        if self._stream is not None:
            return train_one_step(self.trainer, self._stream)
        figures = checked_figures(self.trainer, self.trainer.training_step(self.batch))
        self.trainer.step += 1
        return figures

    def _of_stage(self) -> BatchStream | None:
        """The batches of the present stage; None in a run without stages, which always takes the one batch."""
        return batch_stream(self.trainer, self._stages.data(self._data)) if self._stages.planned else None


def expected_stages(trainer: Trainer, when: str) -> list[PlannedStage]:
    """Return the stages of a trainer with their places. Raises ContractError if they cannot be those of its run.

    Args:
        when: with which settings, for the message.
    """
    try:
        return planned_stages(trainer)
    except Exception as error:  # whatever the plugin raises
        raise violation(
            f"{type(trainer).__qualname__}.stages divides the steps of the run {when}",
            "`zoo train` must run without any setting, and with any `steps` that are enough for every stage",
            "let one stage leave its steps out, give Settings defaults that leave it some, and raise `steps` in "
            "`settings` of the test",
            error,
        ) from error


def _tensors(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for network, module in modules.items():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            yield f"{network}.{name}", tensor


def _trainable(modules: Mapping[str, nn.Module]) -> set[str]:
    return {name for name, tensor in _tensors(modules) if tensor.requires_grad}


def _frozen_by_stages(trainer: Trainer) -> set[str]:
    """Names of parameters that have a gradient when the trainer has just been built, and none in its first stage."""
    with torch.random.fork_rng(devices=[]):
        built = type(trainer)(trainer.config, trainer.settings, trainer.sample_shape)
        built.build()
    return _trainable(built.modules) - _trainable(trainer.modules)


def untouched(run: SmallRun, steps: int) -> list[str]:
    """Return the names of the parameters that training leaves as they were, or an empty list once all have changed.

    A parameter that an optimizer steps with a gradient of zero counts as touched if its network's output depends on it:
    the last bias of a Wasserstein critic shifts all its logits alike, so that no difference of them depends on it.
    """
    at_first: dict[str, Tensor] = {}
    left: dict[str, nn.Parameter] = {}
    stepped: set[int] = set()
    trainer = run.trainer
    for _ in range(steps):
        for name, parameter in run.trainable():  # again in every step: a trainer may add layers
            if name not in at_first:
                at_first[name], left[name] = parameter.detach().clone(), parameter
        with _noted(trainer, stepped):
            run.train(1)
        left = {name: parameter for name, parameter in left.items() if torch.equal(parameter, at_first[name])}
        if not left:
            break
    return [
        name
        for name, parameter in left.items()
        if not (id(parameter) in stepped and _shows(trainer.modules[name.partition(".")[0]], parameter, run.batch))
    ]


@contextlib.contextmanager
def _noted(trainer: Trainer, stepped: set[int]) -> Iterator[None]:
    """Note in the block which parameters are stepped."""
    hooks = [optimizer.register_step_pre_hook(_noting(stepped)) for optimizer in trainer.optimizers.values()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _noting(stepped: set[int]) -> Callable[..., None]:
    """A hook that notes the parameters that have a gradient when an optimizer takes a step."""

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            stepped.update(id(parameter) for parameter in group["params"] if parameter.grad is not None)

    return note


def _shows(module: nn.Module, parameter: nn.Parameter, batch: Batch) -> bool:
    """Whether the output of a network changes with a parameter; taken for granted of a network of another kind."""
    if not isinstance(module, (Generator, Discriminator)):
        return True

    def output() -> list[Tensor]:
        x = batch.samples[:COUNT]
        labels = batch.labels[:COUNT] if batch.labels is not None else None
        if isinstance(module, Discriminator):
            return [module(x, labels)]
        codes = encode(module, x, labels)[0] if isinstance(module, Encoder) else x
        return [forward(module), codes]

    was_training = module.training
    module.eval()
    with torch.no_grad():
        before = output()
        parameter.add_(1.0)
        after = output()
        parameter.sub_(1.0)
    module.train(was_training)
    return any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
