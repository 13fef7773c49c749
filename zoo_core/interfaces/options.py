"""SamplingOptions: the choices that a user has when a model is sampled, and not when it is trained."""

from __future__ import annotations

from zoo_core.interfaces.config import Config


class SamplingOptions(Config, frozen=True):
    """The choices of one kind of model at sampling time, such as the number of steps or the strength of guidance.

    A plugin subclasses it with annotated fields, bounds and defaults, and names the subclass in `Generator.Options`.
    Values are validated as those of a ModelConfig are. Every field has a default. The defaults of one model, which may
    differ from those of the class, are `Generator.options`; they are saved with the model.

    Example:
        >>> from typing import Annotated
        >>> from msgspec import Meta
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     steps: Annotated[int, Meta(ge=1, le=1000)] = 50
        >>> DDPMOptions(steps=0)
        Traceback (most recent call last):
        msgspec.ValidationError: Expected `int` >= 1 - at `$.steps`
    """
