"""Requests to the Hub: who gets the token, which redirects are followed, and how much of an answer is read.

huggingface_hub sends the token to some addresses that an answer names, and reads an answer to its end, however long it
is. Requests from here go through its session, so that the proxies and certificates of a program's own
`set_client_factory` hold for them too, but each redirect, header and byte is looked at here: the token goes to the
origin of the Hub alone, and an answer that is too large, too slow or without end is refused while it arrives.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import re
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zoo_core.errors import HubError, UnreachableError
from zoo_core.hub import client
from zoo_core.hub.errors import HubResource, clean
from zoo_core.hub.settings import PORTS, SPEED_VARIABLE, endpoint, is_the_hub, slowest
from zoo_core.registries.address import DEFAULT_REVISION

ERROR_BYTES = 2**16  # of the body of a refusal, as much as is read
REDIRECTS = 5
WINDOW = 30.0  # seconds over which the speed of an answer is measured
PATIENCE = 6  # times the timeout for one silence that the status and the headers of an answer may take together
_PIECE = 2**16
_SENT_TO_THE_HUB_ALONE = ("authorization", "cookie")


def file_url(resource: HubResource) -> str:
    """Return the address of a file at a revision."""
    assert resource.file is not None
    revision = urllib.parse.quote(resource.revision or DEFAULT_REVISION, safe="")
    return f"{endpoint()}/{resource.repo}/resolve/{revision}/{urllib.parse.quote(resource.file)}"


# one request


@contextlib.contextmanager
def answer(
    resource: HubResource,
    method: str,
    url: str,
    *,
    describing: bool = False,
    follow: bool = True,
    signed: bool = False,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **content: Any,
) -> Iterator[Any]:
    """Send a request and give the answer with its body unread. It is closed when the block ends.

    Args:
        describing: give a redirect as it is where it describes the file that it leads to, or leads elsewhere than to
            the Hub. By default every redirect is followed, and elsewhere without the token.
        follow: follow redirects at all.
        signed: the address itself is the permission, and a token besides would be refused.
        timeout: seconds without a byte.
        content: what the session's `build_request` takes besides: params, json, data, content.

    Raises:
        HubError: where the redirects do not end, or lead to what is no address.
        HfHubHTTPError: for any other status than 2xx.
    """
    timeout = timeout or client.TIMEOUT
    for _ in range(REDIRECTS + 1):
        received = _send(resource, method, url, dict(headers or {}), timeout, content, signed=signed)
        try:
            target = redirect_of(resource, received) if follow else None
            if target is None or (describing and ("x-linked-etag" in received.headers or not is_the_hub(target))):
                _raise_for_status(resource, received)
                yield received
                return
        finally:
            received.close()
        url = target
        if received.status_code in (301, 302, 303):
            method, content = ("HEAD" if method == "HEAD" else "GET"), {}
        content.pop("params", None)  # the address has them
    raise HubError(f"{resource}: the Hub redirects more than {REDIRECTS} times")


def _send(
    resource: HubResource,
    method: str,
    url: str,
    headers: dict[str, str],
    timeout: float,
    content: Mapping[str, Any],
    *,
    signed: bool,
) -> Any:
    from huggingface_hub import get_session

    session = get_session()
    headers = {"accept-encoding": "gzip, deflate"} | client.own_headers() | headers
    request = session.build_request(
        method, url, headers=headers, timeout=timeout, extensions={client.OWN: True}, **content
    )
    options: dict[str, Any] = {"stream": True, "follow_redirects": False}
    if signed or not is_the_hub(url):
        options["auth"] = None
        for name in _SENT_TO_THE_HUB_ALONE:
            request.headers.pop(name, None)
    if isinstance(content.get("content"), Iterator):  # a file, of which nobody knows how long it takes
        return session.send(request, **options)
    return within(timeout * PATIENCE, resource, lambda: session.send(request, **options))


def within(seconds: float, resource: HubResource, send: Callable[[], Any]) -> Any:
    """Return the answer, or give up on it: headers that arrive byte by byte break no timeout of a socket."""
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    given_up = threading.Event()

    def run() -> None:
        try:
            received = send()
        except BaseException as error:
            results.put((None, error))
            return
        results.put((received, None))
        if given_up.is_set():
            received.close()

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    try:
        received, failure = results.get(timeout=seconds)
    except queue.Empty:
        raise UnreachableError(f"{resource}: the Hub has not begun to answer after {seconds:g} s") from None
    finally:
        given_up.set()
    if failure is not None:
        raise failure
    return received


def redirect_of(resource: HubResource, received: Any) -> str | None:
    """Return where an answer redirects to, without a user's name or password in it; None if it does not redirect."""
    if received.status_code not in (301, 302, 303, 307, 308) or "location" not in received.headers:
        return None
    target = str(received.headers["location"])
    try:
        target = urllib.parse.urljoin(str(received.url), target)
        parts = urllib.parse.urlsplit(target)
        place = parts.hostname or ""
        if parts.scheme not in PORTS or not re.fullmatch(r"[A-Za-z0-9.:_-]+", place):
            raise ValueError
        place = f"[{place}]" if ":" in place else place
        return parts._replace(netloc=f"{place}:{parts.port}" if parts.port else place).geturl()
    except ValueError:
        raise HubError(f"{resource}: the Hub redirects to {clean(target)!r}, which is no address") from None


