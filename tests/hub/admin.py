"""What only tests ask of a Hub, below /_hub: faults, the log, settings, and content that no client could put there."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .actions import Action
from .commits import advance
from .context import Settings, json_body, store
from .errors import HubError
from .faults import Fault
from .gitobjects import File, lfs_file
from .storage import Repository, write_atomically


async def add_fault(request: Request) -> Response:
    """`{method, path, side, times, skip, action: {action: NAME, ...}}`"""
    body = await json_body(request)
    try:
        fault = Fault(**{**body, "action": Action.from_json(body["action"])})
    except (KeyError, TypeError) as error:
        raise HubError(422, f"not a fault: {error}") from error
    request.app.state.faults.all.append(fault)
    return JSONResponse({"number": len(request.app.state.faults.all) - 1})


async def faults(request: Request) -> Response:
    return JSONResponse([dataclasses.asdict(f) | {"action": f.action.to_json()} for f in request.app.state.faults.all])


async def clear_faults(request: Request) -> Response:
    request.app.state.faults.clear()
    return JSONResponse({})


async def requests(request: Request) -> Response:
    return JSONResponse([dataclasses.asdict(entry) for entry in request.app.state.log])


async def forget(request: Request) -> Response:
    request.app.state.log.clear()
    return JSONResponse({})


async def change_settings(request: Request) -> Response:
    request.app.state.settings = dataclasses.replace(request.app.state.settings, **await json_body(request))
    return JSONResponse(dataclasses.asdict(request.app.state.settings))


async def reset(request: Request) -> Response:
    """Everything as at the first start."""
    request.app.state.faults.clear()
    request.app.state.log.clear()
    request.app.state.settings = Settings()
    store(request).reset()
    return JSONResponse({})


async def plant(request: Request) -> Response:
    """`{repository, files: {path: base64}, lfs: [path, ...]}`: a commit to main without any check of the paths."""
    body = await json_body(request)
    found = store(request).find("model", body["repository"])
    if found is None:
        raise HubError(404, "Repository not found")
    files = found.commit("main").files
    for path, content in body["files"].items():
        files[path] = _planted(found, base64.b64decode(content), lfs=path in body.get("lfs", ()))
    commit = found.record(found.resolve("main"), files, found.namespace, body.get("title", "planted"))
    advance(found, "main", commit)
    return JSONResponse({"commit": commit.id})


def _planted(found: Repository, content: bytes, lfs: bool) -> File:
    if not lfs:
        return found.add_blob(content)
    oid = hashlib.sha256(content).hexdigest()
    write_atomically(found.lfs_path(oid), content)
    return lfs_file(oid, len(content))


routes = [
    Route("/_hub/faults", add_fault, methods=["POST"]),
    Route("/_hub/faults", faults, methods=["GET"]),
    Route("/_hub/faults", clear_faults, methods=["DELETE"]),
    Route("/_hub/requests", requests, methods=["GET"]),
    Route("/_hub/requests", forget, methods=["DELETE"]),
    Route("/_hub/settings", change_settings, methods=["PUT"]),
    Route("/_hub/reset", reset, methods=["POST"]),
    Route("/_hub/commit", plant, methods=["POST"]),
]
