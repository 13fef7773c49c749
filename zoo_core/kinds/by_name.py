"""Kinds by name: the core's, and those that plugins add."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from zoo_core.errors import InterfaceError, did_you_mean, printable
from zoo_core.interfaces.import_strings import import_object
from zoo_core.interfaces.kind import Kind
from zoo_core.interfaces.names import CORE_KINDS, canonical_name
from zoo_core.plugins import manager

if TYPE_CHECKING:
    from zoo_core.interfaces.architecture import Architecture
    from zoo_core.interfaces.generator import Generator


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
    if canonical in plugged:
        return plugged[canonical]
    raise InterfaceError(_why_unknown(name))


def check_kind(architecture: Architecture, generator: Generator) -> None:
    """Raise InterfaceError if a generator is not of the kind that its architecture states, or of none that there is."""
    own, stated = generator.kind, architecture.kind
    if stated is not None and canonical_name(stated) != canonical_name(own):
        raise InterfaceError(
            f"the architecture {architecture.name} states the kind {printable(stated, 80)!r}, but "
            f"{type(generator).__qualname__}.kind is {printable(own, 80)!r}; make them the same"
        )
    try:
        kind = kind_named(own)
    except InterfaceError as error:
        raise InterfaceError(
            f"{type(generator).__qualname__} of the architecture {architecture.name}: {error}"
        ) from None
    problem = kind.problem_with(tuple(generator.sample_shape))
    if problem is not None:
        raise InterfaceError(
            f"{type(generator).__qualname__} makes samples of {tuple(generator.sample_shape)}: {problem}"
        )


def stated_kind(architecture: str) -> Kind | None:
    """Return the kind that an installed architecture states; None if it states none, or is not installed.

    Raises:
        InterfaceError: as `kind_named`.

    Example:
        >>> stated_kind("no-such-architecture") is None
        True
    """
    known = manager().architectures.get(canonical_name(architecture))
    return kind_named(known[0].kind) if known and known[0].kind else None


def _why_unknown(name: str) -> str:
    """Say why there is no kind of a name: a plugin that would bring it is not used, or nobody has heard of it."""
    shown, canonical = f"{printable(name, 80)!r}", canonical_name(name)
    for info in manager().plugins:
        if any(canonical_name(kind.name) == canonical for kind in info.kinds):
            reason = f"which is {info.status}: {info.problem}"
            return f"the kind of samples {shown} is provided by {info.distribution}, {reason}"
    hint = did_you_mean(name, [*CORE_KINDS, *manager().kinds], otherwise="install the plugin that brings it")
    return f"neither zoo-core nor an installed plugin has the kind of samples {shown}; {hint}"


@functools.cache
def _of_core(name: str) -> Kind:
    kind: Kind = import_object(f"zoo_core.kinds.{name}:{name.capitalize()}Kind", f"kind {name}")()
    return kind
