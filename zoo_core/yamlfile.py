"""YAML from a stranger, read strictly: PyYAML's events, and none of its conversions.

The C loader crashes on deep nesting, keeps the last of two equal keys, expands aliases without end, and makes
booleans, dates and octal numbers of words. Here the events are walked instead: mappings, lists and strings are built
from them with the line of each, and msgspec turns the strings into what a type asks for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from zoo_core.errors import RegistryError, printable

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
_NULLS = ("", "~", "null", "Null", "NULL")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Type = TypeVar("_Type")
Keys = tuple[str | int, ...]


class Document:
    """A YAML file's content: mappings, lists, strings and None, and the line of every field.

    Attributes:
        content: the root. lines: from a path of keys and indices to a line, from 1.
    """

    def __init__(self, file: Path, content: Any, lines: dict[Keys, int]) -> None:
        self.file, self.content, self.lines = file, content, lines

    def convert(self, target: type[_Type], keys: Keys = ()) -> _Type:
        """The content under `keys` as `target`, strings becoming numbers where the type asks for them.

        Raises:
            RegistryError: with the line and the field of the first value that does not fit.
        """
        value = self.content
        for key in keys:
            value = value[key]
        try:
            return msgspec.convert(value, target, strict=False)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            field = keys + _steps(path)
            unknown = re.search(r"unknown field `(.*)`", problem)
            raise self.error(problem, (*field, unknown[1]) if unknown else field) from error

    def error(self, problem: str, keys: Keys = ()) -> RegistryError:
        """An error about the field under these keys, with the nearest line that is known."""
        nearest = keys
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        return RegistryError(
            printable(problem), file=self.file, line=self.lines.get(nearest), field=".".join(map(str, keys)) or None
        )


def _steps(path: str) -> Keys:
    """The keys of msgspec's path `.name[index]…`, up to where it does not tell a mapping's key."""
    steps: list[str | int] = []
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        if index == "...":
            break
        steps.append(name or int(index))
    return tuple(steps)


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file strictly.

    Raises:
        RegistryError: with file and line, for anything but one plain UTF-8 document of moderate depth and size.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RegistryError(f"is larger than {MAX_BYTES // 2**20} MB", file=path)
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RegistryError(f"cannot be read: {error.strerror or error}", file=path) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RegistryError(f"is not UTF-8: byte {error.object[error.start]:#04x}", file=path, line=line) from error
    builder = _Builder(path)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RegistryError(printable(error.problem), file=path, line=mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise RegistryError(f"is not YAML: {printable(error, 120)}", file=path) from error
    return Document(path, builder.root, builder.lines)


class _Builder:
    """Builds the content from events, and refuses what a registry never needs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.root: Any = None
        self.lines: dict[Keys, int] = {}
        self._documents = 0
        self._open: list[Any] = []  # the mappings and lists around the present event
        self._keys: list[str | int | None] = []  # in each of them: the key or index that waits for its value

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise RegistryError("holds more than one document", file=self.file, line=line)
        elif isinstance(event, yaml.AliasEvent):
            raise RegistryError("aliases are not allowed", file=self.file, line=line)
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            if event.anchor is not None:
                raise RegistryError("anchors are not allowed", file=self.file, line=line)
            if event.tag is not None:
                raise RegistryError(f"tags are not allowed: {printable(event.tag, 60)}", file=self.file, line=line)
            self._node(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
            if self._open and isinstance(self._open[-1], dict):
                self._keys[-1] = None  # the field that this collection was the value of is complete

    def _node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if isinstance(event, yaml.ScalarEvent):
            if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
                self._begin_field(event.value, line)
                return
            self._put(None if event.style is None and event.value in _NULLS else event.value, line)
            return
        if len(self._open) == MAX_DEPTH:
            raise RegistryError(f"is nested more than {MAX_DEPTH} deep", file=self.file, line=line)
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
            raise RegistryError("a key must be a plain word", file=self.file, line=line)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(value, line)
        self._open.append(value)
        self._keys.append(None)

    def _begin_field(self, key: str, line: int) -> None:
        if key in self._open[-1]:
            raise RegistryError(f"the key {printable(key, 80)!r} stands here twice", file=self.file, line=line)
        self._keys[-1] = key
        self.lines[self._path()] = line

    def _put(self, value: Any, line: int) -> None:
        if not self._open:
            self.root = value
            self.lines[()] = line
            return
        parent = self._open[-1]
        if isinstance(parent, dict):
            parent[self._keys[-1]] = value
            if not isinstance(value, (dict, list)):
                self._keys[-1] = None
        else:
            self._keys[-1] = len(parent)
            self.lines[self._path()] = line
            parent.append(value)

    def _path(self) -> Keys:
        return tuple(key for key in self._keys if key is not None)
