"""The state of a repository: what the Hub already has of a model, and whether that equals what would be sent."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.errors import HubError, ModelFolderError
from zoo_core.files.digests import file_sha256
from zoo_core.hub import cache, client
from zoo_core.hub.errors import HubResource
from zoo_core.hub.retrying import attempt
from zoo_core.hub.settings import endpoint
from zoo_core.modelfolder import CARD, MODEL_FILES
from zoo_core.registries import FileFacts

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


def what_the_hub_has(repo: str) -> tuple[str | None, dict[str, Any]]:
    """Return the head of main and its files that belong to a model, by name; None and no files without a repository.

    Raises:
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
    """
    from huggingface_hub import RepoFile

    api, resource = client.api(), HubResource(repo)
    try:
        info = attempt(resource, lambda: api.model_info(repo, timeout=client.TIMEOUT))
    except HubError as error:
        # 401 may also mean that the token is not accepted.
        if error.missing and error.status == 404:
            return None, {}
        raise
    if info.sha is None:
        return None, {}
    present = {sibling.rfilename for sibling in info.siblings or ()} & set(MODEL_FILES)
    if not present:
        return info.sha, {}
    names = sorted(present)
    listed = attempt(resource, lambda: api.get_paths_info(repo, names, revision=info.sha))
    return info.sha, {item.path: item for item in listed if isinstance(item, RepoFile)}


def is_there(theirs: Any, content: Content) -> bool:
    """Whether a file on the Hub has exactly this content."""
    if theirs is None or theirs.size != content.facts.size:
        return False
    if theirs.lfs is not None:
        return bool(theirs.lfs.sha256 == content.facts.sha256)
    return bool(theirs.blob_id == cache.git_sha1(content.read()))


def their_card(repo: str, head: str | None) -> str:
    """Return the README on the Hub at a commit."""
    from huggingface_hub import hf_hub_download

    with tempfile.TemporaryDirectory() as folder:  # not the cache: the repository would look like a pulled model there
        path = attempt(
            HubResource(repo, head, CARD),
            lambda: hf_hub_download(repo, CARD, revision=head, endpoint=endpoint(), cache_dir=folder),
        )
        try:
            return Path(path).read_bytes().decode("utf-8")  # with the line ends that its author chose
        except UnicodeDecodeError as error:
            raise HubError(f"hf://{repo}: its {CARD} is not UTF-8; correct it on the Hub first") from error
