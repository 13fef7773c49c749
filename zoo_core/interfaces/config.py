"""ModelConfig: the validated description of one model."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec


class _ConfigMeta(msgspec.StructMeta):
    """Gives every subclass what msgspec does not inherit: keyword-only fields and base validation first."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        # A mixin that stands before the configuration brings one too, and would take the place of the base's.
        mixins = itertools.takewhile(lambda base: not isinstance(base, _ConfigMeta), bases)
        own = namespace.get("__post_init__") or next(
            filter(None, (getattr(m, "__post_init__", None) for m in mixins)), None
        )
        if own is not None and any(isinstance(base, _ConfigMeta) for base in bases):

            def post_init(self: ModelConfig) -> None:
                _check_fields(self)
                own(self)

            namespace["__post_init__"] = post_init
        return super().__new__(mcs, name, bases, namespace, **options)


def _check_fields(config: msgspec.Struct) -> None:
    """Hold every field to its annotation, which msgspec does only when it converts.

    Raises msgspec.ValidationError (a ValueError) that names the field.
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


class ModelConfig(msgspec.Struct, metaclass=_ConfigMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hyperparameters of one model, validated however they are made.

    A plugin subclasses it with annotated fields and bounds::

        class DCGANConfig(ModelConfig, frozen=True):
            width: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64

    The constructor, `msgspec.structs.replace` and JSON all raise msgspec.ValidationError (a ValueError)
    for a value outside its bounds; a `__post_init__` of the subclass runs after these checks, for
    conditions between fields (it raises ValueError). Fields are keyword-only, instances are frozen, hashable
    where their fields are, and pickle; JSON holds every field, defaults too.
    """

    def __post_init__(self) -> None:
        _check_fields(self)
