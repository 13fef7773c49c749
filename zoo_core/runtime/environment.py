"""Environment variables: those by which launchers number their processes, and one of torch's. Imports no torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zoo_core.errors import ProcessError, printable


def process_count() -> int:
    """Return the number of processes that torchrun or `accelerate launch` started; 1 without a launcher.

    Raises:
        ProcessError: if WORLD_SIZE is not a number from 1.
    """
    return _whole_number("WORLD_SIZE", default=1, least=1)


def first_process() -> bool:
    """Return whether this process writes files and messages for all of them. Raises ProcessError."""
    return _whole_number("RANK", default=0, least=0) == 0


def local_rank() -> int:
    """Return the number of this process on its machine, from 0. Raises ProcessError."""
    return _whole_number("LOCAL_RANK", default=0, least=0)


def name_compiler_cache() -> None:
    """Say where torch.compile keeps its cache, for a user whom the system knows no name of, as in a container.

    The folder is named after the user otherwise, and up to torch 2.6 there is no other name for one without.
    """
    if os.name != "posix" or any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        return
    import pwd
    import tempfile

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        with contextlib.suppress(FileNotFoundError):  # no folder for temporary files
            folder = Path(tempfile.gettempdir(), f"torchinductor_uid_{os.getuid()}")
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def _whole_number(variable: str, *, default: int, least: int) -> int:
    given = os.environ.get(variable, "").strip()
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and int(given) >= least):
        raise ProcessError(
            f"the environment variable {variable} is {printable(given, 80)!r}, not a whole number from {least}; "
            "unset it, or start the processes with torchrun or accelerate launch"
        )
    return int(given)
