"""Import strings `package.module:Name`: objects of plugins that are imported when they are used, and not before."""

from __future__ import annotations

import importlib
import re
from typing import Any

from zoo_core.errors import PluginError, printable
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr

_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_import_string(target: object) -> bool:
    """Return whether `target` has the form `package.module:Name`.

    Example:
        >>> is_import_string("zoo_ring.model:Ring"), is_import_string("zoo_ring.model")
        (True, False)
    """
    return isinstance(target, str) and _IMPORT_STRING.fullmatch(target) is not None


def import_object(target: str, owner: str) -> Any:
    """Import the object that an import string names.

    Args:
        target: an import string.
        owner: what asks for it, as the beginning of the error message.

    Raises:
        PluginError: if the import fails, for whatever reason.

    Example:
        >>> import_object("math:tau", "the example")
        6.283185307179586
    """
    module, _, attribute = target.partition(":")
    try:
        with plugin_output_on_stderr():
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a plugin's module can fail in any way, and even call sys.exit
        reason = printable(f"{type(error).__name__}: {error}")
        raise PluginError(f"{owner} {target!r} cannot be imported: {reason}") from error
