"""The client of the Hub: huggingface_hub's HfApi, and what the `zoo` command sets up for its own process.

A program that imports zoo_core may use huggingface_hub for other work, in other threads too. The session, constants,
progress bars, loggers and warnings filters of huggingface_hub are shared by the whole process, so the functions of
this package leave all of them alone: timeouts are passed with each call that takes one, and an upload that must not
use Xet says so by the form in which it is given (see push). The one exception is `own_this_process`, which the
command calls: no other code runs in its process.
"""

from __future__ import annotations

import logging
import platform
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from zoo_core._version import __version__
from zoo_core.errors import HubError
from zoo_core.hub.errors import LOGIN, TEMPORARY_STATUS, HubResource, clean
from zoo_core.hub.redaction import redacted
from zoo_core.hub.settings import HUGGING_FACE, endpoint, is_the_hub, is_the_same, offline, token

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub import HfApi

TIMEOUT = 10.0  # seconds without a byte, for what the Hub can answer at once
OWN = "zoo_core"  # the extension that marks a request of our own, which huggingface_hub does not repeat
UPLOAD_TIMEOUT = 100.0  # seconds without a byte, for what the Hub has to work on, such as a commit


def api() -> HfApi:
    """Return huggingface_hub's client of the Hub that HF_ENDPOINT names."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint(), library_name="zoo-core", library_version=__version__)


def own_headers() -> dict[str, str]:
    """Return the headers of a request of our own: who sends it, and the token.

    huggingface_hub's `build_hf_headers` would ask the Hub first which variables of the environment to look for, and
    tell it in the name of the client which of them are set: that is none of the business of a Hub, or of whoever
    answers in its place.
    """
    from huggingface_hub import __version__ as version
    from huggingface_hub import constants

    origin = f"; origin/{constants.HF_HUB_USER_AGENT_ORIGIN}" if constants.HF_HUB_USER_AGENT_ORIGIN else ""
    headers = {
        "user-agent": f"zoo-core/{__version__}; hf_hub/{version}; python/{platform.python_version()}{origin}",
    }
    secret = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else token()
    return headers | ({"authorization": f"Bearer {secret}"} if secret else {})


def require_online(subject: object, why: str = "the Hub cannot be asked") -> None:
    """Raise HubError where HF_HUB_OFFLINE is set."""
    if offline():
        raise HubError(f"{subject}: {why}, and HF_HUB_OFFLINE is set, so the network is not used")


def require_token(resource: HubResource) -> None:
    """Raise HubError where the user has no token."""
    if token() is None:
        raise HubError(f"{resource}: needs a token: {LOGIN}")


# the process of the `zoo` command


class _Process:
    """Whether this process belongs to the `zoo` command."""

    owned = False


def own_this_process(say: Callable[[str], Any]) -> None:
    """Set huggingface_hub up for a process that runs the `zoo` command and nothing else.

    Messages of zoo_core, and those of huggingface_hub about its own waiting, go to `say`, one line at a time. From the
    first request on, the shared session has a timeout (without one, huggingface_hub waits for ever for the answer to
    a commit), Ctrl-C may close it, and no progress bar is drawn into a pipe. It sends the token to the
    Hub alone, and no traceback shows a token or a password.
    """
    _Process.owned = True
    sys.excepthook = _show_redacted
    for name in ("zoo_core", "huggingface_hub"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Speaker(say)], False
        logger.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="huggingface_hub")


def prepare_request() -> None:
    """Apply what `own_this_process` promises; do nothing in any other process.

    Called before each attempt, not once: huggingface_hub replaces its session after some failures, and adds a handler
    to its logger when it is imported, which is too slow for a command that never asks the Hub.
    """
    if not _Process.owned:
        return
    from huggingface_hub import get_session
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars  # type: ignore[attr-defined]

    logging.getLogger("huggingface_hub").handlers = list(logging.getLogger("zoo_core").handlers)
    session = get_session()
    if session.timeout.read is None:
        session.timeout = UPLOAD_TIMEOUT
    if _keep_the_token not in session.event_hooks["request"]:
        session.event_hooks["request"].append(_keep_the_token)
    if _raise_at_once not in session.event_hooks["response"]:
        session.event_hooks["response"].append(_raise_at_once)
    if not sys.stderr.isatty() and not are_progress_bars_disabled():
        disable_progress_bars()


def keeps_the_token() -> bool:
    """Whether requests that huggingface_hub makes by itself take the token nowhere but to the Hub.

    In the command's process they do, and where the Hub is huggingface.co, whose token it is. In a program of its own,
    another Hub could name any address for a step of an upload, and would get the token there.
    """
    return _Process.owned or is_the_same(endpoint(), HUGGING_FACE)


def _raise_at_once(answer: Response) -> None:
    """Raise for an answer after which huggingface_hub would wait and try again by itself, for as long as it says."""
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    if answer.status_code in TEMPORARY_STATUS and OWN not in answer.request.extensions:
        hf_raise_for_status(answer)


def hang_up() -> bool:
    """End every request of this process at once, if it is the command's own. Return whether that was done.

    A download checks whether it should stop only once in ten megabytes, which takes minutes on a slow connection.
    """
    if _Process.owned:
        from huggingface_hub import close_session

        close_session()
    return _Process.owned


def _show_redacted(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    """Show the traceback of an error, as Python does, without tokens and passwords."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, place))))


def _keep_the_token(request: Any) -> None:
    """Leave the token out of a request that huggingface_hub sends elsewhere than to the Hub."""
    if not is_the_hub(str(request.url)):
        request.headers.pop("authorization", None)


class _Speaker(logging.Handler):
    _WAITS = re.compile(r"Retrying in|Waiting [\d.]+s|resume")

    def __init__(self, say: Callable[[str], Any]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("zoo_core") or self._WAITS.search(text):
            self.say(clean(text))
