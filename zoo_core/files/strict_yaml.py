"""YAML from a stranger, read strictly: by PyYAML's events, without its conversions.

PyYAML's C loader crashes on deep nesting, keeps the last of two equal keys, expands aliases without limit, and turns
words into booleans, dates and octal numbers. Here its events are used instead: mappings, lists and strings are built
from them, each with its line, and msgspec converts the strings to the types that are asked for. A large file is read in
parts, one child of a mapping at a time, in the memory of its bytes and of one part.
"""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
MAX_STREAMED_VALUES = 8_000_000  # of a file that is read in parts, each of which may have MAX_VALUES

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Type = TypeVar("_Type")
_CHUNK = 2**20

Lines = dict[int, dict[str | int, int]]  # by the id of a mapping or list: the line of each of its keys or items


class Document:
    """The content of a YAML file, or a part of it: mappings, lists, strings and None, and the line of every field.

    Attributes:
        file: the file that was read.
        content: the root, or the part.
        line: the line, from 1, of the content.
        place: the keys from the root of the file to the content.
        typed: whether the file distinguishes numbers from strings. YAML's own rules for that are not followed.
    """

    typed = False

    def __init__(self, file: Path, content: Any, lines: Lines, line: int = 1, place: Keys = ()) -> None:
        self.file, self.content, self.line, self.place = file, content, line, place
        self._lines = lines

    @property
    def lines(self) -> dict[Keys, int]:
        """The line, from 1, of each path of keys and indices."""
        return dict(self._all_lines(self.content, ()))

    def _all_lines(self, value: Any, keys: Keys) -> Iterator[tuple[Keys, int]]:
        if not keys:
            yield keys, self.line
        for key, line in self._lines.get(id(value), {}).items():
            yield (*keys, key), line
            yield from self._all_lines(value[key], (*keys, key))

    def line_of(self, keys: Keys) -> int:
        """Return the line of the field under these keys, or the nearest one that is known."""
        line, value = self.line, self.content
        for key in keys:
            known = self._lines.get(id(value), {})
            if key not in known:
                break
            line, value = known[key], value[key]
        return line

    def convert(self, target: type[_Type], keys: Keys = ()) -> _Type:
        """Convert the content under `keys` to a type; strings become numbers if the type asks for numbers.

        Raises:
            RegistryError: if a value does not fit; names the line and the field of the first one.
        """
        value = under(self.content, keys)
        try:
            return msgspec.convert(value, target, strict=self.typed)
        except msgspec.ValidationError as error:
            problem, steps = locate(value, target, str(error), strict=self.typed)
            raise self.error(problem, keys + steps) from error

    def error(self, problem: str, keys: Keys = ()) -> RegistryError:
        """Return an error about the field under these keys, with its line."""
        field = ".".join(map(str, self.place + keys)) or None
        return RegistryError(printable(problem), file=self.file, line=self.line_of(keys), field=field)


@dataclass(frozen=True)
class Part:
    """One child of a mapping in a file that is read in parts.

    Attributes:
        key: its key.
        document: its content.
        start: position of the key in the file, in characters, without counting a byte order mark.
        end: position after the last character of the value.
        column: characters before the key in its line.
        in_block: whether the mapping around it is written as a block, one key below another, without braces.
    """

    key: str
    document: Document
    start: int
    end: int
    column: int
    in_block: bool


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
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> bytes:
    """Read a regular UTF-8 file of moderate size, without control characters.

    Raises:
        RegistryError: for any other; names the file, and the line of what does not belong in a text.
    """
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
    check_text(content, path)
    return content


