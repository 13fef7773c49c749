"""Failures of huggingface_hub, of the connection and of the disk, each as an error of one line."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import HubError, UnreachableError, ZooError, printable
from zoo_core.hub.redaction import holds_secret, redacted, shown_endpoint
from zoo_core.hub.settings import token

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
TEMPORARY_STATUS = {408, 429, 500, 502, 503, 504}  # answers after which another attempt may succeed
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True)
class HubResource:
    """What a request concerns, for its messages: a file, a repository, or the Hub itself where `repo` is empty.

    Attributes:
        act: what is done with it, as a message about a missing permission names it: read, write or make.

    Example:
        >>> str(HubResource("alice/digits", "v1", "config.json"))
        'hf://alice/digits@v1, config.json'
    """

    repo: str = ""
    revision: str | None = None
    file: str | None = None
    act: str = "read"

    def __str__(self) -> str:
        if not self.repo:
            return shown_endpoint()
        at = f"@{self.revision[:12] if len(self.revision) == 40 else self.revision}" if self.revision else ""
        return f"hf://{self.repo}{at}" + (f", {printable(self.file, 80)}" if self.file else "")


def explain(error: BaseException, resource: HubResource, folder: Path | None = None) -> ZooError:
    """Return the error to raise for a failure of huggingface_hub, of the connection, or of the disk under `folder`."""
    root = root_of(error)
    status = status_of(root)
    if status is not None:
        return _refusal(root, status, resource)
    name = type(root).__name__
    if name == "OfflineModeIsEnabled":
        return HubError(f"{resource}: HF_HUB_OFFLINE is set, so the network is not used")
    if is_transport(root):
        wanted = f", so {resource} could not be requested" if resource.repo else ""
        return UnreachableError(f"{shown_endpoint()} cannot be reached ({cause_of(root)}){wanted}")
    if is_short_body(root):
        return UnreachableError(f"{resource}: {cause_of(root)}")
    if name == "LocalTokenNotFoundError":
        return HubError(f"{resource}: needs a token: {LOGIN}")
    if name == "FileMetadataError":
        return not_a_hub(resource)
    if isinstance(root, OSError) and root.errno is not None:
        return disk_problem(root, folder)
    return HubError(f"{resource}: {name}: {clean(root)}")


def not_a_hub(resource: HubResource, detail: str = "") -> HubError:
    """Return the error for an answer that no Hub would give; `detail` says what is wrong with it."""
    why = f" ({detail})" if detail else ""
    return HubError(
        f"{shown_endpoint()} does not answer a request for {resource} as a Hub does{why}; "
        "check the address in HF_ENDPOINT"
    )


def _refusal(error: BaseException, status: int, resource: HubResource) -> HubError:
    """Return the error for an answer whose status is not 2xx."""
    reason = clean(getattr(error, "server_message", None) or "")
    if status in TEMPORARY_STATUS:
        kind = HubError if status == 429 else UnreachableError
        return kind(f"{resource}: {cause_of(error)}; try again later", status=status)
    missing = type(error).__name__ == "RepositoryNotFoundError"
    return HubError(_why_refused(error, status, resource, reason), status=status, missing=missing)


def _why_refused(error: BaseException, status: int, resource: HubResource, reason: str) -> str:
    """Return the message: `reason` is what the Hub gave."""
    name = type(error).__name__
    refused = status == 401 and ("Invalid credentials" in str(error) or (token() and not resource.repo))
    if name == "GatedRepoError":
        return f"{resource} is gated: request access at {shown_endpoint()}/{resource.repo}" + (
            "" if token() else f", and {LOGIN}"
        )
    if name == "RevisionNotFoundError":
        return f"hf://{resource.repo} has no revision {printable(resource.revision or 'main', 80)}"
    if name in ("RemoteEntryNotFoundError", "EntryNotFoundError"):
        return f"{resource}: there is no such file"
    if name == "DisabledRepoError":
        return f"{resource} was disabled by the Hub"
    if refused:
        return f"{resource}: the token is not accepted and may have expired: {LOGIN} to a new one"
    if name == "RepositoryNotFoundError":
        return f"{resource}: {_absent(status)}"
    if status == 401:
        return f"{resource}: needs a token: {LOGIN}"
    if status == 403:
        return f"{resource}: this token has no permission to {resource.act} it ({reason or 'forbidden'})"
    if status in (409, 412):
        return f"{resource} was changed by somebody else in the meantime ({reason or status}); try again"
    return f"{resource}: the Hub refuses with {status}: {reason or 'no reason given'}"


def _absent(status: int) -> str:
    """Describe a repository that is missing or hidden from this user: the Hub gives one answer for both."""
    if token() is None:
        return f"there is no such repository, or it is private: {LOGIN}"
    if status == 401:
        return f"there is no such repository, or the token is not accepted and may have expired: {LOGIN}"
    return "there is no such repository, or it is private and not for this token"


def cause_of(error: BaseException) -> str:
    """Return why a request failed, in a few words."""
    error = root_of(error)
    status = status_of(error)
    if status is not None:
        requested = error.response.headers.get("Retry-After", "")  # type: ignore[attr-defined]
        later = f" and asks to wait {clean(requested)[:40]} s" if requested else ""
        words = {429: "too many requests", 503: "unavailable", 500: "an internal error", 504: "a timeout"}
        return f"the Hub answers {status} ({words.get(status, 'a failure')}){later}"
    if is_short_body(error):
        return "the body is shorter or longer than it was announced"
    names = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "WriteTimeout": "no data was accepted in time",
        "ReadError": "the connection was reset",
        "WriteError": "the connection was reset",
        "RemoteProtocolError": "the connection was closed",
    }
    text = names.get(type(error).__name__) or clean(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text)


def disk_problem(error: OSError, folder: Path | None) -> ZooError:
    """Return the error to raise for a disk that is full, a folder that cannot be written, and the like."""
    place = printable(folder or error.filename or "the cache", 300)
    if error.errno in _FULL:
        return HubError(f"the disk of {place} is full ({error.strerror}); HF_HOME can name another one")
    if error.errno in _CLOSED:
        return HubError(f"{place} cannot be written: {error.strerror}; HF_HOME can name another folder")
    return HubError(f"{printable(error.filename or place, 300)}: {error.strerror or error}")


def clean(text: object) -> str:
    """Return text from the Hub or from huggingface_hub as one line, without what `redacted` cuts out."""
    return printable(redacted(printable(text, 4000)), 300)


def without_token(error: BaseException) -> BaseException | None:
    """Return the error for `raise ... from`, or None where a traceback of it would show a token or a password."""
    cause: BaseException | None = error
    while cause is not None:
        if holds_secret(str(cause)):
            return None
        cause = cause.__cause__ or cause.__context__
    return error


def root_of(error: BaseException) -> BaseException:
    """Return the failure that huggingface_hub wrapped in others."""
    while type(error).__name__ in ("LocalEntryNotFoundError", "RuntimeError") and error.__cause__ is not None:
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    """Return the status of the HTTP answer that the failure is about, if there was one."""
    from huggingface_hub.errors import HfHubHTTPError

    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else None


def is_transport(error: BaseException) -> bool:
    """Whether the connection failed. huggingface_hub chooses the HTTP library, so its class is known by name alone."""
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)


class WrongLengthError(OSError):
    """The body of an answer has another number of bytes than the Hub announced."""


def is_short_body(error: BaseException) -> bool:
    """Whether a file arrived with another number of bytes than the Hub announced."""
    return isinstance(error, WrongLengthError)
