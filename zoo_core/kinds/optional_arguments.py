"""Arguments that a method of a kind may take or not: plugins of an older edition lack those of a newer one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of that name.

    Example:
        >>> takes(lambda samples, *, columns=None: None, "columns"), takes(len, "columns")
        (True, False)
    """
    parameters = inspect.signature(function).parameters.values()
    return any(one.name == name or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
