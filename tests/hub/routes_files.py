"""Downloads: resolve and raw on the Hub, and the CDN that holds the LFS objects at an address of its own."""

from __future__ import annotations

import mimetypes
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from .context import asked, cdn_url, repository, revision_and_path
from .errors import HubError, entry_not_found
from .gitobjects import File, pointer
from .identity import require_files, user_of
from .signatures import sign, signed
from .storage import Repository


class Content(FileResponse):
    """Whole or the range that is asked for."""

    chunk_size = 2**20


async def resolve(request: Request) -> Response:
    """A file's content: here for a regular file, by redirect for one under LFS."""
    found = repository(request)
    revision, path = revision_and_path(request)
    require_files(user_of(request), found)
    served = asked(request, found, revision)
    file = served.commit.files.get(path)
    if file is None:
        raise entry_not_found(path, served.claimed)
    if path == "config.json":
        found.downloads += 1
    headers = {"X-Repo-Commit": served.claimed, "Accept-Ranges": "bytes", **_disposition(path)}
    if file.lfs:
        return _redirect(request, found, file, path, headers)
    return Content(found.content_path(file), headers=headers | {"ETag": f'"{file.oid}"'}, media_type=_media_type(path))


def _redirect(request: Request, found: Repository, file: File, path: str, headers: dict[str, str]) -> Response:
    target = f"/cdn/{found.kind}/{found.id}/{file.lfs}"
    location = f"{cdn_url(request)}{sign(request, target)}&filename={quote(path.rpartition('/')[2])}"
    linked = {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.lfs}"', "Location": location}
    return Response(f"Found. Redirecting to {location}", 302, headers | linked, "text/plain")


async def raw(request: Request) -> Response:
    """As git stores it: the pointer of an LFS file."""
    found = repository(request)
    revision, path = revision_and_path(request)
    require_files(user_of(request), found)
    commit = found.commit(revision)
    file = commit.files.get(path)
    if file is None:
        raise entry_not_found(path, commit.id)
    content = pointer(file.lfs, file.size) if file.lfs else found.content_path(file).read_bytes()
    return Response(content, 200, {"X-Repo-Commit": commit.id, "ETag": f'"{file.oid}"'}, "text/plain")


async def cdn(request: Request) -> Response:
    """An LFS object, to whoever has a signed address. Like S3, it refuses a request that brings a token besides."""
    signed(request)
    if "authorization" in request.headers:
        raise HubError(400, "Only one auth mechanism allowed")
    name = f"{request.path_params['namespace']}/{request.path_params['name']}"
    found = request.app.state.store.find(request.path_params["kind"], name)
    oid = request.path_params["oid"]
    if found is None or not found.has_lfs(oid):
        raise HubError(404, "NoSuchKey")
    headers = {"ETag": f'"{oid}"', **_disposition(request.query_params.get("filename", oid))}
    return Content(found.lfs_path(oid), headers=headers, media_type="application/octet-stream")


def _disposition(path: str) -> dict[str, str]:
    name = quote(path.rpartition("/")[2])
    return {"Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"}


def _media_type(path: str) -> str:
    guess = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return "text/plain" if guess.startswith("text/") or guess == "application/json" else guess


routes = [
    *(
        Route(f"{prefix}/{{namespace}}/{{name}}/{verb}/{{rest:path}}", endpoint, methods=["GET", "HEAD"])
        for prefix in ("/{kind:kind}", "")
        for verb, endpoint in (("resolve", resolve), ("raw", raw))
    ),
    Route("/cdn/{kind}/{namespace}/{name}/{oid}", cdn, methods=["GET", "HEAD"]),
]
