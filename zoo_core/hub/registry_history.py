"""Which commit a registry was copied from last, and whether another commit follows it.

The order of commits is what the Hub's list of commits says. A Hub that lies about its list can pass an old commit off
as a new one; only an address with a full commit hash, which always means the same content, keeps that out.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from pathlib import Path

import msgspec

from zoo_core.errors import HubError, RegistryError
from zoo_core.files.atomic import write_bytes
from zoo_core.hub.errors import HubResource
from zoo_core.hub.rest import api_path, pages
from zoo_core.registries.address import COMMIT, HubAddress

LONGEST_HISTORY = 2000  # commits that are looked through
_NOT_SERVED = {404, 405, 501}
_log = logging.getLogger("zoo_core.hub")


class _Record(msgspec.Struct, frozen=True):
    commit: str


def recorded_commit(copy: Path) -> str | None:
    """Return the commit that a copy was made from; None if there is no record, or it is damaged."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        commit = msgspec.json.decode(_record_file(copy).read_bytes(), type=_Record).commit
        return commit if COMMIT.fullmatch(commit) else None
    return None


def record_commit(copy: Path, commit: str) -> None:
    """Record the commit that a copy was made from. Raises OutputError if that cannot be written."""
    write_bytes(_record_file(copy), msgspec.json.encode(_Record(commit)))


def check_follows(address: HubAddress, last: str, commit: str) -> None:
    """Check that a commit is the one that was copied last, or has it in its history.

    A Hub that does not list commits gets a warning, for nothing is known then.

    Raises:
        RegistryError: if it has not: the branch was moved back or rewritten.
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
    """
    if commit == last:
        return
    try:
        follows = last in _history(address, commit)
    except HubError as error:
        if error.status not in _NOT_SERVED:
            raise
        _log.warning("%s: the Hub does not list commits, so it is not known whether this one is older", address)
        return
    if not follows:
        raise RegistryError(
            f"the commit {commit[:12]} does not follow {last[:12]}, which was copied last: the branch was moved back "
            "or rewritten; zoo registry update --allow-older copies it all the same",
            file=str(address),
        )


def _history(address: HubAddress, commit: str) -> set[str]:
    """Return the hashes of a commit and those before it, the newest ones of a long history."""
    resource = HubResource(address.repo, commit)
    commits = pages(resource, api_path(address.repo, "commits", commit), {})
    return {str(listed.get("id")) for listed in itertools.islice(commits, LONGEST_HISTORY)}


def _record_file(copy: Path) -> Path:
    return copy.with_suffix(".json")
