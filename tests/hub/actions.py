"""What can go wrong with an answer. Tests make these values; the server carries them out.

| action | what happens |
|---|---|
| `status(code, ...)` | this answer instead of the right one; nothing is carried out |
| `cut(after)` | the connection ends (FIN) after so many bytes of the body |
| `reset(after)` | the connection is reset (RST) after so many bytes of the body |
| `refuse()` | the request is read and the connection ends (FIN) without an answer; nothing is carried out |
| `lose(status)` | the request is carried out, and its answer is lost, or replaced by a status |
| `hang(seconds, after)` | silence before the answer, or in the body after so many bytes; then it goes on |
| `slow(rate)` | the body at so many bytes a second |
| `flip(at)` | one bit of the body is wrong, in the byte at this offset of the body |
| `lie(by)` | every size that is told (X-Linked-Size, a HEAD's Content-Length, JSON) is off by so much |
| `resize(by)` | the body is longer or shorter, and its Content-Length agrees with it |
| `revision(name, claim)` | another revision is served; with `claim`, X-Repo-Commit says that it is the one asked for |
| `headers(remove, add)` | headers are missing, or say something else |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

REASONS = {
    401: "Invalid credentials in Authorization header",
    403: "Forbidden",
    404: "Not found",
    429: "Too Many Requests",
    500: "Internal Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Action:
    """Base of all; its fields travel as JSON."""

    kinds: ClassVar[dict[str, type[Action]]] = {}

    def __init_subclass__(cls) -> None:
        Action.kinds[cls.__name__] = cls

    def to_json(self) -> dict[str, Any]:
        return {"action": type(self).__name__, **dataclasses.asdict(self)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Action:
        fields = dict(values)
        return Action.kinds[fields.pop("action")](**fields)


@dataclass(frozen=True)
class status(Action):  # noqa: N801 - reads as a verb where it is used
    """`retry_after` in seconds; `error` is the X-Error-Code; `body` replaces the JSON that says the message."""

    code: int
    retry_after: int | None = None
    error: str | None = None
    message: str | None = None
    body: str | None = None


@dataclass(frozen=True)
class cut(Action):  # noqa: N801
    after: int = 0


@dataclass(frozen=True)
class reset(Action):  # noqa: N801
    after: int = 0


@dataclass(frozen=True)
class refuse(Action):  # noqa: N801
    pass


@dataclass(frozen=True)
class lose(Action):  # noqa: N801
    status: int | None = None


@dataclass(frozen=True)
class hang(Action):  # noqa: N801
    seconds: float = 3600.0
    after: int | None = None


@dataclass(frozen=True)
class slow(Action):  # noqa: N801
    rate: int


@dataclass(frozen=True)
class flip(Action):  # noqa: N801
    at: int = 0


@dataclass(frozen=True)
class lie(Action):  # noqa: N801
    by: int = 1


@dataclass(frozen=True)
class resize(Action):  # noqa: N801
    by: int = 1


@dataclass(frozen=True)
class revision(Action):  # noqa: N801
    name: str
    claim: bool = False


@dataclass(frozen=True)
class headers(Action):  # noqa: N801
    remove: Sequence[str] = ()
    add: Mapping[str, str] = field(default_factory=dict)
