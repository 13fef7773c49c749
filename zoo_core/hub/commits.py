"""Commits: what the Hub states of one, its hash and the size and digest of each file, checked for their forms.

Whatever comes from here can be a part of a path. An answer to a request for one file is compared with the listing, so
that it cannot vouch for itself. That the listing is the one of the commit is the Hub's word: a hash of a commit could
be checked only with git's own objects, which its API does not give.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from zoo_core.errors import HubError
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import HubResource, clean, status_of
from zoo_core.hub.requesting import api_url, get_json, get_pages
from zoo_core.registries.address import COMMIT, SHA256

BY = "the Hub"
_LARGEST = 2**53  # bytes; JavaScript counts no further


@dataclass(frozen=True)
class Listing:
    """A commit and those of its files that were asked for.

    Attributes:
        commit: the full hash.
        files: by name, what the Hub states of each; None for a file of which it states no digest.
        private: whether the repository is private, where the Hub says so.
    """

    commit: str
    files: Mapping[str, StatedFile | None]
    private: bool | None = None


class _Info(msgspec.Struct):
    sha: str | None = None
    private: bool | None = None
    siblings: list[dict[str, Any]] | None = None


class _Entry(msgspec.Struct):
    path: str
    type: str = "file"
    size: int | None = None
    oid: str | None = None
    lfs: dict[str, Any] | None = None


def request_listing(resource: HubResource, names: Collection[str]) -> Listing:
    """Request the commit that a revision stands for, and what the Hub states of the files with these names.

    Raises:
        HubError: where the Hub states what is no commit, no size or no digest.
        HfHubHTTPError: where it refuses.
    """
    route = f"/api/models/{resource.repo}"
    at = f"{route}/revision/{urllib.parse.quote(resource.revision, safe='')}" if resource.revision else route
    info = get_json(resource, api_url(at, blobs="true"), _Info)
    commit = checked_commit(resource, info.sha)
    if resource.revision is not None and COMMIT.fullmatch(resource.revision) and commit != resource.revision:
        raise HubError(f"{resource}: the Hub serves the commit {commit} instead")
    files: dict[str, StatedFile | None] = {}
    for sibling in info.siblings or ():
        name = sibling.get("rfilename")
        if isinstance(name, str) and name in names:
            files[name] = _stated(resource, name, sibling.get("size"), sibling.get("blobId"), sibling.get("lfs"))
    if any(stated is None for stated in files.values()):
        files |= _tree(resource, f"{route}/tree/{commit}", set(files))
    return Listing(commit, files, info.private)


def checked_commit(resource: HubResource, text: object) -> str:
    """Return the hash of a commit as the Hub states it. Raises HubError where it is none, for it becomes a path."""
    if not isinstance(text, str) or not COMMIT.fullmatch(text):
        raise HubError(f"{resource}: the Hub states {clean(text)!r} as its commit, which is not the hash of one")
    return text


def _tree(resource: HubResource, route: str, names: Collection[str]) -> dict[str, StatedFile | None]:
    """Return what a tree states of these files; nothing where the Hub has no such route."""
    from huggingface_hub.errors import HfHubHTTPError

    found: dict[str, StatedFile | None] = {}
    try:
        for page in get_pages(resource, api_url(route), list[_Entry]):
            for entry in page:
                if entry.type == "file" and entry.path in names:
                    found[entry.path] = _stated(resource, entry.path, entry.size, entry.oid, entry.lfs)
            if len(found) == len(names):
                break
    except HfHubHTTPError as error:
        if status_of(error) not in (404, 405, 501):
            raise
    return found


def _stated(resource: HubResource, name: str, size: object, oid: object, lfs: object) -> StatedFile | None:
    """Return what the Hub states of a file, None where it states no digest. Raises HubError for what is none."""
    sha256 = None
    if isinstance(lfs, dict) and lfs:
        sha256 = lfs.get("sha256") or lfs.get("oid")
        size = lfs.get("size", size)
    digest, form = (oid, COMMIT) if sha256 is None else (sha256, SHA256)
    if digest is None or size is None:
        return None
    if not isinstance(digest, str) or not form.fullmatch(digest):
        raise HubError(f"{resource}: the Hub states {clean(digest)!r} as the digest of {name}, which is none")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        raise HubError(f"{resource}: the Hub states {clean(size)} as the size of {name}, which is none")
    return StatedFile(size, sha256=digest, by=BY) if form is SHA256 else StatedFile(size, sha1=digest, by=BY)
