"""Carrying out the actions: each wraps the application or the messages that it sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Send

from . import actions, connections


@dataclass
class Fault:
    """An action, and the requests that it befalls: `times` of those that match, after `skip` of them."""

    action: actions.Action
    method: str = "*"
    path: str = "*"
    side: str = "*"  # "hub" or "cdn"
    times: int | None = 1  # None: always
    skip: int = 0
    hits: int = 0

    def takes(self, method: str, path: str, side: str) -> bool:
        """Whether it befalls this request; counts it."""
        pairs = ((method, self.method), (path, self.path), (side, self.side))
        if self.hits == self.times or not all(fnmatchcase(value, pattern) for value, pattern in pairs):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True


class Faults:
    """All that are set; the first that matches befalls a request."""

    def __init__(self) -> None:
        self.all: list[Fault] = []
        self.released = asyncio.Event()  # set when they are cleared

    def clear(self) -> None:
        """Also lets go of what hangs."""
        self.released.set()
        self.all, self.released = [], asyncio.Event()

    def take(self, method: str, path: str, side: str) -> Fault | None:
        return next((fault for fault in self.all if fault.takes(method, path, side)), None)


@dataclass
class Exchange:
    """A request and the way to answer it."""

    app: ASGIApp
    scope: dict[str, Any]
    receive: Receive
    send: Send
    released: asyncio.Event

    async def run(self, send: Send | None = None) -> None:
        await self.app(self.scope, self.receive, send or self.send)

    async def answer(self, response: Response) -> None:
        await response(self.scope, self.receive, self.send)

    async def read(self) -> None:
        """Take the whole request, once: a connection that is closed over unread bytes ends in a reset instead."""
        message = await self.receive()
        while message["type"] == "http.request" and message.get("more_body"):
            message = await self.receive()

    async def wait(self, seconds: float) -> None:
        """Until then, or until the faults are cleared."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.released.wait(), seconds)


async def perform(action: actions.Action, exchange: Exchange) -> None:
    """Answer the exchange as the action has it."""
    await PERFORMERS[type(action)](action, exchange)


async def _status(action: actions.status, exchange: Exchange) -> None:
    message = action.message or actions.REASONS.get(action.code, "Error")
    headers = {"X-Error-Message": message}
    if action.error:
        headers["X-Error-Code"] = action.error
    if action.retry_after is not None:
        headers["Retry-After"] = str(action.retry_after)
    if action.body is not None:
        return await exchange.answer(Response(action.body, action.code, headers))
    return await exchange.answer(JSONResponse({"error": message}, action.code, headers))


async def _cut(action: actions.cut, exchange: Exchange) -> None:
    async def end() -> None:
        connections.close(exchange.scope)

    await exchange.run(_stop(action.after, exchange, end))


async def _reset(action: actions.reset, exchange: Exchange) -> None:
    async def end() -> None:
        await connections.reset(exchange.scope)

    await exchange.run(_stop(action.after, exchange, end))


def _stop(after: int, exchange: Exchange, end: Callable[[], Awaitable[None]]) -> Send:
    """Let `after` bytes of the body through, then `end`; a body that is no longer stays whole."""
    left, stopped = after, False

    async def send(message: Message) -> None:
        nonlocal left, stopped
        if stopped:
            return
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and len(body) > left:
            stopped = True
            await exchange.send({"type": "http.response.body", "body": body[:left], "more_body": True})
            await end()
            return
        left -= len(body)
        await exchange.send(message)

    return send


async def _refuse(action: actions.refuse, exchange: Exchange) -> None:
    await exchange.read()
    connections.close(exchange.scope)


async def _lose(action: actions.lose, exchange: Exchange) -> None:
    async def nowhere(message: Message) -> None:
        pass

    await exchange.run(nowhere)
    if action.status is None:
        connections.close(exchange.scope)
    else:
        await _status(actions.status(action.status), exchange)


