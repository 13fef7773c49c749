"""Config, a validated and frozen set of values, and ModelConfig, the hyperparameters of one model."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec


class _ConfigMeta(msgspec.StructMeta):
    """Give every subclass what msgspec does not inherit: keyword-only fields, and the checks of the base class."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        # The __post_init__ of a mixin in front of the configuration would otherwise replace the one of the base class.
        mixins = itertools.takewhile(lambda base: not isinstance(base, _ConfigMeta), bases)
        own = namespace.get("__post_init__") or next(
            filter(None, (getattr(mixin, "__post_init__", None) for mixin in mixins)), None
        )
        if own is not None and any(isinstance(base, _ConfigMeta) for base in bases):

            def post_init(self: Config) -> None:
                _check_fields(self)
                own(self)

            namespace["__post_init__"] = post_init
        return super().__new__(mcs, name, bases, namespace, **options)


def _check_fields(config: msgspec.Struct) -> None:
    """Check every field against its annotation, which msgspec does only when it converts.

    Raises:
        msgspec.ValidationError: names the field; a ValueError.
    """
    for field in msgspec.structs.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError(f"Expected a finite number, got {value} - at `$.{field.name}`")
        try:
            msgspec.convert(value, type=field.type)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            raise msgspec.ValidationError(f"{problem} - at `$.{field.name}{path.rstrip('`')}`") from None


class Config(msgspec.Struct, metaclass=_ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values with annotated types and bounds, validated however an instance is made.

    The base class of ModelConfig and of Settings; a plugin subclasses those. The constructor,
    `msgspec.structs.replace` and JSON all raise msgspec.ValidationError (a ValueError) for a value outside its bounds.
    A `__post_init__` of a subclass runs after these checks, for conditions between fields; it raises ValueError.
    Fields are keyword-only. Instances are frozen, can be pickled, and can be hashed if their fields can. JSON holds
    every field, including those that have their default.

    Example:
        >>> from typing import Annotated
        >>> class Brush(Config, frozen=True):
        ...     width: Annotated[int, msgspec.Meta(ge=1)] = 3
        >>> Brush(width=0)
        Traceback (most recent call last):
        msgspec.ValidationError: Expected `int` >= 1 - at `$.width`
    """

    def __post_init__(self) -> None:
        _check_fields(self)


class ModelConfig(Config, frozen=True):
    """The hyperparameters of one model, from which its networks are built.

    A plugin subclasses it with annotated fields and bounds. Values outside the bounds are refused with
    msgspec.ValidationError (a ValueError), whether they come from the constructor, `msgspec.structs.replace` or JSON.
    A `__post_init__` of the subclass runs after these checks, for conditions between fields; it raises ValueError.
    Fields are keyword-only. Instances are frozen, can be pickled, and can be hashed if their fields can. JSON holds
    every field, including those that have their default.

    Example:
        >>> from typing import Annotated
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     radius: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1.0
        >>> msgspec.json.encode(RingConfig(radius=2.5))
        b'{"radius":2.5}'
        >>> msgspec.json.decode(b'{"radius": 0}', type=RingConfig)
        Traceback (most recent call last):
        msgspec.ValidationError: Expected `float` > 0.0 - at `$.radius`
    """
