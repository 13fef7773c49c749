"""Relative paths from a stranger's file, which must stay inside their folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from zoo_core.errors import printable


def stays_inside(name: str) -> bool:
    """Return whether a relative path stays inside its folder on every system, and is printed as it is.

    Example:
        >>> stays_inside("weights/model.safetensors"), stays_inside("../model.safetensors"), stays_inside("C:model")
        (True, False, False)
    """
    path = PurePosixPath(name)
    return (
        name not in ("", ".")
        and name == str(path)
        and name == printable(name)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & {"\\", ":"}
    )
