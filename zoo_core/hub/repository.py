"""What the Hub has of a model already."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.errors import HubError, ModelFolderError
from zoo_core.files.digests import file_sha256
from zoo_core.hub import cache, client
from zoo_core.hub.client import Subject
from zoo_core.modelfolder import CARD, MODEL_FILES
from zoo_core.registries import FileFacts

_AT_ONCE = 16 * 2**20  # bytes up to which a file is read once, so that what was hashed is what is sent


@dataclass(frozen=True)
class Content:
    """A file to send: where it lies, or its bytes."""

    source: Path | bytes
    facts: FileFacts

    @classmethod
    def of(cls, source: Path | bytes) -> Content:
        """With its size and digest. Raises ModelFolderError."""
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
        """All of it."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def what_the_hub_has(repo: str) -> tuple[str | None, dict[str, Any]]:
    """The head of main and its files of a model, by name; None where there is no such repository."""
    from huggingface_hub import RepoFile

    api, subject = client.api(), Subject(repo)
    try:
        info = client.attempt(subject, lambda: api.model_info(repo, timeout=client.TIMEOUT))
    except HubError as error:
        # 401 may also mean that the token is not accepted.
        if error.missing and error.status == 404:
            return None, {}
        raise
    if info.sha is None:
        return None, {}
    there = {sibling.rfilename for sibling in info.siblings or ()} & set(MODEL_FILES)
    if not there:
        return info.sha, {}
    names = sorted(there)
    found = client.attempt(subject, lambda: api.get_paths_info(repo, names, revision=info.sha))
    return info.sha, {item.path: item for item in found if isinstance(item, RepoFile)}


def is_there(theirs: Any, content: Content) -> bool:
    """Whether the Hub's file has this very content."""
    if theirs is None or theirs.size != content.facts.size:
        return False
    if theirs.lfs is not None:
        return bool(theirs.lfs.sha256 == content.facts.sha256)
    return bool(theirs.blob_id == cache.git_sha1(content.read()))


def their_card(repo: str, head: str | None) -> str:
    """The README on the Hub."""
    from huggingface_hub import hf_hub_download

    with tempfile.TemporaryDirectory() as folder:  # not the cache, where it would look like a model that was pulled
        path = client.attempt(
            Subject(repo, head, CARD),
            lambda: hf_hub_download(repo, CARD, revision=head, endpoint=client.endpoint(), cache_dir=folder),
        )
        try:
            return Path(path).read_bytes().decode("utf-8")  # its line ends are somebody's choice
        except UnicodeDecodeError as error:
            raise HubError(f"hf://{repo}: its {CARD} is not UTF-8, mend it there") from error