async def _hang(action: actions.hang, exchange: Exchange) -> None:
    left = action.after

    async def send(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and left is not None:
            if len(body) > left:
                await exchange.send({"type": "http.response.body", "body": body[:left], "more_body": True})
                await exchange.wait(action.seconds)
                message, left = {**message, "body": body[left:]}, None
            else:
                left -= len(body)
        await exchange.send(message)

    if left is None:
        await exchange.wait(action.seconds)
    await exchange.run(send)


async def _slow(action: actions.slow, exchange: Exchange) -> None:
    piece = max(1, action.rate // 20)

    async def send(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            return await exchange.send(message)
        for start in range(0, len(body), piece):
            last = start + piece >= len(body) and not message.get("more_body")
            part = {"type": "http.response.body", "body": body[start : start + piece], "more_body": not last}
            await exchange.send(part)
            await exchange.wait(len(body[start : start + piece]) / action.rate)
        return None

    await exchange.run(send)


async def _flip(action: actions.flip, exchange: Exchange) -> None:
    seen = 0

    async def send(message: Message) -> None:
        nonlocal seen
        body = message.get("body", b"")
        at = action.at - seen
        seen += len(body)
        if 0 <= at < len(body):
            message = {**message, "body": body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]}
        await exchange.send(message)

    await exchange.run(send)


async def _resize(action: actions.resize, exchange: Exchange) -> None:
    """Every answer with a body is held back until it is whole."""
    start, body = await _whole(exchange)
    if body:
        body = body + b"\0" * action.by if action.by > 0 else body[: action.by]
        _set(start, "content-length", str(len(body)))
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": body})


async def _lie(action: actions.lie, exchange: Exchange) -> None:
    start, body = await _whole(exchange)
    told = _get(start, "x-linked-size")
    if told is not None:
        _set(start, "x-linked-size", str(int(told) + action.by))
    length = _get(start, "content-length")
    if exchange.scope["method"] == "HEAD" and start["status"] == 200 and length is not None:
        _set(start, "content-length", str(int(length) + action.by))
    if body and "json" in (_get(start, "content-type") or ""):
        body = json.dumps(_with_sizes(json.loads(body), action.by)).encode()
        _set(start, "content-length", str(len(body)))
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": body})


def _with_sizes(value: Any, by: int) -> Any:
    if isinstance(value, list):
        return [_with_sizes(item, by) for item in value]
    if isinstance(value, dict):
        return {k: v + by if k == "size" and isinstance(v, int) else _with_sizes(v, by) for k, v in value.items()}
    return value


async def _revision(action: actions.revision, exchange: Exchange) -> None:
    exchange.scope["hub.revision"] = {"revision": action.name, "claim": action.claim}
    await exchange.run()


async def _headers(action: actions.headers, exchange: Exchange) -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            gone = {name.lower().encode() for name in [*action.remove, *action.add]}
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in gone]
            message["headers"] = kept + [(k.lower().encode(), v.encode()) for k, v in action.add.items()]
        await exchange.send(message)

    await exchange.run(send)


async def _whole(exchange: Exchange) -> tuple[Message, bytes]:
    """The answer that would be sent."""
    start: Message = {}
    body = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await exchange.run(send)
    return start, bytes(body)


def _get(start: Message, name: str) -> str | None:
    return next((value.decode() for key, value in start["headers"] if key.lower() == name.encode()), None)


def _set(start: Message, name: str, value: str) -> None:
    others = [(key, old) for key, old in start["headers"] if key.lower() != name.encode()]
    start["headers"] = [*others, (name.encode(), value.encode())]


PERFORMERS: dict[type[actions.Action], Callable[..., Awaitable[None]]] = {
    actions.status: _status,
    actions.cut: _cut,
    actions.reset: _reset,
    actions.refuse: _refuse,
    actions.lose: _lose,
    actions.hang: _hang,
    actions.slow: _slow,
    actions.flip: _flip,
    actions.lie: _lie,
    actions.resize: _resize,
    actions.revision: _revision,
    actions.headers: _headers,
}
