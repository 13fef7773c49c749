"""Registries on the Hub: a registry.yaml in a repository, copied when the user requests it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import ModelFolderError, OutputError, RegistryError
from zoo_core.files.atomic import write_bytes
from zoo_core.files.locks import locked_for_editing
from zoo_core.files.strict_yaml import MAX_BYTES, read_text
from zoo_core.hub.downloading import read_file
from zoo_core.hub.errors import HubResource
from zoo_core.hub.listing import request_listing
from zoo_core.hub.registry_history import check_follows, record_commit, recorded_commit
from zoo_core.registries.address import HubAddress, parse_address
from zoo_core.registries.differences import Differences, differences, digests_of
from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.reading import check, read_entries

FILE = "registry.yaml"


@dataclass(frozen=True)
class Updated:
    """A registry that was copied.

    Attributes:
        models: number of its models.
        commit: what it was copied from.
        differences: what differs from the copy before; None if there was none that can be read.
    """

    models: int
    commit: str
    differences: Differences | None


def update_copy(place: str, copy: Path, *, allow_older: bool = False) -> Updated:
    """Copy the registry.yaml of a repository. An earlier copy is replaced only by a valid registry of a later commit.

    Args:
        place: hf://user/repo[@revision].
        copy: the file to write.
        allow_older: take a commit that does not follow the one that was copied last, too.

    Raises:
        RegistryError: where the file on the Hub is not a valid registry, or the commit does not follow the last one.
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
    try:
        models = check(content, Path(FILE))
    except RegistryError as error:
        raise RegistryError(error.problem, file=f"{address}/{FILE}", line=error.line, field=error.field) from error
    with locked_for_editing(copy):
        changed = _replace(address, copy, content, listing.commit, allow_older=allow_older)
    return Updated(models, listing.commit, changed)


def _replace(address: HubAddress, copy: Path, content: bytes, commit: str, *, allow_older: bool) -> Differences | None:
    """Write a valid registry over the copy, and return what differs."""
    before = _digests_in(copy)
    last = recorded_commit(copy)
    if before is not None and last is not None and not allow_older and address.commit is None:
        check_follows(address, last, commit)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(copy.parent, error) from error
    write_bytes(copy, content)
    record_commit(copy, commit)
    return differences(before, _entries(content)) if before is not None else None


def _digests_in(copy: Path) -> dict[str, bytes] | None:
    """Return the digests of the models in a copy; None if there is none, or it cannot be read."""
    try:
        return digests_of(_entries(read_text(copy)))
    except RegistryError:
        return None


def _entries(content: bytes) -> Iterator[ModelEntry]:
    return (read.entry for read in read_entries(content, Path(FILE)))
