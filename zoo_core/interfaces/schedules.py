"""Learning-rate schedules: how the learning rate changes over a run.

To add one, write its function and enter it in SCHEDULES: `zoo train --set schedule=NAME` and Settings accept it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal


def constant(progress: float) -> float:
    """The full learning rate in every step.

    Example:
        >>> constant(0.75)
        1.0
    """
    return 1.0


def linear(progress: float) -> float:
    """A straight line from the full learning rate to 0.

    Example:
        >>> linear(0.75)
        0.25
    """
    return 1 - progress


def cosine(progress: float) -> float:
    """Half a period of the cosine, from the full learning rate to 0 (SGDR, arXiv 1608.03983, one cycle).

    Example:
        >>> cosine(0.0), cosine(1.0)
        (1.0, 0.0)
    """
    return (1 + math.cos(math.pi * progress)) / 2


# Each takes the progress of the run after warm-up, in [0, 1], and returns the factor of the learning rate, in [0, 1].
SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "linear": linear, "cosine": cosine}

if TYPE_CHECKING:
    Schedule = str  # a type checker cannot read the names from the table
else:
    Schedule = Literal[tuple(SCHEDULES)]
