"""Stage: a part of a training run with its own steps, settings and trained networks."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from zoo_core.interfaces.config import Config
from zoo_core.interfaces.schedules import Schedule
from zoo_core.interfaces.settings import Count, Fraction, Settings


class Stage(Config, frozen=True, kw_only=False):
    """A part of a training run, as `Trainer.stages` returns it: first a VQ-VAE, say, then a prior on its codes.

    What is None is as in the settings of the run. Values are validated as those of the settings are.

    Args:
        name: what `Trainer.stage` is during the stage: letters, digits, - and _.
        steps: its steps. One stage may leave them out and takes what the others leave of the setting `steps`, since
            that counts the steps of the whole run.
        trains: the modules that are trained, by their names in `Trainer.modules` or in the generator ("prior",
            "prior.head"). All others are frozen: their parameters get no gradients, and they are in eval mode. By
            default everything is trained.
        samples: whether sample grids are written during the stage.
        batch_size: samples per step, over all processes together.
        learning_rate: of the optimizers that `Trainer.adam` has made.
        betas: of the same optimizers.
        schedule: course of the learning rate over the steps of this stage.
        warmup_steps: steps of this stage over which the learning rate first rises from 0.
        gradient_clip: largest norm of a network's gradient; 0: no limit.

    Example:
        >>> Stage("prior", steps=500, trains="prior", schedule="cosine").own_settings
        {'schedule': 'cosine'}
        >>> Stage("prior", steps=0)
        Traceback (most recent call last):
        msgspec.ValidationError: Expected `int` >= 1 - at `$.steps`
    """

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
    steps: Annotated[int, Meta(ge=1)] | None = None
    trains: str | tuple[str, ...] = ()
    samples: bool = True
    batch_size: Annotated[int, Meta(ge=1)] | None = None
    learning_rate: Annotated[float, Meta(gt=0)] | None = None
    betas: tuple[Fraction, Fraction] | None = None
    schedule: Schedule | None = None
    warmup_steps: Count | None = None
    gradient_clip: Annotated[float, Meta(ge=0)] | None = None

    @property
    def trained(self) -> tuple[str, ...]:
        """The names in `trains`; empty if everything is trained.

        Example:
            >>> Stage("prior", trains="prior").trained
            ('prior',)
        """
        return (self.trains,) if isinstance(self.trains, str) else tuple(self.trains)

    @property
    def own_settings(self) -> dict[str, Any]:
        """The settings in which the stage may differ from the run, by name.

        Example:
            >>> Stage("codebook", steps=100, batch_size=32).own_settings
            {'batch_size': 32}
        """
        values = {name: getattr(self, name) for name in _SETTINGS}
        return {name: value for name, value in values.items() if value is not None}

    def settings(self, of_run: Settings, steps: int) -> Settings:
        """Return the settings that every trainer has as they are in the stage: those of the run, with its own.

        Args:
            of_run: the settings of the run.
            steps: the steps of the stage.

        Example:
            >>> stage = Stage("prior", schedule="linear")
            >>> [stage.settings(Settings(steps=1000), 4).learning_rate_factor(step) for step in range(4)]
            [1.0, 0.75, 0.5, 0.25]
        """
        # Not by replacing fields of the plugin's class, whose own conditions may tie them to the steps of the run.
        common = {name: getattr(of_run, name) for name in Settings.__struct_fields__}
        return Settings(**common | {"steps": steps} | self.own_settings)


_SETTINGS = [name for name in Stage.__struct_fields__ if name in Settings.__struct_fields__ and name != "steps"]
