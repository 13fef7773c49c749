"""Import strings `package.module:Name`: what a plugin names is imported when it is used, and not before."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from typing import Any

from zoo_core.errors import PluginError

_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_import_string(target: object) -> bool:
    """Whether it has the form `package.module:Name`."""
    return isinstance(target, str) and _IMPORT_STRING.fullmatch(target) is not None


def import_object(target: str, owner: str) -> Any:
    """What an import string names. Raises PluginError, which begins with `owner`."""
    module, _, attribute = target.partition(":")
    try:
        # What a module prints while it is imported must not end up in a command's results.
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a plugin's module can fail in any way; whatever it is, say whose it is
        raise PluginError(f"{owner} {target!r} cannot be imported: {type(error).__name__}: {error}") from error
