"""Uploads: where a file is to go (preupload), LFS objects (batch, PUT, parts, verify), and the commit."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import secrets
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .commits import Change, apply_commit
from .context import base_url, cdn_url, json_body, parameter, repository, settings, truth
from .errors import HubError, bad_request, forbidden
from .gitattributes import is_ignored, is_lfs
from .identity import require_write, signed_in
from .signatures import sign, signed
from .storage import Receiver, Repository, receiving


def _writer(request: Request, found: Repository) -> str:
    """The user's name, if allowed to push here; anybody may open a pull request, and add to an own one."""
    user = signed_in(request)
    revision = parameter(request, "revision")
    own = any(d["author"] == user.name and revision == f"refs/pr/{d['num']}" for d in found.discussions)
    if own or truth(request.query_params.get("create_pr")):
        if user.role != "write":
            raise forbidden("Your token does not have the write role")
    else:
        require_write(user, found)
    return user.name


async def preupload(request: Request) -> Response:
    """For each file: LFS or regular, ignored or not, and what is there already."""
    found = repository(request)
    _writer(request, found)
    body = await json_body(request)
    commit = found.commit(parameter(request, "revision"))
    attributes = body.get("gitAttributes") or (found.read(commit, ".gitattributes") or b"").decode("utf-8", "replace")
    ignore = body.get("gitIgnore")
    rules = ignore if ignore is not None else (found.read(commit, ".gitignore") or b"").decode("utf-8", "replace")
    files = []
    for file in body["files"]:
        path, sample = file["path"], base64.b64decode(file.get("sample", ""))
        lfs = is_lfs(path, file["size"], sample, attributes, settings(request).lfs_above)
        there = commit.files.get(path)
        answer = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": is_ignored(path, rules)}
        files.append(answer | ({"oid": there.etag} if there else {}))
    return JSONResponse({"files": files, "commitOid": commit.id})


async def batch(request: Request) -> Response:
    """git-lfs's batch: where to put each object that is not there yet."""
    found = repository(request)
    signed_in(request)
    body = await json_body(request)
    if body.get("operation") != "upload":
        raise bad_request("only uploads: downloads go through resolve")
    transfers, objects = body.get("transfers", ["basic"]), body["objects"]
    multipart = "multipart" in transfers
    answers = [_batch_object(request, found, item["oid"], item["size"], multipart) for item in objects]
    parts = any("chunk_size" in a.get("actions", {}).get("upload", {}).get("header", {}) for a in answers)
    content = {"transfer": "multipart" if parts else "basic", "objects": answers}
    return JSONResponse(content, media_type="application/vnd.git-lfs+json")


def _batch_object(request: Request, found: Repository, oid: str, size: int, multipart: bool) -> dict[str, Any]:
    answer = {"oid": oid, "size": size}
    if found.has_lfs(oid):
        return answer
    place = f"{found.kind}/{found.id}/{oid}/{size}"
    if multipart and size >= settings(request).multipart_above:
        upload = _multipart(request, place, size)
    else:
        upload = {"href": cdn_url(request) + sign(request, f"/upload/{place}")}
    verify = {"href": f"{base_url(request)}{_prefix(found)}/{found.id}.git/info/lfs/objects/verify"}
    return answer | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}


def _multipart(request: Request, place: str, size: int) -> dict[str, Any]:
    chunk = settings(request).part
    upload = f"{place}/{secrets.token_hex(8)}"
    numbers = range(1, math.ceil(size / chunk) + 1)
    width = len(str(numbers[-1]))
    parts = {f"{n:0{width}}": cdn_url(request) + sign(request, f"/part/{upload}/{n}") for n in numbers}
    return {
        "href": base_url(request) + sign(request, f"/api/complete_multipart/{upload}"),
        "header": {"chunk_size": str(chunk), **parts},
    }


def _prefix(found: Repository) -> str:
    return "" if found.kind == "model" else f"/{found.kind}s"


async def put(request: Request) -> Response:
    """A whole object, in one request; what does not have the SHA-256 and size that were announced is not kept."""
    found, oid, size = _target(request)
    with receiving(found.lfs_path(oid)) as receiver:
        await _receive(request, receiver)
        _check(receiver, oid, size)
    return Response(status_code=200, headers={"ETag": f'"{receiver.md5.hexdigest()}"'})


async def put_part(request: Request) -> Response:
    found, oid, _ = _target(request)
    number = int(request.path_params["number"])
    path = found.parts_folder(f"{oid}-{request.path_params['upload']}") / str(number)
    with receiving(path) as receiver:
        await _receive(request, receiver)
    return Response(status_code=200, headers={"ETag": f'"{receiver.md5.hexdigest()}"'})


