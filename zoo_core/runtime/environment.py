"""The environment variables by which torchrun and `accelerate launch` number their processes. Imports no torch."""

from __future__ import annotations

import os

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
