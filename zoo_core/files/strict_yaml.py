"""YAML from a stranger, read strictly: PyYAML's events, and none of its conversions.

The C loader crashes on deep nesting, keeps the last of two equal keys, expands aliases without end, and makes
booleans, dates and octal numbers of words. Here the events are walked instead: mappings, lists and strings are built
from them with the line of each, and msgspec turns the strings into what a type asks for.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from zoo_core.errors import RegistryError, printable

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 250_000  # `[a,a,…` makes a value of every two bytes: 64 MB of it would fill gigabytes of memory

_NULLS = ("", "~", "null", "Null", "NULL")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Type = TypeVar("_Type")
Keys = tuple[str | int, ...]


class Document:
    """A YAML file's content: mappings, lists, strings and None, and the line of every field.

    Attributes:
        file: where it was read.
        content: the root.
        lines: from a path of keys and indices to a line, from 1.
    """

    def __init__(self, file: Path, content: Any, lines: dict[Keys, int]) -> None:
        self.file, self.content, self.lines = file, content, lines

    def convert(self, target: type[_Type], keys: Keys = ()) -> _Type:
        """The content under `keys` as `target`, strings becoming numbers where the type asks for them.

        Raises:
            RegistryError: with the line and the field of the first value that does not fit.
        """
        value = _under(self.content, keys)
        try:
            return msgspec.convert(value, target, strict=False)
        except msgspec.ValidationError as error:
            problem, steps = _locate(value, target, str(error))
            raise self.error(problem, keys + steps) from error

    def error(self, problem: str, keys: Keys = ()) -> RegistryError:
        """An error about the field under these keys, with the nearest line that is known."""
        nearest = keys
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        return RegistryError(
            printable(problem), file=self.file, line=self.lines.get(nearest), field=".".join(map(str, keys)) or None
        )


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file strictly.

    Raises:
        RegistryError: with file, line and field (a syntax error without field), for anything but one plain UTF-8
            document of moderate depth and size, without anchors, aliases, tags and repeated keys.
    """
    path = Path(path)
    return parse_yaml(_read_text(path), path)


def parse_yaml(text: str, path: Path) -> Document:
    """Return the content of a YAML text that was read from `path`, as `read_yaml` does. Raises as `read_yaml`."""
    control = _CONTROL.search(text)
    if control:
        problem = f"holds the control character U+{ord(control[0]):04X}"
        raise RegistryError(problem, file=path, line=text.count("\n", 0, control.start()) + 1)
    builder = _Builder(path)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is not closed is missed after the last line. The field is not told: the parser reads ahead of it.
        line = min(mark.line, text.count("\n")) + 1 if mark else None
        raise RegistryError(printable(error.problem), file=path, line=line) from error
    except yaml.YAMLError as error:
        raise RegistryError(f"is not YAML: {printable(error, 120)}", file=path) from error
    return Document(path, builder.root, builder.lines)


def _read_text(path: Path) -> str:
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise RegistryError("is a folder, not a file", file=path)
        if not stat.S_ISREG(facts.st_mode):  # a pipe may never answer, a device may never end
            raise RegistryError("is not a regular file", file=path)
        if facts.st_size > MAX_BYTES:
            raise RegistryError(f"is larger than {MAX_BYTES // 2**20} MB", file=path)
        with path.open("rb") as file:
            content = file.read(facts.st_size)  # and no more, should the file be growing
    except OSError as error:
        raise RegistryError(f"cannot be read: {error.strerror or error}", file=path) from error
    except ValueError as error:  # a null character in the path
        raise RegistryError(f"cannot be read: {error}", file=path) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RegistryError(f"is not UTF-8: byte {content[error.start]:#04x}", file=path, line=line) from error


