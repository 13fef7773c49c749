"""Upload: the content of files to the Hub's storage, and one commit that names them.

The requests are those of huggingface_hub's `create_commit`, one by one, so that each has attempts and a timeout of its
own, and so that servers which leave out what is optional are served too. Only what goes through Xet is left to
huggingface_hub, which fails on a Hub without it instead of falling back to LFS.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib.util
import io
import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zoo_core.errors import HubError, UnreachableError, printable
from zoo_core.hub import client, rest
from zoo_core.hub.downloading import Job
from zoo_core.hub.errors import HubResource, UnexpectedAnswerError, clean, origin_of
from zoo_core.hub.pull import side_by_side
from zoo_core.hub.repository import Content
from zoo_core.hub.retrying import attempt
from zoo_core.hub.settings import endpoint, is_the_hub, token
from zoo_core.modelfolder import CARD
from zoo_core.registries.address import COMMIT, DEFAULT_REVISION

_log = logging.getLogger("zoo_core.hub")
_LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
_SAMPLE = 512  # bytes of a file by which the Hub tells text from other content
_TEXT = (".json", ".md", ".yaml")  # what goes into the commit itself where the Hub does not say what should
_MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Target:
    """Where a commit goes.

    Attributes:
        head: the commit to follow; empty in a repository without one.
        pull_request: open a pull request instead of changing main.
    """

    repo: str
    head: str
    pull_request: bool = False

    @property
    def resource(self) -> HubResource:
        """The repository, for messages."""
        return HubResource(self.repo, act="write")

    @property
    def query(self) -> dict[str, str]:
        """The parameters with which the Hub lets a user who may not write open a pull request."""
        return {"create_pr": "1"} if self.pull_request else {}

    def path(self, route: str) -> str:
        """Return the path of a route of the API for the branch."""
        return rest.api_path(self.repo, route, DEFAULT_REVISION)


@dataclass(frozen=True)
class Commit:
    """What the Hub answered to a commit; None where it does not say."""

    oid: str | None
    pull_request: str | None = None


def store(target: Target, files: Mapping[str, Content]) -> frozenset[str]:
    """Send the content of those files that the Hub keeps outside of git, and return their names.

    Raises:
        HubError, UnreachableError: where the Hub or its storage refuses or does not answer.
    """
    large = _kept_outside_of_git(target, files)
    if not large:
        return large
    chosen = {name: files[name] for name in sorted(large)}
    if _offers_xet(target):
        _send_by_xet(target, chosen)
    else:
        _send_by_lfs(target, chosen)
    return large


def commit(target: Target, files: Mapping[str, Content], stored: frozenset[str], message: str) -> Commit:
    """Make one commit, with one request that is not repeated: its answer may be lost though the commit was made.

    Args:
        stored: the names of the files whose content was sent by `store`.

    Raises:
        Exception: what the request raises, for `attempt` to explain.
    """
    header = {"summary": message, "description": ""} | ({"parentCommit": target.head} if target.head else {})
    lines: list[dict[str, Any]] = [{"key": "header", "value": header}]
    for name, content in files.items():
        if name in stored:
            value = {"path": name, "algo": "sha256", "oid": content.facts.sha256, "size": content.facts.size}
            lines.append({"key": "lfsFile", "value": value})
        else:
            value = {"path": name, "content": base64.b64encode(content.read()).decode(), "encoding": "base64"}
            lines.append({"key": "file", "value": value})
    answer = rest.send(
        target.resource,
        "POST",
        target.path("commit"),
        params=target.query,
        headers={"Content-Type": "application/x-ndjson"},
        content=b"".join(json.dumps(line).encode() + b"\n" for line in lines),
        timeout=client.UPLOAD_TIMEOUT,
    )
    facts = answer.mapping()
    named = str(facts.get("commitOid") or str(facts.get("commitUrl") or "").rpartition("/")[2])
    opened = facts.get("pullRequestUrl")
    return Commit(named if COMMIT.fullmatch(named) else None, opened if isinstance(opened, str) else None)


def check_card(repo: str, text: str) -> None:
    """Let the Hub check the metadata of a card, where it does that at all.

    Raises:
        HubError: where the Hub would not take it.
    """
    resource = HubResource(repo, file=CARD)
    body = {"repoType": "model", "content": text}
    try:
        rest.call(resource, "POST", "/api/validate-yaml", json=body)
    except HubError as error:
        if not rest.has_no_route(error):
            raise


# what goes where


def _kept_outside_of_git(target: Target, files: Mapping[str, Content]) -> frozenset[str]:
    asked = [
        {"path": name, "sample": base64.b64encode(_beginning(content)).decode(), "size": content.facts.size}
        for name, content in files.items()
    ]
    path = target.path("preupload")
    try:
        answer = rest.call(target.resource, "POST", path, params=target.query, json={"files": asked}).mapping()
    except HubError as error:
        if error.missing:  # though it was there a moment ago
            message = f"{origin_of(endpoint())} shows it, but takes nothing: a mirror that is read only, perhaps"
            raise HubError(f"{target.resource}: {message}", status=error.status) from error
        if not rest.has_no_route(error):
            raise
        return frozenset(name for name in files if not name.endswith(_TEXT))
    modes = {item.get("path"): item for item in answer.get("files") or () if isinstance(item, dict)}
    ignored = [name for name in files if modes.get(name, {}).get("shouldIgnore") is True]
    if ignored:
        raise HubError(
            f"{target.resource}: the .gitignore of the repository leaves out {', '.join(ignored)}; change it"
        )
    # A file without content cannot be kept in the storage.
    return frozenset(
        name
        for name, content in files.items()
        if content.facts.size and modes.get(name, {"uploadMode": "lfs"}).get("uploadMode") != "regular"
    )


def _beginning(content: Content) -> bytes:
    if isinstance(content.source, bytes):
        return content.source[:_SAMPLE]
    with content.source.open("rb") as file:
        return file.read(_SAMPLE)


# Xet


def _offers_xet(target: Target) -> bool:
    """Whether the Hub takes uploads by Xet, huggingface_hub can send them so, and the storage can be reached.

    hf_xet itself tries for minutes, without a word, to reach one that cannot.
    """
    from huggingface_hub import constants

    usable = not constants.HF_HUB_DISABLE_XET and importlib.util.find_spec("hf_xet") is not None
    if not usable or not client.keeps_the_token():
        return False
    try:
        granted = rest.call(target.resource, "GET", target.path("xet-write-token"), params=target.query).mapping()
    except HubError as error:
        if rest.has_no_route(error) or isinstance(error, UnexpectedAnswerError):
            return False
        raise
    storage = granted.get("casUrl")
    if not {"accessToken", "exp"} <= granted.keys() or not isinstance(storage, str) or "://" not in storage:
        return False
    try:
        rest.call(target.resource, "GET", storage, attempts=2)
    except UnreachableError as error:
        _log.warning("%s; sending by LFS instead of Xet", error)
        return False
    except HubError:  # whatever it answers to such a request, it is there
        pass
    return True


def _send_by_xet(target: Target, files: Mapping[str, Content]) -> None:
    from huggingface_hub import CommitOperationAdd

    def send() -> None:
        operations = [CommitOperationAdd(name, content.source) for name, content in files.items()]
        for operation, content in zip(operations, files.values(), strict=True):
            operation.upload_info.sha256 = bytes.fromhex(content.facts.sha256)  # or the file would be read once more
        client.api().preupload_lfs_files(
            target.repo, operations, revision=DEFAULT_REVISION, create_pr=target.pull_request, free_memory=False
        )

    attempt(target.resource, send)


# LFS


def _send_by_lfs(target: Target, files: Mapping[str, Content]) -> None:
    by_digest = {content.facts.sha256: (name, content) for name, content in files.items()}
    body: dict[str, Any] = {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "hash_algo": "sha256",
        "objects": [{"oid": oid, "size": content.facts.size} for oid, (_, content) in by_digest.items()],
    }
    if not target.pull_request:
        body["ref"] = {"name": DEFAULT_REVISION}
    path = f"/{target.repo}.git/info/lfs/objects/batch"
    answer = rest.call(target.resource, "POST", path, headers=_LFS, content=json.dumps(body).encode()).mapping()
    wanted = {}
    for item in answer.get("objects") or ():
        if not isinstance(item, dict) or item.get("oid") not in by_digest:
            continue
        name, content = by_digest[item["oid"]]
        if isinstance(item.get("error"), dict):
            reason = clean(item["error"].get("message") or item["error"].get("code") or "no reason given")
            raise HubError(f"{target.resource}: the Hub does not take {name}: {reason}")
        if isinstance(actions := item.get("actions"), dict) and "upload" in actions:  # or it is there already
            wanted[name] = (content, actions)
    side_by_side(lambda name: _send_object(target, name, *wanted[name]), sorted(wanted), Job())


def _send_object(target: Target, name: str, content: Content, actions: dict[str, Any]) -> None:
    resource = HubResource(target.repo, file=name, act="write")
    address, header = _action(resource, actions["upload"])
    if "chunk_size" in header:
        _send_parts(resource, content, address, header)
    else:
        attempt(resource, functools.partial(_put, resource, content, address, header, 0, content.facts.size))
    if "verify" not in actions:
        return
    address, header = _action(resource, actions["verify"])
    body = json.dumps({"oid": content.facts.sha256, "size": content.facts.size}).encode()
    try:
        rest.call(resource, "POST", address, headers=_harmless(header, address) | _LFS, content=body)
    except HubError as error:
        if not rest.has_no_route(error):  # it is optional; the digests of the commit are compared in any case
            raise


def _action(resource: HubResource, action: Any) -> tuple[str, dict[str, str]]:
    """Return the address and the headers of a step that the Hub requests."""
    from huggingface_hub.utils import fix_hf_endpoint_in_url  # type: ignore[attr-defined]

    address = action.get("href") if isinstance(action, dict) else None
    header = (action.get("header") or {}) if isinstance(action, dict) else {}
    if not isinstance(address, str) or not address.startswith(("http://", "https://")) or not isinstance(header, dict):
        raise HubError(f"{resource}: the Hub names no address to send it to ({printable(address, 80)})")
    # A mirror hands on what the Hub behind it says, which names the Hub instead of the mirror.
    return fix_hf_endpoint_in_url(address, endpoint()), {str(key): str(value) for key, value in header.items()}


def _harmless(header: Mapping[str, str], address: str) -> dict[str, str]:
    """Return the headers that the Hub requests for an address, without our token where that is another origin."""
    secret = token()
    kept = {key: value for key, value in header.items() if key.isascii() and value.isprintable()}
    if secret is None or is_the_hub(address):
        return kept
    return {key: value for key, value in kept.items() if secret not in value}


def _send_parts(resource: HubResource, content: Content, address: str, header: Mapping[str, str]) -> None:
    """Send a file in parts, each to an address of its own, and let the Hub put them together."""
    addresses = [url for _, url in sorted((int(key), url) for key, url in header.items() if key.isdecimal())]
    chunk = int(header["chunk_size"]) if header["chunk_size"].isdecimal() else 0
    if chunk < 1 or len(addresses) != math.ceil(content.facts.size / chunk):
        raise HubError(f"{resource}: the Hub asks for {len(addresses)} parts of {header['chunk_size']!r} bytes each")
    parts = []
    for number, url in enumerate(addresses):
        start = number * chunk
        size = min(chunk, content.facts.size - start)
        tag = attempt(resource, functools.partial(_put, resource, content, url, {}, start, size))
        parts.append({"partNumber": number + 1, "etag": tag})
    body = json.dumps({"oid": content.facts.sha256, "parts": parts}).encode()
    rest.call(resource, "POST", address, headers=_LFS, content=body, signed=True, timeout=client.UPLOAD_TIMEOUT)


def _put(
    resource: HubResource, content: Content, address: str, header: Mapping[str, str], start: int, size: int
) -> str:
    """Send bytes of a file to an address, and return the ETag of the answer."""
    for _ in range(_MAX_REDIRECTS):
        with _opened(content, start) as file:
            headers = _harmless(header, address) | {"Content-Length": str(size)}
            answer = rest.send(
                resource,
                "PUT",
                address,
                headers=headers,
                content=_pieces(file, size),
                signed=True,
                timeout=client.UPLOAD_TIMEOUT,
                follow=False,  # the session could not send the content again
            )
        if answer.status < 300:
            return answer.headers.get("etag", "")
        if "location" not in answer.headers:
            break
        address = answer.headers["location"]
    raise HubError(f"{resource}: {origin_of(address)} refers to other addresses without an end")


@contextlib.contextmanager
def _opened(content: Content, start: int) -> Iterator[BinaryIO]:
    """Open a file at an offset, with huggingface_hub's progress bar for one on disk."""
    from huggingface_hub.utils import tqdm_stream_file  # type: ignore[attr-defined]

    source = content.source
    with tqdm_stream_file(source) if isinstance(source, Path) else io.BytesIO(source) as file:
        file.seek(start)
        yield file


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Read so many bytes, piece by piece."""
    while size > 0 and (piece := file.read(min(size, 2**20))):
        size -= len(piece)
        yield piece
