"""What is said about repositories: one by one, and in lists that are filtered, sorted and paged."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import cards
from .context import asked, page, parameter, repository, settings, store, truth
from .errors import bad_request
from .gitobjects import File
from .identity import owns, user_of
from .routes_trees import lfs
from .storage import Commit, Repository

BRIEF = ["likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt", "trendingScore"]
FULL = [*BRIEF, "author", "sha", "lastModified", "gated", "disabled", "siblings"]
INFO = [*FULL, "cardData", "config", "model-index", "spaces", "usedStorage"]
SORTED = {"lastModified", "createdAt", "downloads", "likes", "trendingScore", "id"}


async def info(request: Request) -> Response:
    """A repository at its head, or at a revision."""
    found = repository(request)
    revision = parameter(request, "revision") if "revision" in request.path_params else "main"
    served = asked(request, found, revision)
    query = request.query_params
    facts = describe(found, served.commit, blobs=truth(query.get("blobs")))
    facts["sha"] = served.claimed
    if query.getlist("expand"):
        return JSONResponse(_select(facts, _known(query.getlist("expand"), facts)))
    names = [*INFO, "securityRepoStatus"] if truth(query.get("securityStatus")) else INFO
    return JSONResponse(_select(facts, names))


async def listing(request: Request) -> Response:
    """Those that the client may see."""
    user, kind, query = user_of(request), request.path_params["kind"].removesuffix("s"), request.query_params
    visible = [found for found in store(request).all(kind) if not found.private or owns(user, found.namespace)]
    described = [describe(found, found.commit("main")) for found in visible]
    chosen = [facts for facts in described if _matches(request, facts)]
    order = query.get("sort", "trendingScore")
    if order not in SORTED:
        raise bad_request(f"Invalid sort: {order}")
    ascending = query.get("direction") == "1" or order == "id"
    chosen.sort(key=lambda facts: facts[order], reverse=not ascending)
    names = FULL if truth(query.get("full")) else BRIEF
    names = names + ["cardData"] * truth(query.get("cardData")) + ["config"] * truth(query.get("config"))
    if query.getlist("expand"):
        names = _known(query.getlist("expand"), chosen[0]) if chosen else []
    limit = query.get("limit", str(settings(request).page))
    if not limit.isdecimal() or limit == "0":
        raise bad_request(f"Invalid limit: {limit}")
    return page(request, [_select(facts, names) for facts in chosen], min(int(limit), settings(request).page))


def _matches(request: Request, facts: dict[str, Any]) -> bool:
    """Every condition holds; filters are tags, and a comma in one means and."""
    query = request.query_params
    filters = [tag for item in query.getlist("filter") for tag in item.split(",")]
    gated = query.get("gated")
    return (
        all(tag in facts["tags"] for tag in filters)
        and query.get("author", facts["author"]) == facts["author"]
        and query.get("search", "").lower() in facts["id"].lower()
        and query.get("pipeline_tag", facts["pipeline_tag"]) == facts["pipeline_tag"]
        and (gated is None or truth(gated) == bool(facts["gated"]))
    )


def describe(found: Repository, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """Everything that can be asked for."""
    card = cards.metadata(found.read(commit, "README.md"))
    config = _config(found, commit)
    return {
        "_id": hashlib.sha1(f"{found.created} {found.kind}".encode()).hexdigest()[:24],
        "id": found.id,
        "modelId": found.id,
        "author": found.namespace,
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": found.created,
        "private": found.private,
        "gated": found.gated,
        "disabled": False,
        "downloads": found.downloads,
        "downloadsAllTime": found.downloads,
        "likes": 0,
        "trendingScore": 0,
        "tags": cards.tags(card, config, commit.files, found.id),
        "pipeline_tag": cards.pipeline(card),
        "library_name": cards.library(card, config),
        "cardData": card,
        "config": {name: config[name] for name in ("architectures", "model_type") if name in config},
        "model-index": card.get("model-index"),
        "spaces": [],
        "usedStorage": sum(file.size for file in commit.files.values()),
        "securityRepoStatus": {"scansDone": True, "filesWithIssues": []},
        "siblings": [_sibling(path, file, blobs) for path, file in commit.files.items()],
    }


def _config(found: Repository, commit: Commit) -> dict[str, Any]:
    try:
        config = json.loads(found.read(commit, "config.json") or b"{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    sibling: dict[str, Any] = {"rfilename": path, "size": file.size, "blobId": file.oid}
    if file.lfs:
        half = lfs(file)
        sibling["lfs"] = {"sha256": half["oid"], "size": half["size"], "pointerSize": half["pointerSize"]}
    return sibling


def _known(names: list[str], facts: dict[str, Any]) -> list[str]:
    """huggingface_hub offers more properties than a Hub without inference and Spaces can fill: those are left out."""
    return [name for name in names if name in facts]


def _select(facts: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name in {"_id", "id", "modelId", *names}}


routes = [
    Route("/api/{kind:kind}", listing, methods=["GET"]),
    Route("/api/{kind:kind}/{namespace}/{name}", info, methods=["GET"]),
    Route("/api/{kind:kind}/{namespace}/{name}/revision/{revision}", info, methods=["GET"]),
]
