"""The user's folders on this system, by platformdirs: settings, and caches that can be recreated at any time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from zoo_core.errors import ZooError
from zoo_core.files.paths import user_path

CACHE_VARIABLE = "ZOO_CACHE"


def configuration_folder() -> Path:
    """Return the folder of the user's own settings. It may not exist yet.

    A user without a home directory, as in some containers, has the settings of the whole system.

    Example:
        >>> configuration_folder().name
        'zoo'
    """
    own = _own_folder(lambda: platformdirs.user_config_path("zoo", appauthor=False, roaming=True))
    return own or platformdirs.site_config_path("zoo", appauthor=False)


def cache_folder() -> Path:
    """Return ZOO_CACHE, or this system's folder for caches. It may not exist yet.

    A user without a home directory has a folder of their own among the temporary files.

    Example:
        >>> decoded = cache_folder() / "decoded"
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        own = _own_folder(lambda: user_path(named))
    else:
        own = _own_folder(lambda: platformdirs.user_cache_path("zoo", appauthor=False, opinion=False))
    return own or _temporary_folder() / f"zoo-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written to, or made where it does not exist yet.

    Example:
        >>> is_writable(Path(tempfile.gettempdir()) / "a" / "b")
        True
    """
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError:  # in a folder that may not be searched
        return False
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # where nothing can be written, the cache is told to be unwritable when it is used
        return Path("/tmp")


def _own_folder(folder: Callable[[], Path]) -> Path | None:
    """Return the folder; None for a user without a home directory.

    Some versions of platformdirs raise an error then, and some return a path that begins with `~`. A folder of that
    name in the working directory, which anybody may have put there, is not the user's own.
    """
    try:
        path = folder()
    except (RuntimeError, ZooError):
        return None
    return None if path.parts[:1] == ("~",) else path
