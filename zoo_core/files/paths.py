"""Paths that a stranger gives: kept inside their folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from zoo_core.errors import printable


def stays_inside(name: str) -> bool:
    """Whether a relative path in a registry stays in its folder on every system, and is shown as what it is."""
    path = PurePosixPath(name)
    return (
        name not in ("", ".")
        and name == str(path)
        and name == printable(name)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & {"\\", ":"}
    )
