"""A JSON file that is read in parts, as `strict_yaml.Stream` reads a YAML file: an object, member after member."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo_core.errors import RegistryError, printable
from zoo_core.files.conversion_errors import Keys
from zoo_core.files.strict_json import Cursor, JSONProblemError
from zoo_core.files.strict_yaml import Document, Part


class JSONDocument(Document):
    """The content of a JSON file, or a part of it. The line of a field is looked for only when it is asked for.

    Args:
        text: the whole file.
        start: position of the content in it, or of its key.
        value_start: position of the content.
    """

    typed = True

    def __init__(
        self, file: Path, content: Any, text: str, start: int = 0, value_start: int = 0, place: Keys = ()
    ) -> None:
        super().__init__(file, content, {}, 0, place)
        self._text, self._start, self._value_start = text, start, value_start

    def line_of(self, keys: Keys) -> int:
        """Return the line of the field under these keys, or the nearest one that there is."""
        cursor, place = Cursor(self._text, self._value_start), self._start
        for key in keys:
            if not cursor.at_one_of("{["):
                break
            for member, began in cursor.members():
                if member == key:
                    place = began
                    break
                cursor.value()
            else:
                break
        return _line(self._text, place)


class JSONStream:
    """A JSON file that is read in parts: one member after another of the object under the key `key` of the root.

    Args:
        content: the bytes of the file, UTF-8.
        path: the file that they are from.
        key: the key in the root.

    Example:
        >>> stream = JSONStream(b'{"version": 1, "models": {"a": [1], "b": [2]}}', Path("registry.json"), "models")
        >>> [(part.key, part.document.content) for part in stream]
        [('a', [1]), ('b', [2])]
        >>> stream.document.content
        {'version': 1, 'models': {'a': None, 'b': None}}
    """

    def __init__(self, content: bytes, path: Path, key: str) -> None:
        self._text, self._path, self._key = content.decode("utf-8-sig"), path, key
        self._root: Any = None

    @property
    def document(self) -> Document:
        """The whole, as far as it was read, with None in the place of every part."""
        return JSONDocument(self._path, self._root, self._text)

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts in the order of the file.

        Raises:
            RegistryError: for anything but one JSON value of moderate depth without repeated keys; names file and line.
        """
        cursor = Cursor(self._text)
        try:
            if cursor.at_one_of("{"):
                yield from self._members(cursor)
            else:
                self._root = cursor.value()
            cursor.end()
        except JSONProblemError as error:
            line = _line(self._text, error.position) if error.position is not None else None
            raise RegistryError(printable(error), file=self._path, line=line) from error

    def _members(self, cursor: Cursor) -> Iterator[Part]:
        self._root = {}
        for key, _ in cursor.members():
            if key != self._key or not cursor.at_one_of("{"):
                self._root[key] = cursor.value()
                continue
            parts: dict[str | int, None] = {}
            self._root[key] = parts
            line_start = seen = 0
            for name, began in cursor.members():
                line_start, seen = self._text.rfind("\n", seen, began) + 1 or line_start, began
                value_start = cursor.at
                content = cursor.value()
                parts[name] = None
                document = JSONDocument(self._path, content, self._text, began, value_start, (key, name))
                yield Part(str(name), document, began, cursor.at, began - line_start, in_block=False)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
