"""The names of architectures, extractors and plugins: their form, and when two are the same."""

from __future__ import annotations

import re

ARCHITECTURE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def same_name(name: str) -> str:
    """The form in which architecture and plugin names are compared: lower case, `-`, `_` and `.` equal."""
    return re.sub(r"[-_.]+", "-", name).lower()
