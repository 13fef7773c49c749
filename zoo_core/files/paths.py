"""Paths: those that a user gives, and relative ones from a stranger's file, which must stay inside their folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from zoo_core.errors import ZooError, printable


def user_path(given: str | os.PathLike[str]) -> Path:
    """Return the path that a user means: `~` and `~name` at its beginning are home folders, as a shell has them.

    Every path that a user gives, to a command or to a function, goes through here before anything looks at it. A shell
    leaves the `~` of `--out=~/runs` to us; without one place for it, half of a run would be written to a folder named
    `~`. A folder that really has that name is `./~`; it comes back absolute, so that a second call leaves it alone.

    Raises:
        ZooError: for an empty path, one with a NUL in it, or the home folder of a user who has none.

    Example:
        >>> user_path("runs/mine").as_posix(), user_path("./~").is_absolute()
        ('runs/mine', True)
    """
    text = os.fspath(given)
    if not text:
        raise ZooError("a path is empty; name a file or a folder")
    if "\0" in text:
        raise ZooError(f"{printable(text)}: a path cannot contain a NUL character")
    path = Path(text)
    if not text.startswith("~"):
        return path.absolute() if path.parts[:1] and path.parts[0].startswith("~") else path
    try:
        return path.expanduser()
    except RuntimeError:
        user = PurePosixPath(text).parts[0]
        raise ZooError(
            f"{printable(text)}: {printable(user)} has no home folder here; write ./{printable(text)} for "
            "a file or folder of that name, or an absolute path"
        ) from None


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
