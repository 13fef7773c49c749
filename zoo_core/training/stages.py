"""The stages of a run: which steps belong to each, what each trains, and what happens between two of them.

A run goes from one stage to the next in the same way whether it was stopped there or not: after the checkpoint of the
last step, the generator takes its averaged weights, and the next stage begins.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import InterfaceError, did_you_mean, printable
from zoo_core.interfaces import Stage, Trainer
from zoo_core.runtime.random_states import random_states_kept
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.training.batches import check_batch_size
from zoo_core.training.ema import ExponentialMovingAverage

_ODD = 0xD1B54A32D192ED03  # spreads seeds of stages over all 64-bit numbers


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its place in the run: it takes the steps begin + 1 … end."""

    stage: Stage
    begin: int
    end: int

    @property
    def name(self) -> str:
        return self.stage.name

    def description(self) -> dict[str, Any]:
        """Return what run.json says of the stage."""
        trains = {"trains": list(self.stage.trained)} if self.stage.trained else {}
        return {"begin": self.begin, "steps": self.end - self.begin} | trains | self.stage.own_settings


def planned_stages(trainer: Trainer) -> list[PlannedStage]:
    """Return the stages of a trainer with their places; an empty list for a run without stages.

    Raises:
        InterfaceError: `stages` returns anything but stages, one of no steps, two of one name, or stages whose steps
            are not those of the run.
    """
    where = f"{type(trainer).__qualname__}.stages"
    stages = _returned(trainer, where)
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise InterfaceError(f"{where}: there are two stages called {name!r}; give each a name of its own")
    planned, begin = [], 0
    for stage, steps in zip(stages, _steps(stages, trainer.settings.steps, where), strict=True):
        planned.append(PlannedStage(stage, begin, begin + steps))
        begin += steps
    return planned


def _returned(trainer: Trainer, where: str) -> list[Stage]:
    try:
        returned: object = trainer.stages()
    except msgspec.ValidationError as error:
        raise InterfaceError(f"{where}, with steps={trainer.settings.steps}: {printable(error, 200)}") from error
    if isinstance(returned, (str, Stage)) or not isinstance(returned, Iterable):
        raise InterfaceError(
            f"{where} returned {printable(repr(returned), 80)}; it must return a list of zoo_core.Stage"
        )
    stages = list(returned)
    for stage in stages:
        if not isinstance(stage, Stage):
            raise InterfaceError(
                f"{where} returned a list with {printable(repr(stage), 80)}; write zoo_core.Stage(name)"
            )
    return stages


def _steps(stages: list[Stage], steps: int, where: str) -> list[int]:
    """Return the steps of each stage, which add up to those of the run."""
    if not stages:
        return []
    given = sum(stage.steps for stage in stages if stage.steps is not None)
    others = [stage.name for stage in stages if stage.steps is None]
    listed = ", ".join(f"{stage.name} {stage.steps}" for stage in stages if stage.steps is not None)
    if len(others) > 1:
        raise InterfaceError(f"{where}: {' and '.join(others)} have no steps; only one stage can take what is left")
    if others and given >= steps:
        raise InterfaceError(
            f"{where}: of steps={steps} nothing is left for the stage {others[0]!r}, after those of {listed}; "
            f"--set steps={given + 1} is the least"
        )
    if not others and given != steps:
        raise InterfaceError(
            f"{where}: the stages have {given} steps together ({listed}), and the run has steps={steps}; leave out the "
            "steps of one stage, which then takes what the others leave"
        )
    return [steps - given if stage.steps is None else stage.steps for stage in stages]


