"""Addresses on the Hub: `hf://user/repo[@revision]`, a repository at a branch, a tag or a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo_core.errors import ZooError, printable

SCHEME = "hf://"
DEFAULT_REVISION = "main"
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}(?<![/.])")
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:models/)?(?P<repo>[^/]+/[^/?#]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[^/?#]+))?.*"
)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubAddress:
    """A repository, and its branch, tag or commit (None: main).

    Example:
        >>> HubAddress("alice/digits").reference
        'main'
    """

    repo: str
    revision: str | None = None

    @property
    def commit(self) -> str | None:
        """The revision if it is a full commit hash, which always means the same content; None otherwise."""
        return self.revision if self.revision and COMMIT.fullmatch(self.revision) else None

    @property
    def reference(self) -> str:
        """The revision, or the name of the default branch."""
        return self.revision or DEFAULT_REVISION

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def parse_address(text: str) -> HubAddress:
    """Parse an address.

    Raises:
        ZooError: if it is malformed.

    Example:
        >>> parse_address("hf://alice/digits@v1")
        HubAddress(repo='alice/digits', revision='v1')
    """
    repo, at, revision = text.removeprefix(SCHEME).partition("@")
    if not text.startswith(SCHEME) or not _REPOSITORY.fullmatch(repo):
        raise ZooError(
            f"{printable(text, 120)!r} is not an address on the Hub: write hf://user/repo or hf://user/repo@tag"
        )
    if at and not _REVISION.fullmatch(revision):
        raise ZooError(f"{printable(revision, 120)!r} is not a branch, a tag or a commit")
    return HubAddress(repo, revision or None)


def check_repository(text: str) -> str:
    """Return the name of a repository, `user/repo`, unchanged.

    Raises:
        ZooError: if it is malformed.

    Example:
        >>> check_repository("alice/digits")
        'alice/digits'
    """
    if not _REPOSITORY.fullmatch(text):
        raise ZooError(
            f"{printable(text, 120)!r} is not a repository: write user/repo, of letters, digits, '.', '_', '-'"
        )
    return text


def suggested_address(text: str) -> HubAddress | None:
    """Return the address that somebody may have meant who wrote `user/repo`, or the address of its page.

    Example:
        >>> str(suggested_address("alice/digits@v1")), str(suggested_address("https://huggingface.co/alice/digits"))
        ('hf://alice/digits@v1', 'hf://alice/digits')
        >>> suggested_address("./alice/digits") is None
        True
    """
    page = _PAGE.fullmatch(text)
    if page:
        text = page["repo"] + (f"@{page['revision']}" if page["revision"] else "")
    try:
        return parse_address(SCHEME + text.removeprefix("hf:").lstrip("/").rstrip("/")) if text[:1] != "/" else None
    except ZooError:
        return None


def check_place(place: str) -> str:
    """Return a place that a registry can be read from, unchanged: a file, or an address on the Hub.

    Raises:
        ZooError: for the address of anything else; says what is taken.

    Example:
        >>> check_place("s3://team/r.yaml")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        zoo_core.errors.ZooError: 's3://team/r.yaml' cannot be read as a registry: give a file on this machine, or ...
    """
    if place.startswith(SCHEME) or ("://" not in place and _PAGE.fullmatch(place) is None):
        return place
    meant = suggested_address(place)
    raise ZooError(
        f"{printable(place, 120)!r} cannot be read as a registry: give a file on this machine, or a repository on the "
        f"Hub as {meant or 'hf://user/repo'}" + ("" if meant else ", which holds a registry.yaml")
    )
