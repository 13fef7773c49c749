"""Output of plugins: what a plugin prints while its code is imported or its hooks run stays off stdout."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_lock = threading.Lock()
_blocks_inside = 0
_stdout: TextIO = sys.stdout


@contextmanager
def plugin_output_on_stderr() -> Iterator[None]:
    """Send what a plugin prints in the block to stderr: stdout holds the results of a command.

    Blocks may overlap in several threads, which contextlib.redirect_stdout does not survive: the last thread to leave
    would restore the redirected stream, for good. No lock is held during the block, since it may wait for an import
    in another thread.

    Example:
        >>> import io
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(io.StringIO()) as errors, plugin_output_on_stderr():
        ...     print("a plugin is loaded")
        >>> errors.getvalue()
        'a plugin is loaded\\n'
    """
    global _blocks_inside, _stdout
    with _lock:
        if _blocks_inside == 0:
            _stdout, sys.stdout = sys.stdout, sys.stderr
        _blocks_inside += 1
    try:
        yield
    finally:
        with _lock:
            _blocks_inside -= 1
            if _blocks_inside == 0:
                sys.stdout = _stdout
