"""Failures of huggingface_hub, of the connection and of the disk, each as an error of one line."""

from __future__ import annotations

import datetime
import email.utils
import errno
import re
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import HubError, UnreachableError, ZooError, printable
from zoo_core.hub.redaction import holds_secret, redacted, shown_endpoint
from zoo_core.hub.settings import endpoint, token

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
TEMPORARY_STATUS = {408, 429, 500, 502, 503, 504}  # answers after which another attempt may succeed
_BAD_ADDRESS = {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError"}
_ADDRESS_HINT = "check the address in HF_ENDPOINT"
# What huggingface_hub fails with where an answer has not the form that it expects.
_MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
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


class UnexpectedAnswerError(HubError):
    """What answered is not a Hub, or a Hub that answers in another form.

    Args:
        web_page: it is the page of a website, which some servers answer to every address that they do not know.
    """

    def __init__(self, message: str, *, web_page: bool = False) -> None:
        self.web_page = web_page
        super().__init__(message)


def explain(error: BaseException, resource: HubResource, folder: Path | None = None) -> ZooError:
    """Return the error to raise for a failure of huggingface_hub, of the connection, or of the disk under `folder`."""
    root = root_of(error)
    if isinstance(root, ZooError):
        return root
    status = status_of(root)
    if status is not None:
        return _refusal(root, status, resource)
    name = type(root).__name__
    if name == "OfflineModeIsEnabled":
        return HubError(f"{resource}: HF_HUB_OFFLINE is set, so the network is not used")
    if name in _BAD_ADDRESS:
        return HubError(f"{shown_endpoint()} is not the address of a Hub ({clean(root)}); {_ADDRESS_HINT}")
    if is_transport(root):
        return unreachable(root, resource)
    if is_short_body(root):
        return UnreachableError(f"{resource}: {cause_of(root)}")
    if name == "LocalTokenNotFoundError":
        return HubError(f"{resource}: needs a token: {LOGIN}")
    if name == "HFValidationError":  # a name that the Hub's rules forbid
        return HubError(f"{resource}: {clean(root)}")
    if name == "FileMetadataError":
        return not_a_hub(endpoint(), "", resource)
    if name in ("TooManyRedirects", "DecodingError") or isinstance(root, _MISSHAPEN):
        return not_a_hub(_url_of(root) or endpoint(), getattr(root, "doc", None) or str(root), resource)
    if isinstance(root, OSError) and root.errno is not None:
        return disk_problem(root, folder)
    return HubError(f"{resource}: {clean(root) or name}")


def check_endpoint() -> None:
    """Raise HubError where HF_ENDPOINT is no address, which some libraries would take for another one."""
    try:
        parts = urllib.parse.urlsplit(endpoint())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or an IPv6 address
        valid = False
    if not valid:
        raise HubError(
            f"HF_ENDPOINT is {clean(endpoint())!r}, which is not an address: write https://host or https://host:port"
        )


def not_a_hub(url: str, content: str, resource: HubResource | None = None) -> UnexpectedAnswerError:
    """Return the error for an answer that has not the form of a Hub's.

    Args:
        url: the address that answered.
        content: the beginning of the answer, or what is wrong with it.
        resource: what was requested, where that says more than the address.
    """
    asked = f"{origin_of(url)} does not answer a request for {resource}"
    subject = asked if resource is not None and resource.repo else f"{clean(url)} does not answer"
    if content.lstrip().startswith("<"):
        return UnexpectedAnswerError(
            f"{subject} as a Hub does, but with a web page; {_ADDRESS_HINT}, "
            "and whether a proxy or the login page of a network answers in its place",
            web_page=True,
        )
    detail = f" ({clean(content)[:80]})" if content.strip() else ""
    return UnexpectedAnswerError(f"{subject} as a Hub does{detail}; {_ADDRESS_HINT}")


def unreachable(error: BaseException, resource: HubResource) -> UnreachableError:
    """Return the error for a connection that failed: which host or proxy, why, and what to do."""
    error = root_of(error)
    origin = origin_of(_url_of(error) or endpoint())
    wanted = f", so {resource} could not be requested" if resource.repo else ""
    problem = tls_problem(error)
    if problem is not None:
        return UnreachableError(f"{_named(origin)}: {problem}{wanted}")
    proxy = _proxy_of(origin)
    if proxy is not None and type(error).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError"):
        return UnreachableError(
            f"the proxy {proxy} does not connect to {_named(origin)} ({cause_of(error)}){wanted}; "
            "check the proxy, or name the host in NO_PROXY"
        )
    through = f" through the proxy {proxy}" if proxy is not None else ""
    return UnreachableError(f"{_named(origin)} cannot be reached{through} ({cause_of(error)}){wanted}")


def origin_of(url: str) -> str:
    """Return the scheme, host and port of an address, without a name and password in it.

    Example:
        >>> origin_of("https://alice:secret@hub.example.org:8443/api?x=1")
        'https://hub.example.org:8443'
    """
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def tls_problem(error: BaseException) -> str | None:
    """Return what is wrong with the encryption of a connection, and what to do; None where that is not the failure."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({clean(cause.verify_message)}); check the clock of this machine, and "
            "where an organization signs for the host, name its certificates in SSL_CERT_FILE"
        )
    if isinstance(cause, ssl.SSLError) and type(error).__name__ == "ConnectError":
        reason = (cause.reason or "").replace("_", " ").lower() or clean(cause)
        return f"no encrypted connection can be made ({reason}); {_ADDRESS_HINT}: http or https, and the port"
    return None


def _named(origin: str) -> str:
    """Return a host as messages name it: the Hub by its address, any other as what the Hub refers to for files."""
    return origin if origin == origin_of(endpoint()) else f"the storage {origin}"


def _who(error: BaseException) -> str:
    """Return who gave the answer that a failure is about."""
    origin = origin_of(_url_of(error) or endpoint())
    return "the Hub" if origin == origin_of(endpoint()) else _named(origin)


def _url_of(error: BaseException) -> str | None:
    """Return the address that a failed request went to, where it is known."""
    try:
        return str((getattr(error, "response", None) or error.request).url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # RuntimeError: the library did not note the request
        return None


def _proxy_of(origin: str) -> str | None:
    """Return the proxy that the environment names for a host, without its password."""
    parts = urllib.parse.urlsplit(origin)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or not parts.hostname or urllib.request.proxy_bypass(parts.netloc):
        return None
    return origin_of(proxy if "://" in proxy else f"http://{proxy}")


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
    who = _who(error)
    if who != "the Hub":  # what follows is about the Hub's own answers
        return f"{resource}: {who} refuses with {status}: {reason or 'no reason given'}"
    if status == 407:
        return f"{resource}: a proxy asks for a name and a password; state them in HTTPS_PROXY or HTTP_PROXY"
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
    if status == 401 and token() and error.response.headers.get("X-Error-Code") == "RepoNotFound":  # type: ignore[attr-defined]
        return f"{resource}: there is no such repository, or the token was refused and may have expired: {LOGIN}"
    if status == 401 and token():
        return f"{resource}: the token was refused; it may have expired, or belong to another Hub: {LOGIN} to a new one"
    if name == "RepositoryNotFoundError":
        return f"{resource}: {_absent()}"
    if status == 401:
        return f"{resource}: needs a token: {LOGIN}"
    if status == 403:
        return f"{resource}: this token has no permission to {resource.act} it ({reason or 'forbidden'})"
    if status in (409, 412):
        return f"{resource} was changed by somebody else in the meantime ({reason or status}); try again"
    return f"{resource}: the Hub refuses with {status}: {reason or 'no reason given'}"


def _absent() -> str:
    """Describe a repository that is missing or hidden from this user: the Hub gives one answer for both."""
    if token() is None:
        return f"there is no such repository, or it is private: {LOGIN}"
    return "there is no such repository, or it is private and not for this token"


def cause_of(error: BaseException) -> str:
    """Return why a request failed, in a few words."""
    error = root_of(error)
    status = status_of(error)
    if status is not None:
        requested = retry_after(error)
        later = f" and asks to wait {requested:g} s" if requested else ""
        words = {429: "too many requests", 503: "unavailable", 500: "an internal error", 504: "a timeout"}
        return f"{_who(error)} answers {status} ({words.get(status, 'a failure')}){later}"
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


def cause_and_host(error: BaseException) -> str:
    """Return why a request failed, and where if that is not the Hub, as a line about waiting says it."""
    cause, origin = cause_of(error), origin_of(_url_of(root_of(error)) or endpoint())
    return cause if origin == origin_of(endpoint()) or status_of(root_of(error)) else f"{cause} ({_named(origin)})"


def retry_after(error: BaseException) -> float | None:
    """Return the seconds after which the server asks to try again, stated as such or as a date, or None."""
    text = str(error.response.headers.get("Retry-After", "")).strip()  # type: ignore[attr-defined]
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        now = datetime.datetime.now(datetime.UTC)
        return max(0.0, round(((date if date.tzinfo else date.replace(tzinfo=datetime.UTC)) - now).total_seconds()))
    except (ValueError, OverflowError):
        return None


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
