"""The files of a commit on the Hub, with the digests that the Hub states of them.

Independent servers implement different routes for this. `paths-info` answers for chosen names, `tree` for a folder,
and the description of a repository for all files, so they are requested in this order until one is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from zoo_core.errors import HubError
from zoo_core.hub import rest
from zoo_core.hub.errors import HubResource

_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub states of a file.

    Attributes:
        size: bytes.
        sha256: of a file under LFS, else None.
        git_sha1: of any other file, else None.
    """

    size: int
    sha256: str | None
    git_sha1: str | None


def list_files(repo: str, commit: str, names: Collection[str]) -> dict[str, RemoteFile]:
    """Return what the Hub states of these files of a commit, by name. Files that it does not have are left out.

    Raises:
        HubError: where the Hub refuses, or states no digest in any way that is known.
        UnreachableError: where it does not answer.
    """
    ways: tuple[Callable[[str, str, Collection[str]], Iterable[dict[str, Any]]], ...] = (_chosen, _tree, _described)
    for number, way in enumerate(ways, 1):
        try:
            items = {str(item.get("path")): item for item in way(repo, commit, names)}
        except HubError as error:
            if number < len(ways) and rest.has_no_route(error):
                continue
            raise
        return {name: _remote_file(items[name]) for name in names if name in items}
    raise AssertionError("unreachable: the last way returns or raises")


def _chosen(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    path = rest.api_path(repo, "paths-info", commit)
    answer = rest.call(HubResource(repo, commit), "POST", path, data={"paths": list(names), "expand": False})
    items = answer.json()
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _tree(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    found = []
    for item in rest.pages(HubResource(repo, commit), rest.api_path(repo, "tree", commit), {}):
        if item.get("path") in names:
            found.append(item)
            if len(found) == len(names):  # the other pages have none of them
                break
    return found


def _described(repo: str, commit: str, names: Collection[str]) -> Iterable[dict[str, Any]]:
    resource = HubResource(repo, commit)
    described = rest.call(resource, "GET", rest.api_path(repo, "revision", commit), params={"blobs": "true"}).mapping()
    siblings = [item for item in described.get("siblings") or () if isinstance(item, dict)]
    if any(item.get("size") is None for item in siblings if item.get("rfilename") in names):
        raise HubError(f"{resource}: the Hub states no digests of its files, so they cannot be compared")
    return [{**item, "path": item.get("rfilename"), "oid": item.get("blobId")} for item in siblings]


def _remote_file(item: dict[str, Any]) -> RemoteFile:
    """Return what an item of a listing states. What has not the form of a digest is taken for none."""
    lfs = item.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    size = lfs.get("size", item.get("size"))
    sha256 = _digest(_SHA256, lfs.get("oid") or lfs.get("sha256"))
    git_sha1 = _digest(_SHA1, item.get("oid")) if not lfs else None
    return RemoteFile(size if isinstance(size, int) else -1, sha256, git_sha1)


def _digest(form: re.Pattern[str], value: object) -> str | None:
    text = value.lower().removeprefix("sha256:") if isinstance(value, str) else ""
    return text if form.fullmatch(text) else None
