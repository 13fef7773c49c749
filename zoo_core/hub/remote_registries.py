"""Registries on the Hub: a registry.yaml in a repository, copied when the user requests it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from zoo_core.errors import ModelFolderError, OutputError, RegistryError
from zoo_core.files.atomic import write_bytes
from zoo_core.files.strict_yaml import MAX_BYTES
from zoo_core.hub.downloading import read_file
from zoo_core.hub.errors import HubResource
from zoo_core.hub.listing import request_listing
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
    listing = request_listing(resource, [FILE])
    listed = listing.files.get(FILE)
    if listed is not None and listed.size > MAX_BYTES:  # before it fills the memory
        raise RegistryError(f"is larger than {MAX_BYTES // 2**20} MB", file=f"{address}/{FILE}")
    try:
        content = read_file(HubResource(address.repo, listing.commit, FILE), listed, MAX_BYTES)
    except ModelFolderError as error:
        raise RegistryError(error.problem, file=f"{address}/{FILE}") from error
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
    return models, listing.commit
