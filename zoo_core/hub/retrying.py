"""Retries of requests to the Hub: how many attempts, which failures may pass, how long to wait, and what is logged.

huggingface_hub retries some calls and not others, and reports failures through its log or as a page of text. Here
every call goes through `attempt`: a failure that may pass is retried a bounded number of times, after a wait that is
logged, and what remains is an error of one line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zoo_core.errors import ZooError
from zoo_core.hub.client import prepare_request, require_online
from zoo_core.hub.errors import (
    TEMPORARY_STATUS,
    HubResource,
    cause_and_host,
    check_endpoint,
    explain,
    is_short_body,
    is_transport,
    retry_after,
    root_of,
    status_of,
    tls_problem,
    without_token,
)

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
LONGEST_WAIT = 60.0  # seconds; where a Hub asks for more, the call fails and the user is told how long
LONGEST_WAITS = 120.0  # seconds of waiting for one request, in all its attempts
_HOPELESS = (
    "UnsupportedProtocol",
    "LocalProtocolError",
    "ProxyError",
)  # failures of the connection that no further attempt changes
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
        UnreachableError: where every attempt failed in a way that may pass, or the waits together became too long.
        HubError, ZooError: at once, for a failure that another attempt would not change.
        StoppedError: where `stop` was set.
    """
    require_online(resource)
    check_endpoint()
    attempts, stop = attempts or ATTEMPTS, stop or threading.Event()
    made, waited = 0, 0.0
    while True:
        if stop.is_set():
            raise StoppedError
        prepare_request()
        began = time.monotonic()
        try:
            return request()
        except ZooError:
            raise
        except Exception as error:
            made += 1
            waited += time.monotonic() - began if _is_silence(error) else 0.0
            wait = _wait_after(error, made)
            if wait is None or made >= attempts or waited + wait > LONGEST_WAITS:
                raise explain(error, resource, folder) from without_token(error)
            _log.warning(
                "%s: %s; trying again in %g s (attempt %d of %d)",
                resource,
                cause_and_host(error),
                wait,
                made + 1,
                attempts,
            )
            if pause(wait, stop):
                raise StoppedError from None
            waited += wait


def pause(seconds: float, stop: threading.Event) -> bool:
    """Wait between two attempts. Return whether `stop` was set meanwhile."""
    return stop.wait(seconds)


def _wait_after(error: BaseException, made: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None where another one would not help."""
    error = root_of(error)
    backoff: float = min(FIRST_WAIT * 2 ** (made - 1), LONGEST_WAIT)
    status = status_of(error)
    if status is not None:
        if status not in TEMPORARY_STATUS:
            return None
        wait = max(retry_after(error) or 0.0, backoff)
        return wait if wait <= LONGEST_WAIT else None
    if is_transport(error):
        return None if type(error).__name__ in _HOPELESS or tls_problem(error) is not None else backoff
    return backoff if is_short_body(error) else None


def _is_silence(error: BaseException) -> bool:
    """Whether an attempt ended because nothing came for too long, so that its time was spent waiting."""
    return type(root_of(error)).__name__ in ("ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout")