def check_text(content: bytes, path: Path) -> None:
    """Check that the content of `path` is UTF-8 without control characters.

    Raises:
        RegistryError: if it is not; names file and line.
    """
    start = 0
    while start < len(content):  # in chunks of whole lines: decoded at once, one emoji would take four times the memory
        end = content.find(b"\n", start + _CHUNK) + 1 or len(content)
        try:
            text = content[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            place = start + error.start
            line = content.count(b"\n", 0, place) + 1
            raise RegistryError(f"is not UTF-8: byte {content[place]:#04x}", file=path, line=line) from error
        control = _CONTROL.search(text)
        if control:
            line = content.count(b"\n", 0, start) + text.count("\n", 0, control.start()) + 1
            raise RegistryError(f"holds the control character U+{ord(control[0]):04X}", file=path, line=line)
        start = end


def parse_yaml(text: str | bytes, path: Path) -> Document:
    """Return the content of a YAML text that was read from `path`, as `read_yaml` does. Raises as `read_yaml`."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    check_text(content, path)
    builder = _Builder(path)
    for event in _events(content, path):
        builder.take(event)
    return builder.document()


class Stream:
    """A YAML file that is read in parts: one child after another of the mapping under the key `key` of the root.

    Args:
        content: the bytes of the file, which `read_text` checked.
        path: the file that they are from.
        key: the key in the root.

    Example:
        >>> stream = Stream(b"{version: 1, models: {a: [1], b: [2]}}", Path("registry.yaml"), "models")
        >>> [(part.key, part.document.content) for part in stream]
        [('a', ['1']), ('b', ['2'])]
        >>> stream.document.content
        {'version': '1', 'models': {'a': None, 'b': None}}
    """

    def __init__(self, content: bytes, path: Path, key: str) -> None:
        self._content, self._path = content, path
        self._builder = _Builder(path, key)

    @property
    def document(self) -> Document:
        """The whole, as far as it was read, with None in the place of every part."""
        return self._builder.document()

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts in the order of the file. Raises RegistryError as `read_yaml` does."""
        take, finished = self._builder.take, self._builder.finished
        for event in _events(self._content, self._path):
            take(event)
            if finished:
                yield finished.pop()


def _events(content: bytes, path: Path) -> Iterator[yaml.Event]:
    loader: Any = _Loader(content.removeprefix(codecs.BOM_UTF8))
    try:
        while (event := loader.get_event()) is not None:
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The end of what is not closed is missed after the last line. There is no field: the parser reads ahead of it.
        line = min(mark.line, content.count(b"\n")) + 1 if mark else None
        raise RegistryError(printable(error.problem), file=path, line=line) from error
    except yaml.YAMLError as error:
        raise RegistryError(f"is not YAML: {printable(error, 120)}", file=path) from error
    finally:
        loader.dispose()


class _Open:
    """A mapping or a list that is being read.

    Attributes:
        value: what was read of it.
        lines: the line of each of its keys or items.
        key: the key of a mapping whose value is next; None if a key is next.
    """

    __slots__ = ("key", "lines", "mapping", "value")

    def __init__(self, value: Any, lines: dict[str | int, int]) -> None:
        self.value, self.lines = value, lines
        self.key: str | None = None
        self.mapping = type(value) is dict

    def put(self, value: Any, line: int) -> None:
        if self.mapping:
            self.value[self.key] = value
        else:
            self.lines[len(self.value)] = line
            self.value.append(value)


class _Builder:
    """Builds the content from events, and refuses what no registry needs.

    Args:
        file: the file, for messages.
        streamed: a key of the root. The children of the mapping under it are handed out in `finished`, one by one, and
            are not kept.
    """

    def __init__(self, file: Path, streamed: str | None = None) -> None:
        self.file, self.streamed = file, streamed
        self.finished: list[Part] = []
        self._top = _Open([], {})  # around the root
        self._within: list[_Open] = [self._top]  # what is being read, from outside to inside
        self._kept: Lines = {}
        self._lines = self._kept  # the lines of a part are its own
        self._documents = self._values = 0
        self._limit, self._unit = MAX_VALUES, MAX_VALUES  # the values that there may be, in all and in one part
        self._parts: _Open | None = None  # the mapping that is streamed
        self._in_block = False  # whether it is a block
        self._key_mark: Any = None  # where the key of the current part is
        self._end = 0  # position after the last scalar or bracket; a block itself ends where something else begins
        self._taking: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._take_scalar,
            yaml.MappingStartEvent: self._take_start,
            yaml.SequenceStartEvent: self._take_start,
            yaml.MappingEndEvent: self._take_end,
            yaml.SequenceEndEvent: self._take_end,
            yaml.DocumentStartEvent: self._take_document,
            yaml.AliasEvent: self._take_alias,
        }

    def document(self) -> Document:
        root = next(iter(self._top.value), None)
        return Document(self.file, root, self._kept, self._top.lines.get(0, 1))

    def take(self, event: yaml.Event) -> None:
        taking = self._taking.get(type(event))
        if taking is not None:
            taking(event)

    def _take_document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise RegistryError("holds more than one document", file=self.file, line=_line(event))

    def _take_alias(self, event: yaml.AliasEvent) -> None:
        raise self._refusal("aliases are not allowed", event)

    def _take_scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            raise self._refusal_of_properties(event)
        self._end = event.end_mark.index
        around = self._within[-1]
        if around.mapping and around.key is None:
            self._take_key(around, event)
            return
        value = event.value
        if value in _NULLS and event.implicit[0]:
            value = None
        self._count(event)
        around.put(value, event.start_mark.line + 1)
        around.key = None
        if around is self._parts:
            self._finish_part()

    def _take_key(self, around: _Open, event: Any) -> None:
        around.key = key = event.value
        if key in around.value:
            raise self._refusal(f"the key {printable(key, 80)!r} is repeated", event)
        if around is self._parts:
            self._key_mark, self._lines = event.start_mark, {}
            self._limit = min(self._values + self._unit, MAX_STREAMED_VALUES)
        else:
            around.lines[key] = event.start_mark.line + 1

    def _take_start(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            raise self._refusal_of_properties(event)
        around = self._within[-1]
        if around.mapping and around.key is None:
            raise self._refusal("a key must be a plain word", event)
        if len(self._within) > MAX_DEPTH:
            raise self._refusal(f"is nested more than {MAX_DEPTH} deep", event)
        self._count(event)
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        around.put(value, event.start_mark.line + 1)
        lines = self._lines[id(value)] = {}
        inner = _Open(value, lines)
        if len(self._within) == 2 and self.streamed is not None and inner.mapping and around.key == self.streamed:
            self._parts, self._in_block = inner, not event.flow_style
        self._within.append(inner)

    def _take_end(self, event: Any) -> None:
        if self._within.pop() is self._parts:
            self._parts, self._lines = None, self._kept
        if event.end_mark.index > event.start_mark.index:
            self._end = event.end_mark.index
        around = self._within[-1]
        around.key = None
        if around is self._parts:
            self._finish_part()

    def _count(self, event: yaml.Event) -> None:
        self._values += 1
        if self._values > self._limit:
            most = MAX_STREAMED_VALUES if self._limit == MAX_STREAMED_VALUES else self._unit
            raise self._refusal(f"holds more than {most:,} values", event)

    def _finish_part(self) -> None:
        assert self._parts is not None
        key = next(reversed(self._parts.value))
        mark, content = self._key_mark, self._parts.value[key]
        self._parts.value[key] = None
        part = Document(self.file, content, self._lines, mark.line + 1, (str(self.streamed), key))
        self.finished.append(Part(key, part, mark.index, self._end, mark.column, self._in_block))

    def _refusal_of_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> RegistryError:
        if event.anchor is not None:
            return self._refusal("anchors are not allowed", event)
        return self._refusal(f"tags are not allowed: {printable(event.tag, 60)}", event)

    def _refusal(self, problem: str, event: yaml.Event) -> RegistryError:
        *outer, inner = self._within
        keys = [each.key if each.mapping else len(each.value) - 1 for each in outer[1:]]
        if inner is not self._top:
            keys.append(inner.key if inner.mapping else len(inner.value))
        field = ".".join(str(key) for key in keys if key is not None) or None
        return RegistryError(problem, file=self.file, line=_line(event), field=field)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
