"""Names of classes: `flags` for label 2 of a model whose training data names its labels. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zoo_core.errors import SamplingError, did_you_mean, printable

_NUMBER = re.compile(r"-?[0-9]+")
_DIGITS = re.compile(r"[0-9]+")
_RANGE = re.compile(r"([0-9]+) *- *([0-9]+)")
_MOST = 40  # classes that an error lists


def find_class(given: str, names: Sequence[str]) -> int:
    """Return the label that a user means.

    The exact name of a class comes first, then its name in another case, then the number of its label, then a part of
    its name. What could mean several classes is refused: a part that several names contain, or the number 1 where the
    class with the label 1 is named `02` and another is named `01`.

    Args:
        given: what the user wrote.
        names: the names of all classes, in the order of their labels; empty if they have none.

    Raises:
        SamplingError: if no class matches, or several do; lists the choices.

    Example:
        >>> find_class("flag", ["Activities", "Flags", "Food"]), find_class("cat", ["Cat", "cat"])
        (1, 1)
    """
    sought = given.strip()
    for matches in (_labels_of(sought, names), _labels_of(sought.casefold(), [name.casefold() for name in names])):
        if matches:
            return _only(given, matches, names)
    if _NUMBER.fullmatch(sought):
        number = int(sought[:30])  # more digits are out of range too
        named = [label for label, name in enumerate(names) if number in map(int, _DIGITS.findall(name[:1000]))]
        if set(named) <= {number}:
            return number
        in_range = [number] if 0 <= number < len(names) else []
        return _only(given, sorted({*named, *in_range}), names)
    if not names:
        raise SamplingError(f"the model's classes have no names: label {printable(given, 40)!r} must be a number")
    return _only(given, [label for label, name in enumerate(names) if sought and _contains(name, sought)], names)


def find_classes(given: str, names: Sequence[str], count: int) -> list[int]:
    """Return the labels that a user means by a list: classes separated by commas, and ranges of numbers.

    A name that contains a comma or looks like a range comes first.

    Args:
        given: what the user wrote, such as `cat,dog` or `0-9`.
        names: the names of all classes, in the order of their labels; empty if they have none.
        count: the number of classes.

    Raises:
        SamplingError: as `find_class`; also for a number or a range that there is not.

    Example:
        >>> find_classes("flags,0", ["Activities", "Flags", "Food, drink"], 3)
        [1, 0]
        >>> find_classes("0-3, 7", [], 10)
        [0, 1, 2, 3, 7]
        >>> find_classes("food, drink", ["Activities", "Flags", "Food, drink"], 3)
        [2]
    """
    parts, labels = given.split(","), []
    while parts:
        taken = _length_of_name(parts, names)
        labels += _find_one_or_range(",".join(parts[:taken]), given, names, count)
        parts = parts[taken:]
    return labels


def _length_of_name(parts: Sequence[str], names: Sequence[str]) -> int:
    """How many of the parts between commas are together a name, or else a part of one; 1 if there are no commas."""
    folded = [name.casefold() for name in names]
    for length in range(len(parts), 1, -1):
        if ",".join(parts[:length]).strip().casefold() in folded:
            return length
    for length in range(len(parts), 1, -1):
        together = ",".join(parts[:length]).strip()
        if together.strip(", ") and any(_contains(name, together) for name in names):
            return length
    return 1


def _find_one_or_range(part: str, given: str, names: Sequence[str], count: int) -> list[int]:
    if not part.strip():
        problem = f"label {printable(given, 40)!r}: " if given.strip() else "label "
        raise SamplingError(f"{problem}a class is missing; use one of {_shown(names) or f'0 to {count - 1}'}")
    ends = _RANGE.fullmatch(part.strip())
    containing = [label for label, name in enumerate(names) if _contains(name, part.strip())]
    if ends is None or _labels_of(part.strip().casefold(), [name.casefold() for name in names]):
        return [_in_bounds(find_class(part, names), part, names, count)]
    if containing:
        choices = " or ".join([f"the classes {ends[1]} to {ends[2]}", *_named(containing, names)])
        raise SamplingError(f"label {printable(part, 40)!r} could be {choices}; write one name, or names with commas")
    first, last = (_in_bounds(find_class(end, names), part, names, count) for end in ends.groups())
    if first > last:
        raise SamplingError(f"label {printable(part, 40)!r} ends before it begins; use {ends[2]}-{ends[1]}")
    return list(range(first, last + 1))


def _in_bounds(label: int, part: str, names: Sequence[str], count: int) -> int:
    if 0 <= label < count:
        return label
    bounds, shown = f"0 to {count - 1}", _shown(names)
    choices = f": {shown}" if shown not in ("", bounds) else ""
    raise SamplingError(f"label {printable(part.strip(), 40)!r}: labels must be from {bounds}{choices}")


def _labels_of(sought: str, names: Sequence[str]) -> list[int]:
    return [label for label, name in enumerate(names) if name.strip() == sought]


def _contains(name: str, part: str) -> bool:
    return part.casefold() in name.casefold()


def _only(given: str, labels: Sequence[int], names: Sequence[str]) -> int:
    """The label, if it is the only one; SamplingError otherwise."""
    if len(labels) == 1:
        return labels[0]
    problem = f"could be {' or '.join(_named(labels, names))}" if labels else "is not a class of this model"
    close = did_you_mean(given, names, otherwise="") if len(names) > _MOST and not labels else ""
    raise SamplingError(f"label {printable(given, 40)!r} {problem}; {close or f'use one of {_shown(names)}'}")


def _shown(names: Sequence[str]) -> str:
    """The classes to choose from, for an error."""
    return numbered(names) if len(names) <= _MOST else f"the {len(names)} classes that zoo info lists"


def _named(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """The classes by name; with the number of the label too where names alone do not say which is meant."""
    folded = [name.strip().casefold() for name in names]
    alike = any(folded.count(folded[label]) > 1 or _DIGITS.search(folded[label]) for label in labels)
    shown = [printable(names[label], 40) + (f" (label {label})" if alike else "") for label in labels[:_MOST]]
    return shown + ["others"] * (len(labels) > _MOST)


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
