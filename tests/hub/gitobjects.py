"""git's own hashes: of blobs, LFS pointers, trees and commits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """An entry of a commit's tree."""

    oid: str  # git's SHA-1 of the blob: of the content, or of the LFS pointer
    size: int  # of the content
    lfs: str | None = None  # SHA-256 of the content, for a file under LFS

    @property
    def etag(self) -> str:
        """What a client may compare the content with."""
        return self.lfs or self.oid


def _sha1(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def blob_hash(content: bytes) -> str:
    return _sha1("blob", content)


def pointer(sha256: str, size: int) -> bytes:
    """What git stores in place of a file that is under LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_file(sha256: str, size: int) -> File:
    return File(blob_hash(pointer(sha256, size)), size, sha256)


def tree_hash(files: Mapping[str, File]) -> str:
    """Of the folder that holds `files`, by their paths in it."""
    return tree_hashes(files)[""]


def tree_hashes(files: Mapping[str, File]) -> dict[str, str]:
    """Of every folder, by path; the root's path is empty."""
    children: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for path, file in files.items():
        parent, _, name = path.rpartition("/")
        for folder in _parents(path):
            children.setdefault(folder, {})
        children[parent][name] = ("100644", file.oid)
    hashes: dict[str, str] = {}
    for folder in sorted(children, key=lambda path: (-path.count("/"), path == "")):
        entries = children[folder]
        ordered = sorted(entries.items(), key=lambda item: item[0] + ("/" if item[1][0] == "40000" else ""))
        hashes[folder] = _sha1("tree", b"".join(_entry(mode, name, oid) for name, (mode, oid) in ordered))
        if folder:
            parent, _, name = folder.rpartition("/")
            children[parent][name] = ("40000", hashes[folder])
    return hashes


def _entry(mode: str, name: str, oid: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(oid)


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def commit_hash(tree: str, parent: str | None, author: str, message: str) -> str:
    """Of a commit whose date is the epoch, so that the same history gives the same hash at any time."""
    person = f"{author} <{author}@hub.invalid> 0 +0000"
    parents = f"parent {parent}\n" if parent else ""
    return _sha1("commit", f"tree {tree}\n{parents}author {person}\ncommitter {person}\n\n{message}\n".encode())
