"""Names of classes: `flags` for label 2 of a model whose training data names its labels. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zoo_core.errors import SamplingError, printable


def find_class(given: str, names: Sequence[str]) -> int:
    """Return the label that a user means.

    Args:
        given: the name of a class, a part of it that no other name contains, or the number of a label. Case does not
            matter.
        names: the names of all classes, in the order of their labels; empty if they have none.

    Raises:
        SamplingError: if no class matches, or several do.

    Example:
        >>> find_class("flag", ["Activities", "Flags", "Food"])
        1
    """
    sought = given.strip().casefold()
    folded = [name.casefold() for name in names]
    if sought in folded:
        return folded.index(sought)
    try:
        return int(sought)
    except ValueError:
        pass
    if not names:
        raise SamplingError(f"the model's classes have no names: label {printable(given, 40)!r} must be a number")
    matching = [label for label, name in enumerate(folded) if sought and sought in name]
    if len(matching) == 1:
        return matching[0]
    choices = " or ".join(printable(names[label], 40) for label in matching)
    problem = f"could be {choices}" if matching else "is not a class of this model"
    raise SamplingError(f"label {printable(given, 40)!r} {problem}; use one of {numbered(names)}")


def names_a_class(given: str, names: Sequence[str]) -> bool:
    """Whether `find_class` finds exactly one class.

    Example:
        >>> names_a_class("f", ["Activities", "Flags", "Food"])
        False
    """
    try:
        return find_class(given, names) < len(names)
    except SamplingError:
        return False


def first_word(name: str) -> str:
    """Return the first word of a name, which a shell takes without quotes; "" if there is none.

    Example:
        >>> first_word("Animals & Nature")
        'Animals'
    """
    word = re.search(r"\w+", name)
    return word[0] if word else ""


def numbered(names: Sequence[str]) -> str:
    """List every name with its label; only the range if the names are the numbers of the labels.

    Example:
        >>> numbered(["Activities", "Flags"])
        '0 Activities, 1 Flags'
        >>> numbered(["0", "1", "2"])
        '0 to 2'
    """
    if list(names) == [str(label) for label in range(len(names))] and len(names) > 1:
        return f"0 to {len(names) - 1}"
    return ", ".join(f"{label} {printable(name, 40)}" for label, name in enumerate(names))
