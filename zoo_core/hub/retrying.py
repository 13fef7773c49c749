"""Retries of requests to the Hub: how many attempts, which failures may pass, how long to wait, and what is logged.

huggingface_hub retries some calls and not others, and reports failures through its log or as a page of text. Here
every call goes through `attempt`: a failure that may pass is retried a bounded number of times, after a wait that is
logged, and what remains is an error of one line.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zoo_core.errors import ZooError
from zoo_core.hub.client import prepare_request, require_online
from zoo_core.hub.errors import (
    TEMPORARY_STATUS,
    HubResource,
    cause_of,
    explain,
    is_short_body,
    is_transport,
    root_of,
    status_of,
    without_token,
)

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
LONGEST_WAIT = 60.0  # seconds; where a Hub asks for more, the call fails and the user is told how long
_HOPELESS = ("UnsupportedProtocol", "ProxyError")  # failures of the connection that no further attempt changes
_log = logging.getLogger("zoo_core.hub")
_Answer = TypeVar("_Answer")


class StoppedError(ZooError):
    """This piece of work was ended by a failure elsewhere, or by Ctrl-C."""

    def __init__(self) -> None:
        super().__init__("stopped")


def attempt(
    resource: HubResource,
    request: Callable[[], _Answer],
    *,
    attempts: int | None = None,
    stop: threading.Event | None = None,
    folder: Path | None = None,
) -> _Answer:
    """Return what `request` returns, and call it again where its failure may pass.

    Args:
        resource: what the request concerns, for messages.
        attempts: the largest number of calls; ATTEMPTS by default.
        stop: ends the waiting when it is set.
        folder: where the request writes, for messages about the disk.

    Raises:
        UnreachableError: where every attempt failed in a way that may pass.
        HubError, ZooError: at once, for a failure that another attempt would not change.
        StoppedError: where `stop` was set.
    """
    require_online(resource)
    attempts, stop = attempts or ATTEMPTS, stop or threading.Event()
    for number in range(1, attempts + 1):
        if stop.is_set():
            raise StoppedError
        prepare_request()
        try:
            return request()
        except ZooError:
            raise
        except Exception as error:
            wait = _wait_after(error, number)
            if wait is None or number == attempts:
                raise explain(error, resource, folder) from without_token(error)
            _log.warning(
                "%s: %s; trying again in %g s (attempt %d of %d)", resource, cause_of(error), wait, number + 1, attempts
            )
            if stop.wait(wait):
                raise StoppedError from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def _wait_after(error: BaseException, number: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None where another one would not help."""
    error = root_of(error)
    backoff: float = min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT)
    status = status_of(error)
    if status is not None:
        if status not in TEMPORARY_STATUS:
            return None
        requested = str(error.response.headers.get("Retry-After", "")).strip()  # type: ignore[attr-defined]
        wait: float = max(float(requested), backoff) if re.fullmatch(r"\d{1,9}", requested) else backoff
        return wait if wait <= LONGEST_WAIT else None
    if is_transport(error) and type(error).__name__ not in _HOPELESS:
        return backoff
    return backoff if is_short_body(error) else None
