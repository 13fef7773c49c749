"""Classes by name: `flags` for label 2 of a model whose training data names its labels. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zoo_core.errors import SamplingError, printable


def find_class(given: str, names: Sequence[str]) -> int:
    """The label that a user means.

    Args:
        given: a class's name, a part of it that no other name has, or a label's number; case does not matter.
        names: of all classes, in the order of their labels; empty where they have none.

    Raises:
        SamplingError: where it is none of them, or a part of several.
    """
    sought = given.strip().casefold()
    known = [name.casefold() for name in names]
    if sought in known:
        return known.index(sought)
    try:
        return int(sought)
    except ValueError:
        pass
    if not names:
        raise SamplingError(f"the model's classes have no names: label {printable(given, 40)!r} must be a number")
    found = [label for label, name in enumerate(known) if sought and sought in name]
    if len(found) == 1:
        return found[0]
    problem = f"could be {' or '.join(printable(names[label], 40) for label in found)}" if found else "is no class"
    raise SamplingError(f"label {printable(given, 40)!r} {problem}; there are {numbered(names)}")


def names_one(given: str, names: Sequence[str]) -> bool:
    """Whether `find_class` knows which class is meant."""
    try:
        return find_class(given, names) < len(names)
    except SamplingError:
        return False


def one_word(name: str) -> str:
    """The first word of a class's name, `Animals` of `Animals & Nature`: what a shell takes without quotes."""
    found = re.search(r"\w+", name)
    return found[0] if found else ""


def numbered(names: Sequence[str]) -> str:
    """`0 Activities, 1 Flags, …`: every name with its label; `0 to 9` where names are but the labels' numbers."""
    if list(names) == [str(label) for label in range(len(names))] and len(names) > 1:
        return f"0 to {len(names) - 1}"
    return ", ".join(f"{label} {printable(name, 40)}" for label, name in enumerate(names))
