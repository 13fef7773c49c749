"""Losses and weights that became NaN or infinite: they are found before a checkpoint is written, and named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from zoo_core.errors import TrainingError
from zoo_core.interfaces import Trainer


def broken_weights(module: nn.Module) -> Iterator[str]:
    """Yield the names of parameters that are not finite, and of such buffers; a mask of minus infinity is sound.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = nn.init.constant_(layer.bias, math.nan)
        >>> list(broken_weights(layer))
        ['bias']
    """
    for name, parameter in module.named_parameters():
        if not bool(parameter.isfinite().all()):
            yield name
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and not bool((buffer < math.inf).all()):
            yield name


def refuse_broken_weights(trainer: Trainer, average: nn.Module | None, *, go_on: bool) -> None:
    """Raise TrainingError, which names it, if a weight, its average or the state of an optimizer is not finite.

    Args:
        go_on: whether there is an earlier checkpoint.
    """
    advice = f"before step {trainer.step + 1}, and no checkpoint was written; {_advice(trainer, go_on=go_on)}"
    averages = {} if average is None else {"average": average}
    for name, module in (trainer.modules | averages).items():
        for weight in broken_weights(module):
            raise TrainingError(f"{name}.{weight} became NaN or infinite {advice}")
    for name, optimizer in trainer.optimizers.items():
        values = (value for entries in optimizer.state.values() for value in entries.values())
        if any(isinstance(value, Tensor) and bool(value.isnan().any()) for value in values):
            raise TrainingError(f"the optimizer of {name} became NaN {advice}")


def refuse_broken_figures(
    figures: Mapping[str, Tensor], steps: Mapping[str, list[int]], trainer: Trainer, *, go_on: bool
) -> None:
    """Raise TrainingError, which names each with its step, if figures of the steps since the last line are not finite.

    Args:
        figures: the values of each figure, (n,).
        steps: the step of each value.
        go_on: whether there is a checkpoint.
    """
    broken = {}
    for name, values in figures.items():
        sound = values.isfinite()
        if not bool(sound.all()):
            broken[name] = steps[name][int(sound.int().argmin())]
    if broken:
        named = ", ".join(f"{name} at step {step}" for name, step in broken.items())
        raise TrainingError(f"NaN or infinite: {named}; {_advice(trainer, go_on=go_on)}")


def _advice(trainer: Trainer, *, go_on: bool) -> str:
    """What can be done, and is allowed on resume."""
    settings = trainer.settings
    ways = [f"--set learning_rate={settings.learning_rate / 2:g} (it was {settings.learning_rate:g})"]
    if not settings.gradient_clip:
        ways.append("--set gradient_clip=1")
    if settings.precision != "fp32":
        ways.append("--set precision=fp32")
    begin = "go on from the newest checkpoint" if go_on else "start again"
    return f"{begin} with --resume and {' or '.join(ways)}"
