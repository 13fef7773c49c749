"""Asking the Hub: how often, how long, and what is said meanwhile.

huggingface_hub tries some calls again and others not, tells some failures through its log and others by a page of
text. Here every call goes through `attempt`: a failure that may pass is tried again a bounded number of times, after
a wait that is told, and what remains is one line.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core._version import __version__
from zoo_core.errors import HubError, ZooError
from zoo_core.files import locks
from zoo_core.hub.errors import (
    LOGIN,
    PASSING,
    cause_of,
    is_short_body,
    is_transport,
    root_of,
    status_of,
    without_token,
)
from zoo_core.hub.errors import Subject as Subject
from zoo_core.hub.errors import clean as clean
from zoo_core.hub.errors import disk_problem as disk_problem
from zoo_core.hub.errors import problem as problem
from zoo_core.hub.settings import cache_folder as cache_folder
from zoo_core.hub.settings import endpoint as endpoint
from zoo_core.hub.settings import offline as offline
from zoo_core.hub.settings import state_folder as state_folder
from zoo_core.hub.settings import token as token

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = logging.getLogger("zoo_core.hub")
ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
LONGEST_WAIT = 60.0  # seconds; a Hub that asks for more is told to the user instead
TIMEOUT = 10.0  # seconds without a byte, for what the Hub can answer at once
PATIENCE = 100.0  # seconds without a byte, for what it has to work on: huggingface_hub would wait for ever
_Answer = TypeVar("_Answer")


class StoppedError(ZooError):
    """Somebody else's failure, or Ctrl-C, ended this piece of work."""

    def __init__(self) -> None:
        super().__init__("stopped")


# what a call needs


def require_online(subject: object, why: str = "") -> None:
    """Raise HubError where HF_HUB_OFFLINE is set."""
    if offline():
        raise HubError(f"{subject}: {why or 'the Hub cannot be asked'}, and HF_HUB_OFFLINE keeps the network out")


def api() -> HfApi:
    """huggingface_hub's client of the Hub that HF_ENDPOINT names."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint(), library_name="zoo-core", library_version=__version__)


def require_token(subject: Subject) -> None:
    """Raise HubError where the user has none."""
    if token() is None:
        raise HubError(f"{subject}: needs a token: {LOGIN}")


@contextlib.contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold a lock between processes; a kill frees it. Says what is waited for."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(path, waiting_for))
        except OSError as error:
            raise disk_problem(error, path.parent) from error
        yield


# asking


def attempt(
    subject: Subject,
    ask: Callable[[], _Answer],
    *,
    attempts: int | None = None,
    stop: threading.Event | None = None,
    folder: Path | None = None,
) -> _Answer:
    """What `ask` returns, tried again where its failure may pass.

    Args:
        attempts: at most so many; ATTEMPTS by default.
        stop: ends the waiting, when set.
        folder: where the call writes, for messages about the disk.

    Raises:
        UnreachableError: where every attempt failed so.
        HubError, ZooError: for a failure that no further attempt can mend, at once.
    """
    require_online(subject)
    _tame_client()
    attempts, stop = attempts or ATTEMPTS, stop or threading.Event()
    for number in range(1, attempts + 1):
        if stop.is_set():
            raise StoppedError
        try:
            return ask()
        except ZooError:
            raise
        except Exception as error:
            wait = _wait_after(error, number)
            if wait is None or number == attempts:
                raise problem(error, subject, folder) from without_token(error)
            pause(subject, cause_of(error), wait, f"attempt {number + 1} of {attempts}", stop)
    raise AssertionError


def pause(subject: Subject, why: str, seconds: float, then: str, stop: threading.Event | None = None) -> None:
    """Wait, and say what for. Raises StoppedError."""
    log.warning("%s: %s; trying again in %g s (%s)", subject, why, seconds, then)
    if (stop or threading.Event()).wait(seconds):
        raise StoppedError


def hang_up() -> None:
    """End what is under way: downloads look whether they shall stop only once in ten megabytes."""
    from huggingface_hub import close_session

    close_session()


def _tame_client() -> None:
    """Give huggingface_hub's session, which waits for ever, a bound, and take the printing of messages from it."""
    from huggingface_hub import get_session

    ours = logging.getLogger("zoo_core").handlers
    if any(isinstance(handler, _Speaker) for handler in ours):
        logging.getLogger("huggingface_hub").handlers = list(ours)  # it adds one of its own when imported
    session = get_session()
    if session.timeout.read is None:
        session.timeout = PATIENCE


def _wait_after(error: BaseException, number: int) -> float | None:
    """Seconds to wait before trying again, or None where that would not help."""
    error = root_of(error)
    backoff: float = min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT)
    status = status_of(error)
    if status is not None:
        if status not in PASSING:
            return None
        asked = str(error.response.headers.get("Retry-After", ""))  # type: ignore[attr-defined]
        wait: float = max(float(asked), backoff) if re.fullmatch(r"\d{1,9}", asked.strip()) else backoff
        return wait if wait <= LONGEST_WAIT else None
    if is_transport(error) and type(error).__name__ not in ("UnsupportedProtocol", "ProxyError"):
        return backoff
    return backoff if is_short_body(error) else None


def speak(say: Callable[[str], Any]) -> None:
    """Let `say` have every message, also huggingface_hub's about its own waiting; for a process that is ours."""
    for name in ("zoo_core", "huggingface_hub"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Speaker(say)], False
        logger.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="huggingface_hub")


class _Speaker(logging.Handler):
    _WAITS = re.compile(r"Retrying in|Waiting [\d.]+s|resume")

    def __init__(self, say: Callable[[str], Any]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("zoo_core") or self._WAITS.search(text):
            self.say(clean(text))
