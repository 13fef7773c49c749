"""The application: its routes, and the front that logs each request and lets its fault happen."""

from __future__ import annotations

import secrets
import traceback
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Message

from . import (
    admin,
    log,
    routes_discussions,
    routes_files,
    routes_models,
    routes_repositories,
    routes_trees,
    routes_uploads,
)
from .context import Settings, route_path
from .errors import HubError, answer
from .faults import Exchange, Faults, perform
from .storage import Store

MODULES = (
    routes_files,
    routes_uploads,
    routes_trees,
    routes_discussions,
    routes_repositories,
    routes_models,
    admin,
)
CDN_PATHS = ("/cdn/", "/upload/", "/part/")


class Front:
    """Outermost: the Hub and the CDN are told apart by port, and admin requests leave no trace."""

    def __init__(self, app: Starlette):
        self.app, self.state = app, app.state

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = scope | {"path": route_path(scope["raw_path"])}
        if scope["path"].startswith("/_hub/"):
            return await self.app(scope, receive, send)
        return await self._serve(scope, receive, send)

    async def _serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        entry = log.entry(scope, "cdn" if scope["server"][1] == self.state.cdn_port else "hub")
        self.state.log.append(entry)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", secrets.token_hex(8).encode())]
            else:
                entry.sent += len(message.get("body", b""))
            await send(message)

        app = self.app if scope["path"].startswith(CDN_PATHS) == (entry.side == "cdn") else NOT_HERE
        spared = entry.path == log.HARNESSES
        fault = None if spared else self.state.faults.take(entry.method, entry.path, entry.side)
        exchange = Exchange(app, scope, receive, watched, self.state.faults.released)
        try:
            if fault is None:
                return await exchange.run()
            entry.fault = type(fault.action).__name__
            return await perform(fault.action, exchange)
        except ClientDisconnect:
            return None
        except Exception:  # answered with 500 already; a mistake of this Hub's own is to be seen
            traceback.print_exc()
            return None


NOT_HERE = JSONResponse({"error": "Not Found"}, 404)


def application(folder: Path, cdn_port: int) -> Front:
    """The Hub whose repositories are in `folder`."""
    routes = [route for module in MODULES for route in module.routes]
    app = Starlette(routes=routes, exception_handlers={HubError: answer})
    app.state.store = Store(folder)
    app.state.settings, app.state.faults, app.state.log = Settings(), Faults(), []
    app.state.secret, app.state.cdn_port = secrets.token_bytes(32), cdn_port
    return Front(app)
