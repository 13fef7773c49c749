"""JSON from a stranger, read strictly: UTF-8, no repeated keys, no NaN, no depth that could exhaust the stack."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from zoo_core.errors import printable

MAX_DEPTH = 32


class JSONProblemError(ValueError):
    """A JSON text is wrong; the message is the end of a sentence that begins with the name of its file."""


def decode(raw: bytes) -> Any:
    """Decode a JSON text.

    Raises:
        JSONProblemError: if it is not JSON, repeats a key, is nested more than 32 deep, or cannot be written again.

    Example:
        >>> decode(b'{"size": 28}')
        {'size': 28}
        >>> decode(b'{"size": 28, "size": 32}')
        Traceback (most recent call last):
        zoo_core.files.strict_json.JSONProblemError: has the key 'size' twice
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        _check_depth_and_text(value)
    except JSONProblemError:
        raise
    except UnicodeDecodeError as error:
        raise JSONProblemError(f"is not UTF-8: byte {error.start} is {raw[error.start]:#04x}") from error
    except RecursionError as error:
        raise JSONProblemError("is nested too deeply") from error
    except ValueError as error:  # a JSONDecodeError, or a number too long for int()
        raise JSONProblemError(f"is not JSON: {error}") from error
    return value


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, value in items:
        if key in built:
            # Readers of JSON disagree on which of the two counts: one file could be two models.
            raise JSONProblemError(f"has the key {printable(key, 80)!r} twice")
        built[key] = value
    return built


def _constant(name: str) -> NoReturn:
    raise JSONProblemError(f"holds {name}, which is not JSON")


def _check_depth_and_text(value: Any) -> None:
    """Refuse depth, and text that cannot be written as UTF-8 again: later code could fail on either."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not item.isascii():
                item.encode()  # half a surrogate pair: UnicodeEncodeError, a ValueError
        if not inner:
            return
        level = inner
    raise JSONProblemError("is nested too deeply")