async def complete(request: Request) -> Response:
    """Put the parts together in their order."""
    found, oid, size = _target(request)
    body = await json_body(request)
    folder = found.parts_folder(f"{oid}-{request.path_params['upload']}")
    numbers = [part["partNumber"] for part in body["parts"]]
    if body.get("oid") != oid or numbers != list(range(1, len(numbers) + 1)):
        raise bad_request("the parts are of another object, or not in order")
    with receiving(found.lfs_path(oid)) as receiver:
        for part in body["parts"]:
            receiver(_part(folder / str(part["partNumber"]), part.get("etag")))
        _check(receiver, oid, size)
    shutil.rmtree(folder)
    return JSONResponse({"success": True})


def _part(path: Path, etag: str | None) -> bytes:
    """A stored part, if the client knows its ETag."""
    content = path.read_bytes() if path.is_file() else None
    if content is None or etag != f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"':
        raise bad_request(f"InvalidPart: {path.name}")
    return content


def _target(request: Request) -> tuple[Repository, str, int]:
    """Repository, SHA-256 and size in a signed address; a token has no business there."""
    signed(request)
    if "authorization" in request.headers:
        raise HubError(400, "Only one auth mechanism allowed")
    values = request.path_params
    found = request.app.state.store.find(values["kind"], f"{values['namespace']}/{values['name']}")
    if found is None:
        raise HubError(404, "NoSuchBucket")
    return found, values["oid"], int(values["size"])


async def _receive(request: Request, receiver: Receiver) -> None:
    announced = request.headers.get("content-length")
    try:
        async for piece in request.stream():
            receiver(piece)
    except ClientDisconnect as error:
        raise bad_request("the upload was cut") from error
    if announced is not None and receiver.size != int(announced):
        raise bad_request("IncompleteBody")


def _check(receiver: Receiver, oid: str, size: int) -> None:
    if receiver.sha256.hexdigest() != oid:
        raise bad_request(f"BadDigest: the content has the SHA-256 {receiver.sha256.hexdigest()}, not {oid}")
    if receiver.size != size:
        raise bad_request(f"the content has {receiver.size} bytes, not {size}")


async def verify(request: Request) -> Response:
    found = repository(request)
    signed_in(request)
    body = await json_body(request)
    if not found.has_lfs(body["oid"]):
        raise HubError(404, f"no object {body['oid']}")
    if found.lfs_path(body["oid"]).stat().st_size != body["size"]:
        raise HubError(422, f"the object {body['oid']} has another size")
    return JSONResponse({"message": "ok"})


async def commit(request: Request) -> Response:
    """One commit out of newline-delimited JSON; all of it or nothing."""
    found = repository(request)
    author = _writer(request, found)
    body = await request.body()
    header, changes = _parse(body)
    create_pr = truth(request.query_params.get("create_pr"))
    done, number = apply_commit(found, parameter(request, "revision"), header, changes, author, create_pr)
    answer = {"success": True, "commitOid": done.id, "hookOutput": ""}
    answer["commitUrl"] = f"{base_url(request)}{_prefix(found)}/{found.id}/commit/{done.id}"
    if number is not None:
        answer["pullRequestUrl"] = f"{base_url(request)}{_prefix(found)}/{quote(found.id)}/discussions/{number}"
    return JSONResponse(answer)


def _parse(body: bytes) -> tuple[dict[str, Any], list[Change]]:
    header: dict[str, Any] = {}
    changes = []
    try:
        for line in body.splitlines():
            item = json.loads(line)
            if item["key"] == "header":
                header = item["value"]
            else:
                changes.append(_change(item["key"], item["value"]))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise bad_request(f"a line of the commit is damaged: {error}") from error
    if not header.get("summary"):
        raise bad_request("a commit needs a summary")
    return header, changes


def _change(key: str, value: dict[str, Any]) -> Change:
    if key == "file":
        encoded = value.get("encoding") == "base64"
        content = base64.b64decode(value["content"], validate=True) if encoded else value["content"].encode()
        return Change(key, value["path"], content=content)
    if key == "lfsFile":
        if value.get("algo", "sha256") != "sha256":
            raise ValueError("the algorithm must be sha256")
        return Change(key, value["path"], oid=value["oid"], size=value.get("size"))
    if key in ("deletedFile", "deletedFolder", "deletedEntry"):
        return Change(key, value["path"])
    raise ValueError(f"{key} is not an operation")


PLACE = "{kind}/{namespace}/{name}/{oid}/{size:int}"
routes = [
    Route("/api/{kind:kind}/{namespace}/{name}/preupload/{revision}", preupload, methods=["POST"]),
    Route("/api/{kind:kind}/{namespace}/{name}/commit/{revision}", commit, methods=["POST"]),
    *(
        Route(f"{prefix}/{{namespace}}/{{name}}.git/info/lfs/objects/{verb}", endpoint, methods=["POST"])
        for prefix in ("/{kind:kind}", "")
        for verb, endpoint in (("batch", batch), ("verify", verify))
    ),
    Route(f"/upload/{PLACE}", put, methods=["PUT"]),
    Route(f"/part/{PLACE}/{{upload}}/{{number:int}}", put_part, methods=["PUT"]),
    Route(f"/api/complete_multipart/{PLACE}/{{upload}}", complete, methods=["POST"]),
]
