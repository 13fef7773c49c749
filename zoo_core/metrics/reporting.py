"""Callbacks of a measurement: messages, and progress of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Called with a line about what is being done.
Tell = Callable[[str], object]


class MeasuringProgress(Protocol):
    """Called with a name for the part of the measurement, how much of it is done, and how much there is."""

    def __call__(self, part: str, done: int, total: int, /) -> object: ...


def no_message(line: str) -> None:
    """Ignore a message."""


def no_progress(part: str, done: int, total: int) -> None:
    """Ignore progress."""
