"""What the routes share: the repository, revision and path that a request names, and pages of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse

from .errors import HubError, bad_request, repository_not_found
from .identity import require_read, user_of
from .storage import Commit, Repository, Store

SLASH = "\x1f"  # stands for a quoted slash in scope["path"], so that `refs%2Fpr%2F1` is one segment


class Kind(StringConvertor):
    """`{kind:kind}` in a route: the first segment of an address that is not a user's name."""

    regex = "models|datasets|spaces"


register_url_convertor("kind", Kind())


@dataclass
class Settings:
    """What tests may turn."""

    page: int = 1000  # entries of a tree or a list in one answer
    lfs_above: int = 10 * 2**20  # bytes from which every file goes to LFS
    multipart_above: int = 64 * 2**20  # bytes from which an upload is in parts
    part: int = 16 * 2**20  # bytes of a part


def route_path(raw: bytes) -> str:
    """The decoded path, with quoted slashes kept apart from those that separate."""
    return unquote(raw.decode("ascii", "replace").replace("%2F", SLASH).replace("%2f", SLASH))


def parameter(request: Request, name: str) -> str:
    return str(request.path_params[name]).replace(SLASH, "/")


def store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found


def settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


def base_url(request: Request) -> str:
    """The Hub's address as this client knows it."""
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def cdn_url(request: Request) -> str:
    """Another origin, so that clients leave the token behind."""
    return f"http://127.0.0.1:{request.app.state.cdn_port}"


def repository(request: Request) -> Repository:
    """The one that the path names, if the client may know of it."""
    kind = str(request.path_params.get("kind", "models")).removesuffix("s")
    id = f"{request.path_params['namespace']}/{request.path_params['name']}"
    user = user_of(request)
    found = store(request).find(kind, id)
    if found is None:
        _redirect_if_moved(request, kind, id)
        raise repository_not_found(user is not None)
    require_read(user, found)
    return found


def _redirect_if_moved(request: Request, kind: str, id: str) -> None:
    new = store(request).moved.get(f"{kind}:{id}")
    if new:
        raw, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
        location = raw.replace(id, new, 1) + (f"?{query}" if query else "")
        raise HubError(307, f"Moved to {new}", headers={"Location": location})


@dataclass(frozen=True)
class Asked:
    """A commit to serve, and the hash to say it has; a fault makes the two differ."""

    commit: Commit
    claimed: str


def asked(request: Request, found: Repository, revision: str) -> Asked:
    """The commit of a revision, or of the one that a fault serves instead."""
    other = request.scope.get("hub.revision")
    if other is None:
        commit = found.commit(revision)
        return Asked(commit, commit.id)
    commit = found.commit(other["revision"])
    return Asked(commit, found.resolve(revision) if other["claim"] else commit.id)


def revision_and_path(request: Request) -> tuple[str, str]:
    """Of `{rest:path}`: the first segment, or three where an unquoted refs/pr/1 stands there, and what follows."""
    rest = str(request.path_params["rest"])
    match = re.match(r"(refs/(?:pr|heads|tags|convert)/[^/]+|[^/]+)(?:/(.*))?\Z", rest, re.DOTALL)
    if match is None:
        raise bad_request(f"no revision in {rest}")
    return match.group(1).replace(SLASH, "/"), (match.group(2) or "").replace(SLASH, "/")


def truth(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true", "yes")


class Body(dict[str, Any]):
    """A JSON object; a field that it lacks is the client's mistake."""

    def __missing__(self, name: str) -> Any:
        raise bad_request(f"the body has no {name}")


async def json_body(request: Request) -> Body:
    try:
        body = await request.json()
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body is not a JSON object")
    return Body(body)


def page(request: Request, items: Sequence[Any], size: int) -> JSONResponse:
    """One page, and a Link to the next."""
    cursor = request.query_params.get("cursor", "0")
    if not cursor.isdecimal():
        raise bad_request("Invalid cursor")
    start, headers = int(cursor), {}
    if start + size < len(items):
        query = [(k, v) for k, v in parse_qsl(request.url.query, keep_blank_values=True) if k != "cursor"]
        path = request.scope["raw_path"].decode()
        headers["Link"] = f'<{base_url(request)}{path}?{urlencode([*query, ("cursor", start + size)])}>; rel="next"'
    return JSONResponse(items[start : start + size], headers=headers)
