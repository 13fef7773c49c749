"""Lazy names: a package whose names are imported at first use (PEP 562), so that importing it imports no torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package.

    Args:
        package: `__name__` of the package.
        homes: the module that each name is imported from, as a dotted path.

    Example:
        >>> __getattr__, __dir__ = lazy_names("zoo_core", {"Registry": "zoo_core.registries"})
        >>> __getattr__("Registry").__name__
        'Registry'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # from now on this function is not called for the name
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