def _raise_for_status(resource: HubResource, received: Any) -> None:
    """Raise huggingface_hub's error for a refusal, of whose body no more than the beginning is read."""
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    if received.status_code < 400:
        return
    body = bytearray()
    with contextlib.suppress(HubError, ValueError):  # the status says enough
        for piece in pieces(resource, received):
            body += piece
            if len(body) >= ERROR_BYTES:
                break
    headers = {name: value for name, value in received.headers.items() if name not in ("content-encoding",)}
    hf_raise_for_status(
        type(received)(
            received.status_code, headers=headers, content=bytes(body[:ERROR_BYTES]), request=received.request
        )
    )


# the body of an answer


def pieces(resource: HubResource, received: Any) -> Iterator[bytes]:
    """Give a body as it arrives, decompressed, in pieces of at most 64 KiB.

    Raises:
        UnreachableError: where it is slower than ZOO_HUB_MIN_SPEED.
        HubError: where it is compressed in a way that was not requested.
    """
    coding = received.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise HubError(f"{resource}: the Hub sends it compressed as {clean(coding)[:40]!r}, which was not requested")
    expand = None if coding in ("", "identity") else zlib.decompressobj(47)  # 47: gzip or zlib, whichever it is
    pace = Pace(resource)
    for raw in received.iter_raw():
        pace.count(len(raw))
        while expand is not None and raw:
            try:
                piece = expand.decompress(raw, _PIECE)
            except zlib.error as error:
                raise HubError(f"{resource}: what the Hub sends is not {coding} ({error})") from error
            if piece:
                yield piece
            raw = expand.unconsumed_tail
        for start in range(0, len(raw), _PIECE):
            yield raw[start : start + _PIECE]


class Pace:
    """The speed of an answer, measured over each WINDOW; one that is slower than ZOO_HUB_MIN_SPEED is given up."""

    def __init__(self, resource: HubResource, clock: Callable[[], float] = time.monotonic) -> None:
        self.resource, self.clock, self.floor = resource, clock, slowest()
        self.since, self.arrived = clock(), 0

    def count(self, size: int) -> None:
        """Add bytes that have arrived. Raises UnreachableError."""
        self.arrived += size
        passed = self.clock() - self.since
        if passed < WINDOW:
            return
        if self.arrived < self.floor * passed:
            raise UnreachableError(
                f"{self.resource}: {self.arrived:,} bytes arrived in {passed:.0f} s, fewer than {self.floor:,} a "
                f"second; try again later, or set {SPEED_VARIABLE} lower"
            )
        self.since, self.arrived = self.clock(), 0


def read(resource: HubResource, received: Any, limit: int) -> bytes:
    """Return a whole body. Raises HubError where it is larger than `limit` bytes."""
    body = bytearray()
    for piece in pieces(resource, received):
        body += piece
        if len(body) > limit:
            raise HubError(f"{resource}: the Hub sends more than {limit:,} bytes, which is more than it can have")
    return bytes(body)
