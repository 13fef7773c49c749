"""The one exception that becomes an answer, and the errors that the Hub's clients tell apart by X-Error-Code."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class HubError(Exception):
    """An answer that is not 2xx: status, sentence, and the code that huggingface_hub makes an exception type of."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, dict(headers or {})

    def response(self) -> Response:
        """The message stands in the body (for people) and in the headers (for clients, and for HEAD)."""
        printable = "".join(c if " " <= c <= "~" else "?" for c in self.message).strip()
        headers = self.headers | {"X-Error-Message": printable}
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse({"error": self.message}, self.status, headers)


async def answer(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for HubError."""
    assert isinstance(error, HubError)
    return error.response()


def repository_not_found(signed_in: bool) -> HubError:
    """Missing and hidden repositories look alike; who has not signed in is told to, as the Hub does."""
    if signed_in:
        return HubError(404, "Repository not found", "RepoNotFound")
    return HubError(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> HubError:
    """Keeps X-Repo-Commit: the client caches under it that the file does not exist."""
    headers = {"X-Repo-Commit": commit} if commit else {}
    return HubError(404, f"{path} does not exist", "EntryNotFound", headers)


def bad_request(message: str) -> HubError:
    return HubError(400, message)


def forbidden(message: str) -> HubError:
    return HubError(403, message)


def conflict(message: str) -> HubError:
    return HubError(409, message)
