"""Discussions and pull requests: open, list, look at, merge."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .commits import advance, open_discussion
from .context import json_body, repository, truth
from .errors import HubError, bad_request, conflict
from .identity import require_write, signed_in, user_of
from .storage import Repository, now


async def create(request: Request) -> Response:
    """Anybody who can see the repository may, also with a pull request that is filled later."""
    found = repository(request)
    user = signed_in(request)
    body = await json_body(request)
    pull_request = bool(body.get("pullRequest"))
    status = "draft" if pull_request else "open"
    title, text = body["title"], body.get("description") or ""
    discussion = open_discussion(found, user.name, title, text, pull_request=pull_request, status=status)
    found.save()
    return JSONResponse({"num": discussion["num"], "pullRequest": pull_request})


async def listing(request: Request) -> Response:
    found = repository(request)
    query = request.query_params
    chosen = [
        _brief(found, discussion)
        for discussion in reversed(found.discussions)
        if query.get("author") in (None, discussion["author"])
        and query.get("type", "all") in ("all", "pull_request" if discussion["pull_request"] else "discussion")
        and query.get("status", "all") in ("all", "closed" if discussion["status"] in ("closed", "merged") else "open")
    ]
    return JSONResponse({"discussions": chosen, "count": len(chosen), "start": 0})


async def details(request: Request) -> Response:
    found = repository(request)
    discussion = _discussion(request, found)
    content = _brief(found, discussion) | {"events": _events(discussion), "filesWithConflicts": []}
    if discussion["pull_request"]:
        content["changes"] = {"base": f"refs/heads/{discussion['base']}", "mergeCommitId": discussion["merged"]}
        content["diff"] = "" if truth(request.query_params.get("diff")) else None
    return JSONResponse(content)


async def merge(request: Request) -> Response:
    """The pull request's files become those of its base, where nothing has happened since."""
    found = repository(request)
    require_write(user_of(request), found)
    discussion = _discussion(request, found)
    if not discussion["pull_request"] or discussion["status"] in ("closed", "merged"):
        raise bad_request("there is nothing to merge")
    head, base = found.commit(discussion["head"]), discussion["base"]
    if found.resolve(base) not in {commit.id for commit in found.history(head.id)}:
        raise conflict(f"{base} has changed since: this Hub merges only what follows its base")
    title = f"{discussion['title']} (#{discussion['num']})"
    merged = found.record(found.resolve(base), head.files, signed_in(request).name, title)
    discussion |= {"status": "merged", "merged": merged.id}
    advance(found, base, merged)
    return JSONResponse({"success": True})


def _discussion(request: Request, found: Repository) -> dict[str, Any]:
    number = int(request.path_params["number"])
    if not 1 <= number <= len(found.discussions):
        raise HubError(404, f"No discussion {number}")
    return found.discussions[number - 1]


def _brief(found: Repository, discussion: dict[str, Any]) -> dict[str, Any]:
    return {
        "num": discussion["num"],
        "title": discussion["title"],
        "author": {"name": discussion["author"]},
        "createdAt": discussion["created"],
        "status": discussion["status"],
        "repo": {"name": found.id, "type": found.kind},
        "isPullRequest": discussion["pull_request"],
    }


def _events(discussion: dict[str, Any]) -> list[dict[str, Any]]:
    author, created = {"name": discussion["author"]}, discussion["created"]
    comment = {"edited": False, "hidden": False, "latest": {"raw": discussion["text"], "updatedAt": created}}
    opening = {"id": "0", "type": "comment", "createdAt": created, "author": author, "data": comment}
    events: list[dict[str, Any]] = [opening]
    for n, commit in enumerate(discussion["commits"], 1):
        event = {"id": str(n), "type": "commit", "createdAt": commit["date"], "author": {"name": commit["author"]}}
        events.append(event | {"data": {"subject": commit["subject"], "oid": commit["oid"]}})
    if discussion["status"] == "merged":
        event = {"id": "m", "type": "status-change", "createdAt": now(), "author": author}
        events.append(event | {"data": {"status": "merged"}})
    return events


API = "/api/{kind:kind}/{namespace}/{name}/discussions"
routes = [
    Route(API, create, methods=["POST"]),
    Route(API, listing, methods=["GET"]),
    Route(f"{API}/{{number:int}}", details, methods=["GET"]),
    Route(f"{API}/{{number:int}}/merge", merge, methods=["POST"]),
]