class _Builder:
    """Builds the content from events, and refuses what a registry never needs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.root: Any = None
        self.lines: dict[Keys, int] = {(): 1}
        self._documents = self._values = 0
        self._open: list[Any] = []  # the mappings and lists around the present event
        self._keys: list[str | int | None] = []  # in each of them: the key or index that waits for its value

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise RegistryError("holds more than one document", file=self.file, line=line)
        elif isinstance(event, yaml.AliasEvent):
            raise self._refusal("aliases are not allowed", line)
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            if event.anchor is not None:
                raise self._refusal("anchors are not allowed", line)
            if event.tag is not None:
                raise self._refusal(f"tags are not allowed: {printable(event.tag, 60)}", line)
            if self._open and self._keys[-1] is None:
                self._take_key(event, line)
            else:
                self._take_value(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
            self._advance()

    def _take_key(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refusal("a key must be a plain word", line)
        self._keys[-1] = event.value
        if event.value in self._open[-1]:
            raise self._refusal(f"the key {printable(event.value, 80)!r} stands here twice", line)
        self.lines[self._path()] = line

    def _take_value(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._refusal(f"holds more than {MAX_VALUES:,} values", line)
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            self._put(None if plain and event.value in _NULLS else event.value, line)
            self._advance()
            return
        if len(self._open) == MAX_DEPTH:
            raise self._refusal(f"is nested more than {MAX_DEPTH} deep", line)
        mapping = isinstance(event, yaml.MappingStartEvent)
        value: Any = {} if mapping else []
        self._put(value, line)
        self._open.append(value)
        self._keys.append(None if mapping else 0)

    def _put(self, value: Any, line: int) -> None:
        if not self._open:
            self.root = value
            self.lines[()] = line
        elif isinstance(self._open[-1], dict):
            self._open[-1][self._keys[-1]] = value
        else:
            self._open[-1].append(value)
            self.lines[self._path()] = line

    def _advance(self) -> None:
        """A value is complete: wait for the next key of the mapping around it, or for the next index of the list."""
        if self._open:
            parent = self._open[-1]
            self._keys[-1] = None if isinstance(parent, dict) else len(parent)

    def _path(self) -> Keys:
        return tuple(key for key in self._keys if key is not None)

    def _refusal(self, problem: str, line: int) -> RegistryError:
        return RegistryError(problem, file=self.file, line=line, field=".".join(map(str, self._path())) or None)


_PLACE = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|(?P<hidden>\[\.\.\.\])")
_ABSENT = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)


def _locate(value: Any, target: Any, message: str) -> tuple[str, Keys]:
    """The problem in one of msgspec's messages and the keys to the field that it is about.

    msgspec writes `[...]` for the key of a mapping; which one it was is found by converting halves of the mapping.
    """
    place = _PLACE.fullmatch(message)
    if place is None:
        return message, ()
    problem: str = place["problem"]
    steps: list[str | int] = []
    for step in _STEP.finditer((place["path"] or "") + ("[...]" if place["key"] else "")):
        if step["hidden"]:
            value, key = _narrow(value, target, tuple(steps), message)
            steps.append(key)
        else:
            steps.append(step["name"] or int(step["index"]))
    absent = _ABSENT.fullmatch(problem)
    if absent:
        return problem, (*steps, absent[1])
    found = _under(value, tuple(steps))
    if isinstance(found, str):  # everything in the file is a string: its text tells more than its type
        problem = problem.replace("got `str`", f"got {printable(found, 60)!r}")
    return problem, tuple(steps)


def _narrow(value: Any, target: Any, steps: Keys, message: str) -> tuple[Any, str]:
    """The value with the mapping under `steps` cut down to the one key that msgspec's message is about, and the key."""
    keys = list(_under(value, steps))
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        keys = half if _message(_with_keys(value, steps, half), target) == message else keys[len(half) :]
    return _with_keys(value, steps, keys), keys[0]


def _message(value: Any, target: Any) -> str | None:
    try:
        msgspec.convert(value, target, strict=False)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _with_keys(value: Any, steps: Keys, keys: list[str]) -> Any:
    """A copy of the value in which the mapping under `steps` has these keys alone."""
    if not steps:
        return {key: value[key] for key in keys}
    copy = value.copy()
    copy[steps[0]] = _with_keys(value[steps[0]], steps[1:], keys)
    return copy


def _under(value: Any, keys: Keys) -> Any:
    for key in keys:
        value = value[key]
    return value
