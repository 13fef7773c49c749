"""What a commit does to a repository: the changes to its files, and the ref that moves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import HubError, bad_request, entry_not_found
from .gitobjects import File, lfs_file
from .storage import Commit, Repository, directories, now


@dataclass(frozen=True)
class Change:
    """One line of a commit: file (content), lfsFile (oid, size), deletedFile or deletedFolder."""

    key: str
    path: str
    content: bytes = b""
    oid: str = ""
    size: int | None = None


def apply_commit(
    found: Repository, revision: str, header: dict[str, Any], changes: list[Change], author: str, create_pr: bool
) -> tuple[Commit, int | None]:
    """The new commit and, where one was opened, the pull request's number. The ref moves last."""
    parent = header.get("parentCommit")
    base = found.resolve(parent if parent and create_pr else revision)
    if not create_pr:
        _require_branch(found, revision)
        if parent and parent != base:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = changed(found, found.commit(base), changes)
    commit = found.record(base, files, author, header["summary"], header.get("description") or "")
    number = None
    if create_pr:
        base_branch = revision if revision in found.branches else "main"
        title, text = header["summary"], header.get("description") or ""
        number = open_discussion(found, author, title, text, pull_request=True, status="open", base=base_branch)["num"]
        revision = f"refs/pr/{number}"
    advance(found, revision, commit)
    return commit, number


def advance(found: Repository, revision: str, commit: Commit) -> None:
    """Let a branch or a pull request point to the commit."""
    if revision in found.pull_requests:
        discussion = found.discussions[int(revision.rpartition("/")[2]) - 1]
        discussion["head"] = commit.id
        event = {"oid": commit.id, "subject": commit.title, "author": commit.author, "date": commit.date}
        discussion["commits"].append(event)
    else:
        found.branches[revision.removeprefix("refs/heads/")] = commit.id
    found.save()


def open_discussion(
    found: Repository, author: str, title: str, text: str, *, pull_request: bool, status: str, base: str = "main"
) -> dict[str, Any]:
    """A discussion, or a pull request that so far holds what its base does. The caller saves it."""
    discussion = {"num": len(found.discussions) + 1, "title": title, "author": author, "text": text, "status": status}
    discussion |= {"pull_request": pull_request, "base": base, "created": now(), "commits": [], "merged": None}
    discussion["head"] = found.resolve(base) if pull_request else None
    found.discussions.append(discussion)
    return discussion


def _require_branch(found: Repository, revision: str) -> None:
    if revision.removeprefix("refs/heads/") not in found.branches and revision not in found.pull_requests:
        raise bad_request(f"commits go to a branch or a pull request, and {revision} is neither")


def changed(found: Repository, base: Commit, changes: list[Change]) -> dict[str, File]:
    """The files after the changes; contents are stored, nothing points to them yet."""
    files = dict(base.files)
    for change in changes:
        check_path(change.path.rstrip("/") if change.key == "deletedFolder" else change.path)
        if change.key == "file":
            files[change.path] = found.add_blob(change.content)
        elif change.key == "lfsFile":
            files[change.path] = _stored(found, change)
        else:
            _delete(files, change, base)
    for path in directories(files) & files.keys():
        raise bad_request(f"{path} would be a file and a folder")
    return files


def check_path(path: str) -> None:
    """A commit may not hold what git or a file system would stumble over."""
    parts = path.split("/")
    if any(part in ("", ".", "..", ".git") for part in parts) or re.search(r"[\0-\x1f\x7f\\]", path):
        raise bad_request(f"Invalid path: {path}")


def _stored(found: Repository, change: Change) -> File:
    if not found.has_lfs(change.oid):
        raise bad_request(f"{change.path}: LFS pointer pointed to a file that does not exist: {change.oid}")
    size = found.lfs_path(change.oid).stat().st_size
    if change.size is not None and change.size != size:
        raise bad_request(f"{change.path}: the object {change.oid} has {size} bytes, not {change.size}")
    return lfs_file(change.oid, size)


def _delete(files: dict[str, File], change: Change, base: Commit) -> None:
    folder = change.path.rstrip("/") + "/"
    if change.key != "deletedFile":
        inside = [path for path in files if path.startswith(folder)]
        if inside:
            for path in inside:
                del files[path]
            return
    if change.key == "deletedFolder" or files.pop(change.path, None) is None:
        error = entry_not_found(change.path, base.id)
        kind = "folder" if change.key == "deletedFolder" else "file"
        error.message = f"A {kind} with this name doesn't exist: {change.path}"
        raise error
