"""The user's folders on this system, by platformdirs: for settings, and for what can be made again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "ZOO_CACHE"


def configuration_folder() -> Path:
    """The folder of the user's own settings. It may not exist yet.

    Example:
        >>> configuration_folder().name
        'zoo'
    """
    return platformdirs.user_config_path("zoo", appauthor=False, roaming=True)


def cache_folder() -> Path:
    """ZOO_CACHE, or this system's folder for what can be made again. It may not exist yet.

    Example:
        >>> decoded = cache_folder() / "decoded"
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    folder = platformdirs.user_cache_path("zoo", appauthor=False, opinion=False)
    # A user without a home, as in some containers: `~` stays as it is, and must not become a folder of that name.
    return folder if folder.is_absolute() else Path(tempfile.gettempdir()) / "zoo"
