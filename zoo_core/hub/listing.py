"""Listing: what the Hub states of a commit, its hash and the size and digest of each file, checked for their forms.

Whatever comes from here can be a part of a path. An answer to a request for one file is compared with the listing, so
that it cannot vouch for itself. That the listing is the one of the commit is the Hub's word: a hash of a commit could
be checked only with git's own objects, which its API does not give.

Independent servers implement different routes for this: `paths-info` answers for chosen names, `tree` for a folder, and
the description of a repository for all files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import HubError, printable
from zoo_core.hub import rest
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import HubResource, clean, not_a_hub
from zoo_core.registries.address import COMMIT, SHA256

BY = "the Hub"
_LARGEST = 2**53  # bytes; JavaScript counts no further
_Way = Callable[[str, str, Collection[str]], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Listing:
    """A commit and those of its files that were asked for.

    Attributes:
        commit: the full hash.
        files: by name, what the Hub states of each; None for a file of which it states no digest.
    """

    commit: str
    files: Mapping[str, StatedFile | None]


def request_listing(
    resource: HubResource,
    names: Collection[str],
    *,
    attempts: int | None = None,
    stop: threading.Event | None = None,
) -> Listing:
    """Request the commit that a revision stands for, and what the Hub states of the files with these names.

    Args:
        attempts, stop: those of `attempt`.

    Raises:
        HubError: where the Hub refuses, or states what is no commit, no size or no digest.
        UnreachableError: where it does not answer.
    """
    repo = resource.repo
    at = rest.api_path(repo, "revision", resource.revision) if resource.revision else rest.api_path(repo)
    answer = rest.call(resource, "GET", at, params={"blobs": "true"}, attempts=attempts, stop=stop)
    described = answer.mapping()
    commit = checked_commit(resource, answer.url, described.get("sha"))
    files = _by_name(resource, siblings(described), names)
    if None in files.values():
        files |= _by_other_ways(repo, commit, set(files))
    return Listing(commit, files)


def checked_commit(resource: HubResource, url: str, text: object) -> str:
    """Return the hash of a commit as the Hub states it.

    Raises:
        HubError: where it is none, for it becomes a path, or another one than was requested.
    """
    if not isinstance(text, str) or not COMMIT.fullmatch(text):
        raise not_a_hub(url, f"its commit is {clean(text)[:60]!r}, which is not the hash of one", resource)
    if resource.revision is not None and COMMIT.fullmatch(resource.revision) and text != resource.revision:
        raise HubError(f"{resource}: the Hub serves the commit {text} instead")
    return text


def list_files(repo: str, commit: str, names: Collection[str]) -> dict[str, StatedFile]:
    """Return what the Hub states of these files of a commit, by name. Files that it does not have are left out.

    Raises:
        HubError: where the Hub refuses, or states no digest in any way that is known.
        UnreachableError: where it does not answer.
    """
    ways: tuple[_Way, ...] = (_chosen, _tree, _described)
    resource = HubResource(repo, commit)
    for number, way in enumerate(ways, 1):
        try:
            found = _by_name(resource, way(repo, commit, names), names)
        except HubError as error:
            if number < len(ways) and rest.has_no_route(error):
                continue
            raise
        stated = {name: each for name, each in found.items() if each is not None}
        if len(stated) == len(found):
            return stated
    raise HubError(f"{resource}: the Hub states no digests of its files, so they cannot be compared")


def _by_other_ways(repo: str, commit: str, names: Collection[str]) -> dict[str, StatedFile | None]:
    """Return what the Hub states of files of which its description of the repository states no digest."""
    ways: tuple[_Way, ...] = (_tree, _chosen)
    for way in ways:
        try:
            found = _by_name(HubResource(repo, commit), way(repo, commit, names), names)
        except HubError as error:
            if rest.has_no_route(error):
                continue
            raise
        if found and None not in found.values():
            return found
    return {}


def _chosen(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    path = rest.api_path(repo, "paths-info", commit)
    answer = rest.call(HubResource(repo, commit), "POST", path, data={"paths": list(names), "expand": False})
    items = answer.json()
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _tree(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    found = []
    for item in rest.pages(HubResource(repo, commit), rest.api_path(repo, "tree", commit), {}):
        if str(item.get("path")) in names:
            found.append(item)
            if len(found) == len(names):  # the other pages have none of them
                break
    return found


def _described(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    resource = HubResource(repo, commit)
    answer = rest.call(resource, "GET", rest.api_path(repo, "revision", commit), params={"blobs": "true"})
    described = answer.mapping()
    checked_commit(resource, answer.url, described.get("sha"))
    return siblings(described)


def siblings(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a description of a repository in the form of a tree."""
    listed = described.get("siblings")
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [item | {"path": item.get("rfilename"), "oid": item.get("blobId")} for item in items]


def _by_name(
    resource: HubResource, items: Iterable[dict[str, Any]], names: Collection[str]
) -> dict[str, StatedFile | None]:
    return {str(item["path"]): _stated(resource, item) for item in items if str(item.get("path")) in names}


def _stated(resource: HubResource, item: Mapping[str, Any]) -> StatedFile | None:
    """Return what an item of a listing states, None where it states no digest. Raises HubError for what is none."""
    given = item.get("lfs")
    lfs = given if isinstance(given, dict) else {}
    size, sha256 = lfs.get("size", item.get("size")), lfs.get("sha256") or lfs.get("oid")
    digest, form = (item.get("oid"), COMMIT) if sha256 is None else (sha256, SHA256)
    if digest is None or size is None:
        return None
    digest = digest.lower().removeprefix("sha256:") if isinstance(digest, str) else digest
    name = printable(item.get("path"), 80)
    if not isinstance(digest, str) or not form.fullmatch(digest):
        raise HubError(f"{resource}: the Hub states {clean(digest)!r} as the digest of {name}, which is none")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        raise HubError(f"{resource}: the Hub states {clean(size)} as the size of {name}, which is none")
    return StatedFile(size, sha256=digest, by=BY) if form is SHA256 else StatedFile(size, sha1=digest, by=BY)
