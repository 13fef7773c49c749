"""Class labels: from the values that data states, of any type, to numbers from 0 and names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

UNKNOWN = -1


class ClassLabels(NamedTuple):
    """The class of every sample.

    Attributes:
        numbers: (N,) int64, from 0; `UNKNOWN` for a sample without a class.
        names: of the classes in the order of their numbers; empty where the data states just these numbers.
    """

    numbers: np.ndarray
    names: tuple[str, ...]


def number_classes(
    values: Sequence[Any], *, names: Sequence[str] = (), before: Iterable[Any] = ()
) -> ClassLabels | None:
    """Number the classes that the values state: in sorted order, without gaps.

    Missing values are unknown: None, NaN, an empty text, and -1 beside numbers from 0, as many data sets on the Hub
    write it. Values that are 0 to K - 1 already are kept as they are.

    Args:
        values: one of each sample; of any type that can be sorted.
        names: those that the data itself states for the classes 0 to K - 1. The values are then these numbers.
        before: values of another part of the data, whose classes come first, so that both have the same numbers.

    Returns:
        The classes, or None where all are unknown.

    Example:
        >>> number_classes(["dog", "cat", None, "dog"])
        ClassLabels(numbers=array([ 1,  0, -1,  1]), names=('cat', 'dog'))
        >>> number_classes([10, 0, 20]).names, number_classes([1, 0, 1]).names
        (('0', '10', '20'), ())
    """
    if names:
        return _numbered_by_the_data(values, names)
    first = dict.fromkeys(_classes(before))
    order = list(first | dict.fromkeys(_classes(values)))
    if all(isinstance(value, int) and not isinstance(value, bool) for value in order):
        order = _without_unknown(order)
    number_of = {value: number for number, value in enumerate(order)}
    numbers = np.array([number_of.get(_comparable(value), UNKNOWN) for value in values], np.int64)
    if (numbers == UNKNOWN).all():
        return None
    plain = order == list(range(len(order))) and not any(isinstance(value, bool) for value in order)
    return ClassLabels(numbers, () if plain else tuple(map(_name, order)))


def _numbered_by_the_data(values: Sequence[Any], names: Sequence[str]) -> ClassLabels | None:
    known = range(len(names))
    numbers = np.array([value if value in known else UNKNOWN for value in values], np.int64)
    return None if (numbers == UNKNOWN).all() else ClassLabels(numbers, tuple(names))


def _classes(values: Iterable[Any]) -> list[Any]:
    """Return the distinct values that are known, sorted: numbers by size, all else by its text."""
    distinct = {value for value in map(_comparable, values) if value is not None}
    try:
        return sorted(distinct)
    except TypeError:  # of different types
        return sorted(distinct, key=str)


def _without_unknown(order: list[int]) -> list[int]:
    """Leave -1 out beside numbers from 0; in {-1, 1} and among other negative numbers it is a class."""
    others = [value for value in order if value != -1]
    if -1 in order and min(others, default=0) >= 0 and others != [1]:
        return others
    return order


def _comparable(value: Any) -> Any:
    """Return a value as one that is compared: None for a missing one, 2 for 2.0, as a missing value makes of it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return None if value in ("", b"") else value


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