class Stages:
    """The stages of a run whose trainer is built. The first begins at once; a run without stages is left alone.

    Attributes:
        planned: the stages with their places; empty for a run without stages.

    Raises:
        InterfaceError: the stages of the trainer cannot be those of its run, or one trains what there is not.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._frozen: list[nn.Parameter] = []
        self._number = -1
        self.planned = planned_stages(trainer)
        for planned in self.planned:
            _trained(trainer, planned.stage)
        if self.planned:
            self._begin(0)

    @property
    def current(self) -> PlannedStage | None:
        """The present stage; None in a run without stages."""
        return self.planned[self._number] if self.planned else None

    @property
    def samples(self) -> bool:
        """Whether sample grids are written in the present stage."""
        return self.current is None or self.current.stage.samples

    @property
    def in_last(self) -> bool:
        """Whether no stage follows the present one."""
        return self._number == len(self.planned) - 1

    @property
    def at_end(self) -> bool:
        """Whether the last step of the present stage is done."""
        return self.current is not None and self._trainer.step == self.current.end

    def not_begun(self) -> list[str]:
        """Return the names of the stages of which no step is done."""
        return [planned.name for planned in self.planned if planned.begin >= self._trainer.step]

    def announcement(self) -> str | None:
        """Return a line that says which steps the present stage takes, and what it trains."""
        if self.current is None:
            return None
        trained = self.current.stage.trained
        what = f", which train {', '.join(trained)}" if trained else ""
        return f"stage {self.current.name}: steps {self.current.begin + 1} to {self.current.end}{what}"

    def description(self) -> dict[str, Any]:
        """Return what run.json says of the stages, by name."""
        return {planned.name: planned.description() for planned in self.planned}

    def check_batches(self, data: TrainingData) -> None:
        """Raise DataError now if a later stage could not take its batches from data of as many samples."""
        for planned in self.planned:
            batch_size = planned.stage.batch_size or self._trainer.settings.batch_size
            check_batch_size(data, batch_size, self._trainer.processes.count)

    def go_to(self, step: int) -> None:
        """Begin the stages up to that of a step, of which a checkpoint is to be restored."""
        wanted = max((number for number, planned in enumerate(self.planned) if planned.begin < step), default=0)
        if wanted < self._number:
            self._number = -1
        for number in range(self._number + 1, wanted + 1 if self.planned else 0):
            self._begin(number)

    def proceed(self, average: ExponentialMovingAverage | None) -> None:
        """Begin the next stage, if the last step of the present one is done and there is a next one."""
        if self.at_end and not self.in_last:
            if average is not None:
                self._trainer.modules["generator"].load_state_dict(average.module.state_dict())
            self._begin(self._number + 1)

    def data(self, data: TrainingData) -> TrainingData:
        """Return the data of the present stage, as the trainer makes it of that of the run."""
        trainer = self._trainer
        if trainer.step >= trainer.settings.steps or type(trainer).prepare_stage_data is Trainer.prepare_stage_data:
            return data
        with ExitStack() as stack:
            for module in trainer.modules.values():
                stack.enter_context(in_eval_mode(module))
            stack.enter_context(torch.no_grad())
            stack.enter_context(_random_numbers_of_its_own(trainer))
            prepared: object = trainer.prepare_stage_data(data)
        if not isinstance(prepared, TrainingData):
            raise InterfaceError(
                f"{type(trainer).__qualname__}.prepare_stage_data returned {printable(repr(prepared), 80)}; it must "
                "return TrainingData, as self.map_samples(data, function) does"
            )
        return prepared

    def _begin(self, number: int) -> None:
        trainer, planned = self._trainer, self.planned[number]
        self._number = number
        trainer.stage, trainer.stage_begin = planned.name, planned.begin
        trainer.stage_settings = planned.stage.settings(trainer.settings, planned.end - planned.begin)
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []
        if any({"learning_rate", "betas"} & planned.stage.own_settings.keys() for planned in self.planned):
            _set_hyperparameters(trainer)
        trainer.begin_stage(planned.stage)
        for module in trainer.modules.values():
            module.zero_grad()
        self._freeze_others(planned.stage)

    def _freeze_others(self, stage: Stage) -> None:
        """Train what the stage names, and nothing else; everything, if it names nothing."""
        trained = _trained(self._trainer, stage)
        kept = {id(parameter) for part in trained for parameter in _parameters(part)}
        for module in self._trainer.modules.values():
            module.train(not trained)
            for parameter in module.parameters():
                if trained and parameter.requires_grad and id(parameter) not in kept:
                    parameter.requires_grad_(False)
                    self._frozen.append(parameter)
        for part in trained:
            if isinstance(part, nn.Module):
                part.train()


def stage_seed(trainer: Trainer) -> int:
    """Return the seed of the present stage, from which its order of the data comes; in the first, that of the run."""
    return (trainer.settings.seed + trainer.stage_begin * _ODD) % 2**63


def _set_hyperparameters(trainer: Trainer) -> None:
    """Give the optimizers that `Trainer.adam` has made the learning rate and the betas of the present stage."""
    settings = trainer.stage_settings
    for optimizer in trainer.optimizers.values():
        if (pace := trainer.paces.get(optimizer)) is not None:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] = settings.learning_rate * pace
                group["betas"] = tuple(beta**pace for beta in settings.betas)


def _trained(trainer: Trainer, stage: Stage) -> list[nn.Module | nn.Parameter]:
    """Return what the stage names in `trains`. Raises InterfaceError for a name of nothing."""
    return [_named(trainer, stage, name) for name in stage.trained]


def _named(trainer: Trainer, stage: Stage, name: str) -> nn.Module | nn.Parameter:
    first, _, rest = name.partition(".")
    for root, path in ((trainer.modules.get(first), rest), (trainer.modules.get("generator"), name)):
        found: Any = root
        for part in filter(None, path.split(".")):
            found = getattr(found, part, None)
        if isinstance(found, (nn.Module, nn.Parameter)):
            return found
    generator = trainer.modules.get("generator")
    parts = [part for part, _ in generator.named_parameters(recurse=False)] if generator is not None else []
    parts += [part for part, _ in generator.named_children()] if generator is not None else []
    raise InterfaceError(
        f"{type(trainer).__qualname__}.stages: the stage {stage.name!r} trains {printable(repr(name), 80)}, which is "
        f"neither in self.modules nor in the generator; {did_you_mean(name, [*trainer.modules, *parts])}"
    )


def _parameters(part: nn.Module | nn.Parameter) -> Iterator[nn.Parameter]:
    if isinstance(part, nn.Parameter):
        yield part
    else:
        yield from part.parameters()


@contextmanager
def _random_numbers_of_its_own(trainer: Trainer) -> Iterator[None]:
    """Let the block draw random numbers that depend on the seed and the stage alone, and those after it go on."""
    seed = stage_seed(trainer)
    with random_states_kept(trainer.device):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield
