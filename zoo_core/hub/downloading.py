"""Downloading: one file from the Hub, compared with what is stated of it before it takes its name in the cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from zoo_core.errors import DigestError, HubError, ModelFolderError, UnreachableError
from zoo_core.hub import cache
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import HubResource, WrongLengthError, clean, not_a_hub
from zoo_core.hub.requesting import answer, file_url, pieces, read, redirect_of
from zoo_core.hub.retrying import StoppedError, attempt
from zoo_core.hub.settings import cache_folder, download_timeout
from zoo_core.modelfolder import CARD, CONFIG, PREVIEW, TRAINING
from zoo_core.modelfolder.layout import MAX_CONFIG_BYTES
from zoo_core.registries.address import COMMIT, SHA256

LARGEST = {CONFIG: MAX_CONFIG_BYTES, CARD: 8 * 2**20, TRAINING: 2**20, PREVIEW: 64 * 2**20}  # bytes, by name
UNSTATED = 64 * 2**20  # bytes of a file whose size nobody states
_PROGRESS = 16 * 2**20  # bytes; a connection that breaks for ever and brings so many in all attempts is a bad one only
_ETAG = re.compile(r"(?!\.)[A-Za-z0-9._+=-]{1,200}")
_AS_IT_IS = {"Accept-Encoding": "identity"}


class DownloadProgress(Protocol):
    """What is informed of how far downloads are."""

    def begin(self, name: str, size: int | None) -> Callable[[int], None]:
        """Announce a file of `size` bytes. Return a function to call with the number of bytes that have arrived."""


@dataclass(frozen=True)
class Job:
    """What several downloads share.

    Attributes:
        progress: informed of every byte; None draws huggingface_hub's own bars.
        stop: set it to end all of them soon.
    """

    progress: DownloadProgress | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Announced:
    """What the Hub announces of a file before it sends it: the size, the ETag, and where the content is."""

    etag: str
    size: int | None
    location: str


def download(resource: HubResource, stated: StatedFile | None, job: Job) -> None:
    """Download a file of a commit into the cache.

    Args:
        stated: what the file is compared with; None where nobody states anything of it.

    Raises:
        DigestError, ModelFolderError: where the Hub has another file than the stated one. Nothing of it is left.
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
    """
    assert resource.revision is not None
    assert resource.file is not None
    _refuse_large(resource, stated.size if stated else None)
    partial = _Partial(cache.repository_folder(resource.repo) / "blobs")
    place = resource.repo, resource.revision, resource.file

    def store(announced: _Announced) -> None:
        if not cache.link_blob(*place, announced.etag, stated):
            partial.receive(resource, announced, job)
            cache.adopt(partial.path, *place, partial.verified_name(resource, stated, announced.etag))

    try:
        while True:
            before = partial.size
            announced = attempt(resource, lambda: _announcement(resource, stated), stop=job.stop)
            try:
                return attempt(resource, functools.partial(store, announced), stop=job.stop, folder=cache_folder())
            except UnreachableError:
                if partial.size - before < _PROGRESS:
                    raise
    finally:
        partial.discard()


def read_file(resource: HubResource, stated: StatedFile | None, limit: int) -> bytes:
    """Return the content of a small file at a commit. The cache is neither read nor written.

    Args:
        stated: what the file is compared with; None where nobody states anything of it.
        limit: the largest number of bytes.

    Raises:
        DigestError, ModelFolderError: where the Hub has another file than the stated one.
        HubError, UnreachableError: as `download`.
    """

    def request() -> bytes:
        with answer(resource, "GET", file_url(resource), headers=_AS_IT_IS) as received:
            return read(resource, received, limit if stated is None else min(stated.size + 1, limit))

    content = attempt(resource, request)
    if stated is not None:
        cache.compare(
            str(resource),
            stated,
            len(content),
            sha256=lambda: hashlib.sha256(content).hexdigest(),
            sha1=lambda: cache.git_sha1(content),
            note="try again",
        )
    return content


# what the Hub announces


def _announcement(resource: HubResource, stated: StatedFile | None) -> _Announced:
    """Ask the Hub about a file; refuse before the download a file that is not the stated one."""
    url = file_url(resource)
    with answer(resource, "HEAD", url, describing=True, headers=_AS_IT_IS) as received:
        headers = received.headers
        elsewhere = redirect_of(resource, received)
        commit = headers.get("x-repo-commit")
        etag = (headers.get("x-linked-etag") or headers.get("etag") or "").removeprefix("W/").strip('"')
        size = headers.get("x-linked-size") or (None if elsewhere else headers.get("content-length"))
        location = elsewhere or str(received.url)
    if not commit or not etag:
        raise not_a_hub(location, "", resource)
    if not _ETAG.fullmatch(etag):
        raise HubError(f"{resource}: the Hub gives the ETag {clean(etag)!r}, which cannot be a file name")
    if commit != resource.revision:
        raise HubError(f"{resource}: the Hub serves the commit {clean(commit)} instead")
    announced = _Announced(etag, int(size) if size and re.fullmatch(r"\d{1,18}", size) else None, location)
    if stated is not None:
        _refuse_other(resource, announced, stated)
    else:
        _refuse_large(resource, announced.size)
    return announced


def _refuse_other(resource: HubResource, announced: _Announced, stated: StatedFile) -> None:
    """Refuse a file whose announced size or digest is not the stated one."""
    if announced.size is not None and announced.size != stated.size:
        problem = f"the Hub has {announced.size:,} bytes, but {stated.by} states {stated.size:,}"
        raise ModelFolderError(str(resource), problem)
    if stated.sha256 is not None and SHA256.fullmatch(announced.etag) and announced.etag != stated.sha256:
        note = "the Hub has another file"
        raise DigestError(str(resource), stated.sha256, announced.etag, by=stated.by, note=note)
    if stated.sha1 is not None and COMMIT.fullmatch(announced.etag) and announced.etag != stated.sha1:
        problem = f"git's sha1 is {announced.etag}, but {stated.by} states {stated.sha1}; the Hub has another file"
        raise ModelFolderError(str(resource), problem)


def _refuse_large(resource: HubResource, size: int | None) -> None:
    largest = LARGEST.get(resource.file or "")
    if size is not None and largest is not None and size > largest:
        raise ModelFolderError(
            str(resource), f"has {size:,} bytes, more than the {largest:,} that such a file may have"
        )


# what arrives


class _Partial:
    """A file that arrives, over several connections where one breaks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{secrets.token_hex(8)}.incomplete"
        self.size = 0
        self.sha256 = hashlib.sha256()

    def receive(self, resource: HubResource, announced: _Announced, job: Job) -> None:
        """Receive what is missing. Raises WrongLengthError where the body has another length than was announced."""
        if self.size and self.size == announced.size:  # only the end of the last connection was lost
            return
        headers = _AS_IT_IS | ({"Range": f"bytes={self.size}-"} if self.size else {})
        limit = announced.size if announced.size is not None else UNSTATED
        with (
            answer(resource, "GET", announced.location, headers=headers, timeout=download_timeout()) as received,
            self._opened(goes_on=_continues(received, self.size)) as file,
            _bar(resource, announced.size, job) as arrived,
        ):
            arrived(self.size)
            for piece in pieces(resource, received):
                if job.stop.is_set():
                    raise StoppedError
                if self.size + len(piece) > limit:
                    self.size = 0  # whatever is there is not the beginning of the file
                    raise WrongLengthError
                file.write(piece)
                self.sha256.update(piece)
                self.size += len(piece)
                arrived(self.size)
        if announced.size is not None and self.size != announced.size:
            self.size = 0
            raise WrongLengthError

    @contextlib.contextmanager
    def _opened(self, *, goes_on: bool) -> Iterator[BinaryIO]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            self.size, self.sha256 = 0, hashlib.sha256()
        with self.path.open("ab") as file:
            file.truncate(self.size)
            yield file

    def verified_name(self, resource: HubResource, stated: StatedFile | None, etag: str) -> str:
        """Return the name among the blobs, once the file is the stated one.

        It is the digest that every tool of the Hub names it by, computed from its content: the ETag says no more than
        which of the two it is.
        """
        sha256 = self.sha256.hexdigest()
        if stated is not None:
            cache.compare(
                str(resource), stated, self.size, sha256=lambda: sha256, sha1=lambda: cache.git_sha1_of(self.path)
            )
        name = cache.git_sha1_of(self.path) if COMMIT.fullmatch(etag) else sha256
        if stated is None and name != etag and (COMMIT.fullmatch(etag) or SHA256.fullmatch(etag)):
            raise ModelFolderError(str(resource), f"its digest is {name}, but its ETag is {etag}; {cache.REMOVED}")
        return name

    def discard(self) -> None:
        """Remove what is left of it under its temporary name."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def _continues(received: Any, size: int) -> bool:
    """Whether an answer goes on where the last one broke off."""
    begins = re.match(r"bytes (\d+)-", received.headers.get("content-range", ""))
    return bool(size and received.status_code == 206 and begins and int(begins[1]) == size)


@contextlib.contextmanager
def _bar(resource: HubResource, size: int | None, job: Job) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number of bytes that are there: of `job.progress`, or huggingface_hub's bar."""
    name = f"{resource.repo}/{resource.file}"
    if job.progress is not None:
        yield job.progress.begin(name, size)
        return
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    with tqdm(desc=name, total=size, unit="B", unit_scale=True, disable=None) as bar:  # type: ignore[no-untyped-call]

        def arrived(there: int) -> None:
            bar.update(there - bar.n)

        yield arrived
