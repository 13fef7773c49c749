"""Names of architectures, extractors and plugins: their form, and when two of them are the same."""

from __future__ import annotations

import re

ARCHITECTURE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def same_name(name: str) -> str:
    """Return the form in which names are compared: lower case, with `-`, `_` and `.` all the same.

    Example:
        >>> same_name("Vanilla_GAN") == same_name("vanilla-gan")
        True
    """
    return re.sub(r"[-_.]+", "-", name).lower()
