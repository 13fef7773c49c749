"""The log of requests: what came, on which side, and how it was answered. Bodies are not kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

# huggingface_hub asks for this by itself, once a day and HF_HOME, in whatever call comes first. So that it does not get
# between a test and what it counts, no fault befalls it, and Hub.requests gives it only where it is asked for by name.
HARNESSES = "/api/agent-harnesses"


@dataclass
class Entry:
    """One request; header names are in lower case."""

    method: str
    path: str  # decoded, without the query
    query: str
    side: str  # "hub" or "cdn"
    headers: dict[str, str]
    status: int | None = None  # None while there is no answer, or there never was one
    sent: int = 0  # bytes of the body
    fault: str | None = None
    time: float = field(default_factory=time.time)

    @property
    def token(self) -> str | None:
        """What the request brought along to be recognised by."""
        return self.headers.get("authorization")


def entry(scope: dict[str, Any], side: str) -> Entry:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    return Entry(scope["method"], unquote(scope["raw_path"].decode("latin-1")), query, side, headers)
