"""YAML from a stranger, read strictly: by PyYAML's events, without its conversions.

PyYAML's C loader crashes on deep nesting, keeps the last of two equal keys, expands aliases without limit, and turns
words into booleans, dates and octal numbers. Here its events are used instead: mappings, lists and strings are built
from them, each with its line, and msgspec converts the strings to the types that are asked for.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from zoo_core.errors import RegistryError, printable
from zoo_core.files.conversion_errors import Keys, locate, under
from zoo_core.files.paths import user_path

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 250_000  # `[a,a,…` has a value in every two bytes: 64 MB of it would take gigabytes of memory

_NULLS = ("", "~", "null", "Null", "NULL")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Type = TypeVar("_Type")


class Document:
    """The content of a YAML file: mappings, lists, strings and None, and the line of every field.

    Attributes:
        file: the file that was read.
        content: the root.
        lines: the line, from 1, of each path of keys and indices.
    """

    def __init__(self, file: Path, content: Any, lines: dict[Keys, int]) -> None:
        self.file, self.content, self.lines = file, content, lines

    def convert(self, target: type[_Type], keys: Keys = ()) -> _Type:
        """Convert the content under `keys` to a type; strings become numbers if the type asks for numbers.

        Raises:
            RegistryError: if a value does not fit; names the line and the field of the first one.
        """
        value = under(self.content, keys)
        try:
            return msgspec.convert(value, target, strict=False)
        except msgspec.ValidationError as error:
            problem, steps = locate(value, target, str(error))
            raise self.error(problem, keys + steps) from error

    def error(self, problem: str, keys: Keys = ()) -> RegistryError:
        """Return an error about the field under these keys, with the nearest line that is known."""
        nearest = keys
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        return RegistryError(
            printable(problem), file=self.file, line=self.lines.get(nearest), field=".".join(map(str, keys)) or None
        )


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file strictly.

    Raises:
        RegistryError: for anything but one plain UTF-8 document of moderate depth and size, without anchors, aliases,
            tags and repeated keys. Names file, line and field; a syntax error has no field.
        ZooError: for what is no path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "training.yaml"
        ...     _ = file.write_text("steps: 100\\nseed: on")
        ...     document = read_yaml(file)
        >>> document.content, document.lines["seed",]
        ({'steps': '100', 'seed': 'on'}, 2)
        >>> document.convert(int, ("steps",))
        100
    """
    path = user_path(path)
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
        # The end of what is not closed is missed after the last line. There is no field: the parser reads ahead of it.
        line = min(mark.line, text.count("\n")) + 1 if mark else None
        raise RegistryError(printable(error.problem), file=path, line=line) from error
    except yaml.YAMLError as error:
        raise RegistryError(f"is not YAML: {printable(error, 120)}", file=path) from error
    return Document(path, builder.root, builder.lines)


def _read_text(path: Path) -> str:
    """Read a regular UTF-8 file of moderate size. Raises RegistryError."""
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise RegistryError("is a folder, not a file", file=path)
        if not stat.S_ISREG(facts.st_mode):  # a pipe may never answer, a device may never end
            raise RegistryError("is not a regular file", file=path)
        if facts.st_size > MAX_BYTES:
            raise RegistryError(f"is larger than {MAX_BYTES // 2**20} MB", file=path)
        with path.open("rb") as file:
            content = file.read(facts.st_size)  # and no more, if the file is growing
    except OSError as error:
        raise RegistryError(f"cannot be read: {error.strerror or error}", file=path) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RegistryError(f"is not UTF-8: byte {content[error.start]:#04x}", file=path, line=line) from error


class _Builder:
    """Builds the content from events, and refuses what no registry needs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.root: Any = None
        self.lines: dict[Keys, int] = {(): 1}
        self._documents = self._values = 0
        self._open: list[Any] = []  # the mappings and lists around the current event
        self._keys: list[str | int | None] = []  # for each of them, the key or index whose value is next

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
            raise self._refusal(f"the key {printable(event.value, 80)!r} is repeated", line)
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
        """After a complete value, go to the next key of the mapping around it, or to the next index of the list."""
        if self._open:
            parent = self._open[-1]
            self._keys[-1] = None if isinstance(parent, dict) else len(parent)

    def _path(self) -> Keys:
        return tuple(key for key in self._keys if key is not None)

    def _refusal(self, problem: str, line: int) -> RegistryError:
        return RegistryError(problem, file=self.file, line=line, field=".".join(map(str, self._path())) or None)
