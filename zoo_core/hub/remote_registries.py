"""Registries on the Hub: a registry.yaml in a repository, copied when the user requests it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from zoo_core.errors import OutputError, RegistryError
from zoo_core.files.atomic import write_bytes
from zoo_core.files.strict_yaml import MAX_BYTES
from zoo_core.hub import cache, client
from zoo_core.hub.errors import HubResource
from zoo_core.hub.retrying import attempt
from zoo_core.hub.settings import endpoint
from zoo_core.registries import Registry
from zoo_core.registries.address import parse_address

FILE = "registry.yaml"


def update_copy(place: str, copy: Path) -> tuple[Registry, str]:
    """Copy the registry.yaml of a repository. An older copy is replaced only by a valid registry.

    Args:
        place: hf://user/repo[@revision].
        copy: the file to write.

    Returns:
        The registry, and the commit that it was copied from.

    Raises:
        RegistryError: where the file on the Hub is not a valid registry.
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
        OutputError: where the copy cannot be written.
    """
    address = parse_address(place)
    resource = HubResource(address.repo, address.reference)
    info = attempt(
        resource,
        lambda: client.api().model_info(
            address.repo, revision=address.reference, timeout=client.TIMEOUT, files_metadata=True
        ),
    )
    listed = next((sibling for sibling in info.siblings or () if sibling.rfilename == FILE), None)
    if listed is not None and (listed.size or 0) > MAX_BYTES:  # before it fills the disk
        raise RegistryError(f"is larger than {MAX_BYTES // 2**20} MB", file=f"{address}/{FILE}")
    content = _content(address.repo, str(info.sha))
    stated = listed.blob_id if listed is not None else None
    if stated is not None and len(stated) == 40 and stated != cache.git_sha1(content):
        raise RegistryError(
            f"git's sha1 is {cache.git_sha1(content)}, but the Hub states {stated}", file=f"{address}/{FILE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / FILE
        trial.write_bytes(content)
        try:
            models = Registry.from_file(trial)
        except RegistryError as error:
            raise RegistryError(error.problem, file=f"{address}/{FILE}", line=error.line, field=error.field) from error
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(copy.parent, error) from error
    write_bytes(copy, content)
    return models, str(info.sha)


def _content(repo: str, commit: str) -> bytes:
    """Return the content of the file. The shared cache is not used: the repository would look like a model there."""
    from huggingface_hub import hf_hub_download

    with tempfile.TemporaryDirectory() as folder:
        path = attempt(
            HubResource(repo, commit, FILE),
            lambda: hf_hub_download(repo, FILE, revision=commit, endpoint=endpoint(), cache_dir=folder),
        )
        return Path(path).read_bytes()
