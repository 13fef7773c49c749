"""JSON from a stranger, read strictly: UTF-8, no repeated keys, no NaN, no depth that could exhaust the stack."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from zoo_core.errors import printable

MAX_DEPTH = 32
MAX_VALUE = 4 * 2**20  # characters of a value that a Cursor decodes at once; 4 MB of `[1,1,…` take 100 MB of memory
_WINDOWS = (2**16, MAX_VALUE)  # characters that are looked at: few values need the second
_SPACE = re.compile(r"[ \t\n\r]*")


class JSONProblemError(ValueError):
    """A JSON text is wrong; the message is the end of a sentence that begins with the name of its file.

    Attributes:
        position: where in the text the problem is, in characters; None if it is not known.
    """

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem)
        self.position = position


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


class Cursor:
    """A position in a JSON text from which values are read one by one, so that a large text is never decoded at once.

    Attributes:
        at: the position, in characters.

    Example:
        >>> cursor = Cursor('{"a": [1], "b": 2}')
        >>> [(key, cursor.value()) for key, _ in cursor.members()]
        [('a', [1]), ('b', 2)]
    """

    def __init__(self, text: str, at: int = 0) -> None:
        self._text, self.at = text, at
        self._skip_space()

    def at_one_of(self, characters: str) -> bool:
        """Return whether one of these characters is at the position."""
        return self._text[self.at : self.at + 1] in tuple(characters)

    def members(self) -> Iterator[tuple[str | int, int]]:
        """Yield the key of each member of the object here, or the index of each item of the list, and where it begins.

        Before the next one is asked for, the value must be read, by `value` or by `members` of the same cursor.

        Raises:
            JSONProblemError: as `decode`, with the position.
        """
        listed, taken = self.at_one_of("["), set[str]()
        closing = "]" if listed else "}"
        self.at += 1
        self._skip_space()
        for index in itertools.count():
            if index == 0 and self.at_one_of(closing):
                break
            began = self.at
            yield index if listed else self._key(taken), began
            self._skip_space()
            if self.at_one_of(closing):
                break
            self._take(",")
        self.at += 1

    def value(self) -> Any:
        """Decode the value here, and go to its end.

        Raises:
            JSONProblemError: as `decode`, with the position.
        """
        began = self.at
        try:
            value, length = self._decoded()
            _check_depth_and_text(value)
        except JSONProblemError as error:
            raise JSONProblemError(str(error), began) from error
        except json.JSONDecodeError as error:
            raise JSONProblemError(f"is not JSON: {error.msg}", began + error.pos) from error
        except RecursionError as error:
            raise JSONProblemError("is nested too deeply", began) from error
        except ValueError as error:  # a number too long for int()
            raise JSONProblemError(f"is not JSON: {error}", began) from error
        self.at += length
        return value

    def _decoded(self) -> tuple[Any, int]:
        """Return the value here and its length, from a window of the text that holds all of it."""
        for size in _WINDOWS:
            window = self._text[self.at : self.at + size]
            try:
                value, length = _DECODER.raw_decode(window)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos > size - 16
                if len(window) < size or not cut:
                    raise
            else:
                if length < size or len(window) < size:
                    return value, length
        raise JSONProblemError(f"has a value of more than {MAX_VALUE // 2**20} MB")

    def end(self) -> None:
        """Check that only white space follows. Raises JSONProblemError."""
        self._skip_space()
        if self.at < len(self._text):
            raise JSONProblemError("is not JSON: Extra data", self.at)

    def _key(self, taken: set[str]) -> str:
        began = self.at
        if not self.at_one_of('"'):
            raise JSONProblemError("is not JSON: Expecting property name enclosed in double quotes", began)
        key: str = self.value()
        if key in taken:
            raise JSONProblemError(f"has the key {printable(key, 80)!r} twice", began)
        taken.add(key)
        self._skip_space()
        self._take(":")
        return key

    def _take(self, delimiter: str) -> None:
        if not self.at_one_of(delimiter):
            raise JSONProblemError(f"is not JSON: Expecting {delimiter!r} delimiter", self.at)
        self.at += 1
        self._skip_space()

    def _skip_space(self) -> None:
        self.at = _SPACE.match(self._text, self.at).end()  # type: ignore[union-attr]  # it matches nothing, too


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


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


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
