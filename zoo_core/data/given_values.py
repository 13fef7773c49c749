"""Values of a model's configuration that a user or a model gives, and that decide how data is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.errors import DataError, printable


def given_number(values: Mapping[str, Any], field: str, smallest: int, largest: int) -> int | None:
    """Return a whole number that was given; None if it was not.

    Raises:
        DataError: for anything but a whole number within these bounds.

    Example:
        >>> given_number({"length": 8192}, "length", 1, 2**24), given_number({}, "length", 1, 2**24)
        (8192, None)
    """
    value = values.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise DataError(
            f"{field} is {printable(repr(value), 40)}; it must be a whole number from {smallest:,} to {largest:,}"
        )
    return value
