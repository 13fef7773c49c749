"""Kinds by name: the core's, and those that plugins add."""

from __future__ import annotations

import functools

from zoo_core.errors import InterfaceError, did_you_mean, printable
from zoo_core.interfaces.import_strings import import_object
from zoo_core.interfaces.kind import Kind
from zoo_core.interfaces.names import CORE_KINDS, canonical_name
from zoo_core.plugins import manager


def kind_named(name: str) -> Kind:
    """Return the kind of samples of that name; `-` and `_` compare equal.

    Raises:
        InterfaceError: if neither the core nor a plugin has one.

    Example:
        >>> kind_named("image").noun
        ('picture', 'pictures')
    """
    canonical = canonical_name(name)
    if canonical in CORE_KINDS:
        return _of_core(canonical)
    plugged = manager().kinds
    if canonical not in plugged:
        hint = did_you_mean(name, [*CORE_KINDS, *plugged])
        raise InterfaceError(f"there is no kind of samples {printable(name, 80)!r}; {hint}")
    return plugged[canonical]


@functools.cache
def _of_core(name: str) -> Kind:
    kind: Kind = import_object(f"zoo_core.kinds.{name}:{name.capitalize()}Kind", f"kind {name}")()
    return kind
