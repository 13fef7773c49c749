"""Who the client is, and repositories as a whole: create, delete, move, settings, access, the check of a card."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import cards
from .context import base_url, json_body, repository, store
from .errors import HubError, bad_request, repository_not_found
from .identity import ORGANIZATIONS, owns, require_files, require_namespace, require_write, signed_in, user_of
from .log import HARNESSES
from .storage import Repository


async def whoami(request: Request) -> Response:
    user = signed_in(request)
    orgs = [{"type": "org", "name": name, "roleInOrg": "admin"} for name in ORGANIZATIONS if owns(user, name)]
    token = {"displayName": "test", "role": user.role, "createdAt": "2026-01-01T00:00:00.000Z"}
    content: dict[str, object] = {
        "type": "user",
        "id": user.name.ljust(24, "0"),
        "name": user.name,
        "fullname": user.name.title(),
    }
    content |= {"email": f"{user.name}@hub.invalid", "emailVerified": True, "isPro": False, "canPay": False}
    return JSONResponse(content | {"orgs": orgs, "auth": {"type": "access_token", "accessToken": token}})


async def harnesses(request: Request) -> Response:
    """The list of programs that the client looks for in its environment: none."""
    return JSONResponse({"standardEnvVars": [], "harnesses": {}})


async def create(request: Request) -> Response:
    user = signed_in(request)
    body = await json_body(request)
    kind, namespace = body.get("type") or "model", body.get("organization") or user.name
    id = f"{namespace}/{body['name']}"
    require_namespace(user, namespace)
    url = f"{base_url(request)}{'' if kind == 'model' else f'/{kind}s'}/{id}"
    try:
        store(request).create(kind, id, user.name, _private(body) or False)
    except HubError as error:
        if error.status != 409:
            raise
        return JSONResponse({"error": error.message, "url": url}, 409, {"X-Error-Message": error.message})
    return JSONResponse({"url": url, "name": id, "id": id})


def _private(body: dict[str, object]) -> bool | None:
    """As the newer clients say it, or the older."""
    if body.get("visibility") is not None:
        return body["visibility"] == "private"
    return None if body.get("private") is None else bool(body["private"])


async def delete(request: Request) -> Response:
    user = signed_in(request)
    body = await json_body(request)
    id = f"{body.get('organization') or user.name}/{body['name']}"
    store(request).delete(_writable(request, body.get("type") or "model", id))
    return JSONResponse({"success": True})


async def move(request: Request) -> Response:
    user = signed_in(request)
    body = await json_body(request)
    found = _writable(request, body.get("type") or "model", body["fromRepo"])
    require_namespace(user, body["toRepo"].partition("/")[0])
    store(request).move(found, body["toRepo"])
    return JSONResponse({"success": True})


def _writable(request: Request, kind: str, id: str) -> Repository:
    found = store(request).find(kind, id)
    if found is None:
        raise repository_not_found(signed_in=True)
    require_write(user_of(request), found)
    return found


async def settings(request: Request) -> Response:
    """Visibility and gating."""
    found = repository(request)
    require_write(user_of(request), found)
    body = await json_body(request)
    private = _private(body)
    found.private = found.private if private is None else private
    if "gated" in body:
        if body["gated"] not in ("auto", "manual", False):
            raise bad_request(f"Invalid gated: {body['gated']}")
        found.gated = body["gated"]
    found.save()
    return JSONResponse({"private": found.private, "gated": found.gated})


async def grant(request: Request) -> Response:
    """Let a user into a gated repository."""
    found = repository(request)
    require_write(user_of(request), found)
    name = str((await json_body(request))["user"])
    if name in found.granted:
        raise bad_request(f"{name} already has access")
    found.granted.append(name)
    found.save()
    return JSONResponse({"success": True})


async def auth_check(request: Request) -> Response:
    """Whether the client may read the files, or write."""
    found = repository(request)
    if request.path_params.get("write"):
        require_write(user_of(request), found)
    else:
        require_files(user_of(request), found)
    return JSONResponse({"success": True})


async def validate_yaml(request: Request) -> Response:
    """The check that clients ask for before they commit a README.md."""
    body = await json_body(request)
    errors, warnings = cards.check(body.get("content", ""))
    content = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return JSONResponse(content, 400 if errors else 200)


API = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route("/api/whoami-v2", whoami, methods=["GET"]),
    Route(HARNESSES, harnesses, methods=["GET"]),
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route("/api/repos/move", move, methods=["POST"]),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    Route(f"{API}/settings", settings, methods=["PUT"]),
    Route(f"{API}/user-access-request/grant", grant, methods=["POST"]),
    Route(f"{API}/auth-check", auth_check, methods=["GET"]),
    Route(f"{API}/auth-check/{{write}}", auth_check, methods=["GET"]),
]
