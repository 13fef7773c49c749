"""Import strings `package.module:Name`: objects of plugins that are imported when they are used, and not before."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from zoo_core.errors import PluginError

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
    except Exception as error:  # a plugin's module can fail in any way; the message names the plugin
        raise PluginError(f"{owner} {target!r} cannot be imported: {type(error).__name__}: {error}") from error


_output_lock = threading.Lock()
_blocks_inside = 0
_stdout: TextIO = sys.stdout


@contextmanager
def plugin_output_on_stderr() -> Iterator[None]:
    """Send what a plugin prints in the block to stderr: stdout holds the results of a command.

    Blocks may overlap in several threads, which contextlib.redirect_stdout does not survive: the last thread to leave
    would restore the redirected stream, for good. No lock is held during the block, since it may wait for an import
    in another thread.
    """
    global _blocks_inside, _stdout
    with _output_lock:
        if _blocks_inside == 0:
            _stdout, sys.stdout = sys.stdout, sys.stderr
        _blocks_inside += 1
    try:
        yield
    finally:
        with _output_lock:
            _blocks_inside -= 1
            if _blocks_inside == 0:
                sys.stdout = _stdout
