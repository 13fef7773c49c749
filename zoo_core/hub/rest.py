"""Requests to the Hub's API, one at a time: what is sent once is tried again by `attempt` alone, and what comes back
is bounded.

huggingface_hub has functions for most of these requests. Those for uploads and listings try again by themselves, wait
for as long as a server asks for, and fail on servers that leave out a field which nobody needs. Here a request uses
huggingface_hub's session and errors, and nothing else of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import HubError
from zoo_core.hub import client, requesting
from zoo_core.hub.errors import HubResource, UnexpectedAnswerError, not_a_hub, origin_of
from zoo_core.hub.retrying import attempt
from zoo_core.hub.settings import endpoint, is_the_hub

MAX_BYTES = 32 * 2**20  # of an answer; the file list of the largest repositories takes a tenth of it a page
MAX_PAGES = 200
SIGN_OF_LIFE = 10.0  # seconds without an answer after which the user is told what is being waited for
_ABSENT = (404, 405, 501)  # what servers answer where they do not know a route
_log = logging.getLogger("zoo_core.hub")


@dataclass(frozen=True)
class Answer:
    """What a server answered with a status of 2xx or 3xx.

    Attributes:
        resource: what the request concerned, for messages.
        url: the address that answered, after redirects.
        headers: by lower-case name.
    """

    resource: HubResource
    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the content as JSON. Raises UnexpectedAnswerError where it is something else."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise not_a_hub(self.url, self.content[:1000].decode("utf-8", "replace"), self.resource) from error

    def mapping(self) -> dict[str, Any]:
        """Return the content as a JSON object. Raises UnexpectedAnswerError where it is something else."""
        value = self.json()
        if not isinstance(value, dict):
            raise not_a_hub(self.url, "JSON, but not an object", self.resource)
        return value


def call(
    resource: HubResource,
    method: str,
    path: str,
    *,
    attempts: int | None = None,
    stop: threading.Event | None = None,
    **arguments: Any,
) -> Answer:
    """Return the answer to a request, and try again as `attempt` does.

    Args:
        path: below the Hub's address, quoted; or a whole address.
        attempts, stop: those of `attempt`.
        arguments: those of `send`.

    Raises:
        HubError, UnreachableError: as `attempt`.
    """
    return attempt(resource, lambda: send(resource, method, path, **arguments), attempts=attempts, stop=stop)


def send(
    resource: HubResource,
    method: str,
    path: str,
    *,
    timeout: float | None = None,
    limit: int | None = None,
    **arguments: Any,
) -> Answer:
    """Send a request once and return the answer.

    Args:
        timeout: seconds without a byte; client.TIMEOUT by default.
        limit: the largest number of bytes to receive; MAX_BYTES by default.
        arguments: those of `requesting.answer`.

    Raises:
        HubError: where the answer is larger.
        Exception: what huggingface_hub and the session raise, for `attempt` to explain.
    """
    timeout = client.TIMEOUT if timeout is None else timeout
    url = path if "://" in path else f"{endpoint()}{path}"
    with (
        _announced(resource, timeout) if method != "PUT" else contextlib.nullcontext(),  # that has a progress bar
        requesting.answer(resource, method, url, timeout=timeout, **arguments) as received,
    ):
        content = requesting.read(resource, received, MAX_BYTES if limit is None else limit)
        headers = {name.lower(): value for name, value in received.headers.items()}
        return Answer(resource, str(received.url), received.status_code, headers, content)


@contextlib.contextmanager
def _announced(resource: HubResource, timeout: float) -> Iterator[None]:
    """Log a line where an answer that may take long takes long."""
    message = "%s: no answer for %g s; waiting for up to %g s"
    timer = threading.Timer(SIGN_OF_LIFE, _log.warning, (message, resource, SIGN_OF_LIFE, timeout))
    timer.daemon = True
    if timeout > SIGN_OF_LIFE:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def pages(resource: HubResource, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the items of a list that the Hub gives page by page; each page is requested when it is needed.

    Raises:
        HubError, UnreachableError: as `call`, and for a list that does not end.
    """
    following: str | None = path
    arguments: dict[str, Any] = {"params": params}
    seen = set()
    for _ in range(MAX_PAGES):
        assert following is not None
        answer = call(resource, "GET", following, **arguments)
        items = answer.json()
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise not_a_hub(answer.url, "JSON, but not a list of objects", resource)
        yield from items
        following, arguments = _next_page(answer), {}  # the address of the next page has all parameters
        if following is None:
            return
        if not is_the_hub(following):
            raise HubError(f"{resource}: the Hub's list goes on at {origin_of(following)}, which is not the Hub")
        if following in seen:
            raise HubError(f"{resource}: the Hub's list comes back to a page that was there before")
        seen.add(following)
    raise HubError(f"{resource}: the Hub's list has more than {MAX_PAGES} pages")


def _next_page(answer: Answer) -> str | None:
    """Return the address in the header `Link: <…>; rel="next"`."""
    for link in answer.headers.get("link", "").split(","):
        address, _, relation = link.partition(";")
        if "next" in relation and address.strip().startswith("<"):
            with contextlib.suppress(ValueError):  # what is no address is no page either
                return urllib.parse.urljoin(answer.url, address.strip().strip("<>"))
    return None


def has_no_route(error: HubError) -> bool:
    """Whether a failure says that the server does not know what was requested: by its status, or with a web page."""
    return error.status in _ABSENT or (isinstance(error, UnexpectedAnswerError) and error.web_page)


def api_path(repo: str, *parts: str) -> str:
    """Return the path of a model repository in the Hub's API, or of something below it.

    Example:
        >>> api_path("alice/digits", "tree", "refs/pr/1")
        '/api/models/alice/digits/tree/refs%2Fpr%2F1'
    """
    return "/".join(["/api/models", repo, *(urllib.parse.quote(part, safe="") for part in parts)])
