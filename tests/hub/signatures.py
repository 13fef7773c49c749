"""Signed addresses: they open one thing, without a token, as those of a storage bucket do."""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request

from .errors import HubError


def sign(request: Request, path: str) -> str:
    """The path with its signature."""
    return f"{path}?signature={_signature(request, path)}"


def signed(request: Request) -> None:
    """Refuse an address that this Hub did not make."""
    given = request.query_params.get("signature", "")
    if not hmac.compare_digest(given, _signature(request, request.scope["path"])):
        raise HubError(403, "SignatureDoesNotMatch")


def _signature(request: Request, path: str) -> str:
    return hmac.new(request.app.state.secret, path.encode(), hashlib.sha256).hexdigest()
