"""The state of a repository: what the Hub already has of a model, and whether that equals what would be sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import HubError, ModelFolderError
from zoo_core.files.digests import file_sha256
from zoo_core.hub import cache, rest
from zoo_core.hub.cache import StatedFile
from zoo_core.hub.errors import HubResource
from zoo_core.hub.listing import checked_commit, list_files, siblings
from zoo_core.hub.settings import token
from zoo_core.modelfolder import MODEL_FILES
from zoo_core.registries import FileFacts

_MAX_TEXT = 2 * 2**20  # bytes of a README or a configuration
_AT_ONCE = 16 * 2**20  # bytes; a file up to this size is read once, so that what was hashed is what is sent


@dataclass(frozen=True)
class Content:
    """A file to send: its path, or its bytes.

    Example:
        >>> Content.of(b"abc").facts.size
        3
    """

    source: Path | bytes
    facts: FileFacts

    @classmethod
    def of(cls, source: Path | bytes) -> Content:
        """Return a file with its size and sha256. Raises ModelFolderError where it cannot be read."""
        if isinstance(source, Path):
            path = source
            try:
                size = path.stat().st_size
                if size > _AT_ONCE:
                    return cls(path, FileFacts(sha256=file_sha256(path), size=size))
                source = path.read_bytes()
            except OSError as error:
                raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
        return cls(source, FileFacts(sha256=hashlib.sha256(source).hexdigest(), size=len(source)))

    def read(self) -> bytes:
        """Return all bytes of the file."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def what_the_hub_has(repo: str, *, attempts: int | None = None) -> tuple[str | None, dict[str, StatedFile]]:
    """Return the head of main and its files that belong to a model, by name.

    The head is None without a repository, and empty in a repository without a commit; both have no files.

    Raises:
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
    """
    try:
        info = describe(repo, attempts=attempts)
    except HubError as error:
        # Servers that hide what is there from strangers answer 403 for what is not there too: making it will show.
        if error.status == 404 or (error.status == 403 and token() is not None):
            return None, {}
        raise
    if not info.head or not info.names:
        return info.head, {}
    return info.head, list_files(repo, info.head, info.names)


@dataclass(frozen=True)
class Description:
    """What the Hub says of a repository.

    Attributes:
        head: the commit of its main branch; empty where there is none yet.
        names: those of its files that belong to a model.
    """

    head: str
    names: tuple[str, ...]
    private: bool


def describe(repo: str, *, attempts: int | None = None) -> Description:
    """Request what the Hub says of a repository. Raises HubError, UnreachableError."""
    resource = HubResource(repo)
    answer = rest.call(resource, "GET", rest.api_path(repo), attempts=attempts)
    info = answer.mapping()
    head = checked_commit(resource, answer.url, info["sha"]) if info.get("sha") else ""
    present = [item["path"] for item in siblings(info)]
    return Description(head, tuple(name for name in MODEL_FILES if name in present), bool(info.get("private")))


def is_there(theirs: StatedFile | None, content: Content) -> bool:
    """Whether a file on the Hub has exactly this content."""
    if theirs is None or theirs.size != content.facts.size:
        return False
    if theirs.sha256 is not None:
        return theirs.sha256 == content.facts.sha256
    return theirs.sha1 is not None and theirs.sha1 == cache.git_sha1(content.read())


def their_file(repo: str, head: str, name: str, stated: StatedFile) -> str:
    """Return the text of a small file on the Hub at a commit, compared with the digest that the commit has of it.

    Raises:
        HubError: where another content comes, one that is not text, or one that is too large.
        UnreachableError: where the Hub does not answer.
    """
    resource = HubResource(repo, head, name)
    if stated.size > _MAX_TEXT:
        raise HubError(f"{resource}: has {stated.size:,} bytes, more than {_MAX_TEXT:,}; shorten it on the Hub first")
    path = f"/{repo}/resolve/{head}/{name}"
    content = Content.of(rest.call(resource, "GET", path, limit=_MAX_TEXT).content)
    if not is_there(stated, content):
        raise HubError(
            f"{resource}: what was received is not the file of that commit: {content.facts.size:,} bytes with the "
            f"sha256 {content.facts.sha256}; nothing was published, push again"
        )
    try:
        return content.read().decode("utf-8")  # with the line ends that its author chose
    except UnicodeDecodeError as error:
        raise HubError(f"hf://{repo}: its {name} is not UTF-8; correct it on the Hub first") from error
