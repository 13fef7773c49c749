"""What went wrong, in one line: the errors of huggingface_hub, of the connection and of the disk, told to a user."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import HubError, UnreachableError, ZooError, printable
from zoo_core.hub.settings import endpoint, token

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
PASSING = {408, 429, 500, 502, 503, 504}  # answers after which trying again may help
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True)
class Subject:
    """What a call is about, for its messages."""

    repo: str = ""
    revision: str | None = None
    file: str | None = None
    act: str = "read"  # or "write": what a missing permission is missing for

    def __str__(self) -> str:
        if not self.repo:
            return endpoint()
        at = f"@{self.revision[:12] if len(self.revision) == 40 else self.revision}" if self.revision else ""
        return f"hf://{self.repo}{at}" + (f", {printable(self.file, 80)}" if self.file else "")


def problem(error: BaseException, subject: Subject, folder: Path | None = None) -> ZooError:
    """The one line for a failure of huggingface_hub, of the connection, or of the disk under `folder`."""
    root = root_of(error)
    status = status_of(root)
    if status is not None:
        return _refusal(root, status, subject)
    name = type(root).__name__
    if name == "OfflineModeIsEnabled":
        return HubError(f"{subject}: HF_HUB_OFFLINE keeps the network out")
    if is_transport(root):
        asked = f", asked for {subject}" if subject.repo else ""
        return UnreachableError(f"{endpoint()} cannot be reached ({cause_of(root)}){asked}")
    if is_short_body(root):
        return UnreachableError(f"{subject}: {cause_of(root)}")
    if name == "LocalTokenNotFoundError":
        return HubError(f"{subject}: needs a token: {LOGIN}")
    if name == "FileMetadataError":
        return HubError(f"{endpoint()} does not answer as a Hub does, asked for {subject}: HF_ENDPOINT names it")
    if isinstance(root, OSError) and root.errno is not None:
        return disk_problem(root, folder)
    return HubError(f"{subject}: {name}: {clean(root)}")


def _refusal(error: BaseException, status: int, subject: Subject) -> HubError:
    """For an answer that is not 2xx."""
    said = clean(getattr(error, "server_message", None) or "")
    if status in PASSING:
        kind = HubError if status == 429 else UnreachableError
        return kind(f"{subject}: {cause_of(error)}; try again later", status=status)
    missing = type(error).__name__ == "RepositoryNotFoundError"
    return HubError(_why_refused(error, status, subject, said), status=status, missing=missing)


def _why_refused(error: BaseException, status: int, subject: Subject, said: str) -> str:
    name = type(error).__name__
    refused = status == 401 and ("Invalid credentials" in str(error) or (token() and not subject.repo))
    if name == "GatedRepoError":
        return f"{subject} is gated: ask for access at {endpoint()}/{subject.repo}" + (
            "" if token() else f", and {LOGIN}"
        )
    if name == "RevisionNotFoundError":
        return f"hf://{subject.repo} has no revision {printable(subject.revision or 'main', 80)}"
    if name in ("RemoteEntryNotFoundError", "EntryNotFoundError"):
        return f"{subject}: there is no such file"
    if name == "DisabledRepoError":
        return f"{subject} was disabled by the Hub"
    if refused:
        return f"{subject}: the token is not accepted, it may have expired: {LOGIN} to a new one"
    if name == "RepositoryNotFoundError":
        return f"{subject}: {_absent(status)}"
    if status == 401:
        return f"{subject}: needs a token: {LOGIN}"
    if status == 403:
        return f"{subject}: this token has no permission to {subject.act} it ({said or 'forbidden'})"
    if status in (409, 412):
        return f"{subject} was changed by somebody else meanwhile ({said or status}); try again"
    return f"{subject}: the Hub refuses with {status}: {said or 'no reason given'}"


def _absent(status: int) -> str:
    """A repository that is missing, or that the Hub keeps from this user: it does not tell which."""
    if token() is None:
        return f"there is no such repository, or it is private: {LOGIN}"
    if status == 401:
        return f"there is no such repository, or the token is not accepted and may have expired: {LOGIN}"
    return "there is no such repository, or it is private and not for this token"


def cause_of(error: BaseException) -> str:
    """Why a call failed, in a few words."""
    error = root_of(error)
    status = status_of(error)
    if status is not None:
        asked = error.response.headers.get("Retry-After", "")  # type: ignore[attr-defined]
        later = f" and asks to wait {printable(asked, 40)} s" if asked else ""
        words = {429: "too many requests", 503: "unavailable", 500: "an internal error", 504: "a timeout"}
        return f"the Hub answers {status} ({words.get(status, 'a failure')}){later}"
    if is_short_body(error):
        return "the body is shorter or longer than it was announced"
    names = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "WriteTimeout": "nothing was taken in time",
        "ReadError": "the connection was reset",
        "WriteError": "the connection was reset",
        "RemoteProtocolError": "the connection was closed",
    }
    text = names.get(type(error).__name__) or clean(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text)


def disk_problem(error: OSError, folder: Path | None) -> ZooError:
    """The one line for a disk that is full, a folder that cannot be written, and the like."""
    place = printable(folder or error.filename or "the cache", 300)
    if error.errno in _FULL:
        return HubError(f"the disk of {place} is full ({error.strerror}); HF_HOME can name another one")
    if error.errno in _CLOSED:
        return HubError(f"{place} cannot be written: {error.strerror}; HF_HOME can name another folder")
    return HubError(f"{printable(error.filename or place, 300)}: {error.strerror or error}")


def clean(text: object) -> str:
    """Text of the Hub's or of huggingface_hub's, in one line, without the token and without signatures in addresses."""
    line = printable(text, 4000)
    secret = token()
    if secret:
        line = line.replace(secret, "***")
    line = re.sub(r"\bhf_[A-Za-z0-9_]{6,}", "***", line)
    return printable(re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", line), 300)


def without_token(error: BaseException) -> BaseException | None:
    """The error for `raise ... from`, unless a Hub put the token into its answer: no traceback shall show it."""
    secret = token()
    cause: BaseException | None = error
    while cause is not None:
        if secret and secret in str(cause):
            return None
        cause = cause.__cause__ or cause.__context__
    return error


def root_of(error: BaseException) -> BaseException:
    """The failure under those that huggingface_hub wraps around it."""
    while type(error).__name__ in ("LocalEntryNotFoundError", "RuntimeError") and error.__cause__ is not None:
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else None


def is_transport(error: BaseException) -> bool:
    """Whether this is a failed connection. huggingface_hub chooses the HTTP library, and its errors say which."""
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)


def is_short_body(error: BaseException) -> bool:
    return isinstance(error, OSError) and "Consistency check failed" in str(error)
