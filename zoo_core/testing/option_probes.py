"""Probes of sampling options: other values of each, and which of them a model reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as types

from zoo_core.errors import SamplingError
from zoo_core.interfaces import Generator, SamplingOptions
from zoo_core.interfaces.assignments import field_types


def others(generator: Generator) -> Iterator[tuple[str, SamplingOptions]]:
    """Yield options that differ from the model's own in one field, with that field's name.

    There is one for every field, and one for every choice of a field that has a few; none for a text or a collection,
    of which nothing says what else it could be.
    """
    own = generator.options
    for name, annotated in field_types(generator.Options).items():
        candidates, wanted = _candidates(types.type_info(annotated), getattr(own, name))
        for candidate in candidates:
            try:
                chosen = generator.choose({name: candidate})
            except SamplingError:  # out of its bounds, or refused by __post_init__ beside the other options
                continue
            if chosen != own:
                yield name, chosen
                wanted -= 1
            if not wanted:
                break


def other_options(generator: Generator) -> SamplingOptions:
    """Return options that differ from the model's own, if it has any that could."""
    return next((options for _, options in others(generator)), generator.options)


def _candidates(field: types.Type, value: Any) -> tuple[list[Any], int]:
    """Values that a field may take, and how many of them are worth a trial."""
    if isinstance(field, types.Metadata):
        return _candidates(field.type, value)
    if isinstance(field, types.UnionType):
        found = [_candidates(part, value) for part in field.types]
        return [one for candidates, _ in found for one in candidates], sum(wanted for _, wanted in found)
    if isinstance(field, types.NoneType):
        return [None], 1
    if isinstance(field, types.BoolType):
        return [not value], 1
    if isinstance(field, types.LiteralType):
        return list(field.values), len(field.values)
    if isinstance(field, types.EnumType):
        return [member.value for member in field.cls], len(field.cls)
    if isinstance(field, (types.IntType, types.FloatType)):
        return _numbers(field, value), 1
    return [], 0


def _numbers(field: types.IntType | types.FloatType, value: Any) -> list[Any]:
    """Numbers near the value first, the smaller ones before: as a number of steps they take less time."""
    bounds = [bound for bound in (field.ge, field.gt, field.le, field.lt) if bound is not None]
    near = value if isinstance(value, (int, float)) else next(iter(bounds), 1)
    if isinstance(field, types.IntType):
        step = field.multiple_of or 1
        return [near // 2, near - step, near + step, *bounds]
    middle = [sum(bounds) / 2] if len(bounds) == 2 else []
    return [near / 2, near + 0.5, near - 0.5, *middle, *bounds]


def watched(options: SamplingOptions) -> tuple[SamplingOptions, set[str]]:
    """Return equal options, and the set of the names that are read of them from now on."""
    names, read = frozenset(options.__struct_fields__), set[str]()

    def note(self: SamplingOptions, name: str) -> Any:
        if name in names:
            read.add(name)
        return object.__getattribute__(self, name)

    of_class: Any = type(options)
    watching = type(of_class)(
        of_class.__name__, (of_class,), {"__getattribute__": note, "__module__": of_class.__module__}, frozen=True
    )
    copied = watching(**msgspec.structs.asdict(options))
    read.clear()
    return copied, read
