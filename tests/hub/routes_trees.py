"""What a repository holds: trees, single paths, refs, tags, branches, commits."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .context import asked, json_body, page, parameter, repository, revision_and_path, settings, truth
from .errors import HubError, conflict, entry_not_found, forbidden, revision_not_found
from .gitobjects import File, pointer, tree_hashes
from .identity import require_write, user_of
from .storage import Commit, Repository


async def tree(request: Request) -> Response:
    """A folder's entries, or everything below it, page by page."""
    found = repository(request)
    revision, path = revision_and_path(request)
    commit = asked(request, found, revision).commit
    recursive, expand = (truth(request.query_params.get(name)) for name in ("recursive", "expand"))
    folders = tree_hashes(commit.files)
    if path not in folders:
        raise entry_not_found(path, commit.id)
    below = f"{path}/" if path else ""
    names = [name for name in [*folders, *commit.files] if name and name.startswith(below)]
    names = sorted(name for name in names if recursive or "/" not in name[len(below) :])
    entries = [_entry(name, commit, folders, expand) for name in names]
    return page(request, entries, min(50, settings(request).page) if expand else settings(request).page)


async def paths_info(request: Request) -> Response:
    """The same entries for chosen paths; those that do not exist are left out. A form or JSON."""
    found = repository(request)
    if request.headers.get("content-type", "").startswith("application/json"):
        body = await json_body(request)
        paths, expand = body.get("paths", []), bool(body.get("expand"))
    else:
        form = await request.form()
        paths, expand = form.getlist("paths"), truth(str(form.get("expand", "")))
    commit = asked(request, found, parameter(request, "revision")).commit
    folders = tree_hashes(commit.files)
    names = [name for name in (path.strip("/") for path in paths) if name in commit.files or (name and name in folders)]
    return JSONResponse([_entry(name, commit, folders, expand) for name in names])


def _entry(name: str, commit: Commit, folders: dict[str, str], expand: bool) -> dict[str, Any]:
    file = commit.files.get(name)
    if file is None:
        entry: dict[str, Any] = {"type": "directory", "oid": folders[name], "size": 0, "path": name}
    else:
        entry = {"type": "file", "oid": file.oid, "size": file.size, "path": name}
        if file.lfs:
            entry["lfs"] = lfs(file)
    if expand:
        entry["lastCommit"] = {"id": commit.id, "title": commit.title, "date": commit.date}
        if file:
            scan = {"status": "safe", "message": None}
            entry["securityFileStatus"] = {"status": "safe", "avScan": scan, "pickleImportScan": None}
    return entry


def lfs(file: File) -> dict[str, Any]:
    """A file's LFS half, as trees give it."""
    assert file.lfs
    return {"oid": file.lfs, "size": file.size, "pointerSize": len(pointer(file.lfs, file.size))}


async def refs(request: Request) -> Response:
    found = repository(request)
    content = {
        "branches": [_ref(name, f"refs/heads/{name}", sha) for name, sha in found.branches.items()],
        "converts": [],
        "tags": [_ref(name, f"refs/tags/{name}", sha) for name, sha in found.tags.items()],
    }
    if truth(request.query_params.get("include_prs")):
        content["pullRequests"] = [_ref(ref, ref, sha) for ref, sha in found.pull_requests.items()]
    return JSONResponse(content)


def _ref(name: str, ref: str, sha: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": sha}


async def commits(request: Request) -> Response:
    """Newest first."""
    found = repository(request)
    formatted = "formatted" in request.query_params.getlist("expand[]")
    history = [_commit(commit, formatted) for commit in found.history(parameter(request, "revision"))]
    response = page(request, history, min(50, settings(request).page))
    response.headers["X-Total-Count"] = str(len(history))
    return response


def _commit(commit: Commit, formatted: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date}
    item["authors"] = [{"user": commit.author}]
    return item | ({"formatted": {"title": commit.title, "message": commit.message}} if formatted else {})


async def create_tag(request: Request) -> Response:
    found = _writable(request)
    body = await json_body(request)
    sha = found.resolve(parameter(request, "name_of"))
    if body["tag"] in found.tags:
        raise conflict(f"Tag {body['tag']} already exists")
    found.tags[body["tag"]] = sha
    found.save()
    return JSONResponse({"success": True})


async def delete_tag(request: Request) -> Response:
    return _remove(request, "tags")


async def create_branch(request: Request) -> Response:
    found = _writable(request)
    name = parameter(request, "name_of")
    body = await json_body(request)
    if name in found.branches:
        raise conflict(f"Branch {name} already exists")
    found.branches[name] = found.resolve(body.get("startingPoint") or "main")
    found.save()
    return JSONResponse({"success": True})


async def delete_branch(request: Request) -> Response:
    if parameter(request, "name_of") == "main":
        raise forbidden("main is protected")
    return _remove(request, "branches")


def _remove(request: Request, kind: str) -> Response:
    found = _writable(request)
    names, name = getattr(found, kind), parameter(request, "name_of")
    if name not in names:
        raise revision_not_found(name)
    del names[name]
    found.save()
    return JSONResponse({"success": True})


async def super_squash(request: Request) -> Response:
    """One commit without a parent in place of a branch's history."""
    found = _writable(request)
    branch = parameter(request, "revision")
    if branch not in found.branches:
        raise HubError(400, "only a branch can be squashed")
    body = await json_body(request)
    head = found.commit(branch)
    found.branches[branch] = found.record(None, head.files, head.author, body["message"]).id
    found.save()
    return JSONResponse({"success": True})


def _writable(request: Request) -> Repository:
    found = repository(request)
    require_write(user_of(request), found)
    return found


API = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route(f"{API}/tree/{{rest:path}}", tree, methods=["GET"]),
    Route(f"{API}/paths-info/{{revision}}", paths_info, methods=["POST"]),
    Route(f"{API}/refs", refs, methods=["GET"]),
    Route(f"{API}/commits/{{revision}}", commits, methods=["GET"]),
    Route(f"{API}/tag/{{name_of}}", create_tag, methods=["POST"]),
    Route(f"{API}/tag/{{name_of}}", delete_tag, methods=["DELETE"]),
    Route(f"{API}/branch/{{name_of}}", create_branch, methods=["POST"]),
    Route(f"{API}/branch/{{name_of}}", delete_branch, methods=["DELETE"]),
    Route(f"{API}/super-squash/{{revision}}", super_squash, methods=["POST"]),
]
