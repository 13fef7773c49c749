"""Reading a registry file: its entries one after another, each checked, in the memory of its bytes and its names.

A YAML file and a JSON file are read by the same rules. In JSON a number is a number; in YAML, whose own rules for that
are not followed, a string of digits is one where the field takes numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import RegistryError, printable, unseen
from zoo_core.files.paths import stays_inside
from zoo_core.files.strict_yaml import Document, Part, Stream, check_text
from zoo_core.registries.entries import FIELDS, MODEL_NAME, ModelEntry

if TYPE_CHECKING:
    from zoo_core.files.json_stream import JSONStream

Progress = Callable[[Path, int], AbstractContextManager[Callable[[int], None]]]

SHOWN_FROM = 2**20  # bytes: reading a megabyte takes a fifth of a second
MAX_NAMES = 500_000  # of models, with their aliases: they are kept in memory while a file is checked
_progress: list[Progress] = []
_NOT_IN_FILE = [name for name, rule in FIELDS.items() if not rule.in_file]
_same_folder = functools.lru_cache(maxsize=1024)(stays_inside)  # a thousand models have files of the same names


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """An entry, and where it is in its file, in characters, without counting a byte order mark.

    Attributes:
        entry: the entry, without `source`.
        start: position of the key.
        end: position after the last character of the value.
        column: characters before the key in its line.
        in_block: whether the models are written one below another, without braces around them.
    """

    entry: ModelEntry
    start: int
    end: int
    column: int
    in_block: bool


@dataclass
class _Names:
    """The names that were read, and who has which alias, at which position among its aliases."""

    models: set[str] = field(default_factory=set)
    aliases: dict[str, tuple[str, int]] = field(default_factory=dict)


def show_progress_with(progress: Progress) -> None:
    """Show the progress of reading large registries: for a command, which has the terminal to itself.

    Args:
        progress: called with the registry file and its size in bytes; its context is entered while the file is read,
            and what that gives is called with the position that was reached, in characters.

    Example:
        >>> show_progress_with(lambda path, size: contextlib.nullcontext(print))  # doctest: +SKIP
    """
    _progress[:] = [progress]


def is_json(path: Path) -> bool:
    """Return whether a registry file is read as JSON: by the end of its name.

    Example:
        >>> is_json(Path("registry.json")), is_json(Path("registry.yaml"))
        (True, False)
    """
    return path.suffix.lower() == ".json"


def read_entries(content: bytes, path: Path) -> Iterator[ReadEntry]:
    """Read the entries of a registry in the order of the file. Those before a mistake are yielded.

    Args:
        content: the bytes of the file.
        path: the file that they are from, for messages; its suffix says whether it is JSON or YAML.

    Raises:
        RegistryError: if the file is not a valid registry; names file, line and field.

    Example:
        >>> found = read_entries(b"version: 1\\nmodels:\\n  ring: {architecture: ring}", Path("registry.yaml"))
        >>> [read.entry.name for read in found]
        ['ring']
    """
    if _progress and len(content) >= SHOWN_FROM:
        with _progress[0](path, len(content)) as advance:
            for count, read in enumerate(_entries(content, path)):
                if count % 100 == 0:
                    advance(read.end)
                yield read
    else:
        yield from _entries(content, path)


def _entries(content: bytes, path: Path) -> Iterator[ReadEntry]:
    check_text(content, path)
    names = _Names()
    stream = _stream(content, path)
    parts = iter(stream)
    for part in parts:
        if len(names.models) + len(names.aliases) >= MAX_NAMES:
            raise part.document.error(f"the registry has more than {MAX_NAMES:,} names and aliases")
        try:
            entry = _entry(part)
            taken = _claim(entry, names)
            if taken is not None:
                raise _taken_name(content, path, part, *taken)
        except RegistryError:
            for _ in parts:  # what is wrong with the file as a whole is reported first, wherever it is
                pass
            _check_root(stream.document)
            raise
        yield ReadEntry(entry, part.start, part.end, part.column, part.in_block)
    _check_root(stream.document)


def read_again(path: Path, start: int, size: int, column: int | None) -> ModelEntry | None:
    """Read one entry of a registry file whose place is known; None if there is no entry.

    Args:
        path: the file.
        start: position of its key, in bytes.
        size: bytes to the end of its value.
        column: characters before the key in its line; None if the models are in braces.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read(size)
        if is_json(path):
            whole = b'{"version": 1, "models": {' + text + b"}}"
        elif column is None:
            whole = b"version: 1\nmodels: {" + text + b"}"
        else:
            whole = b"version: 1\nmodels:\n" + b" " * column + text + b"\n"
        (read,) = read_entries(whole, path)
    except (OSError, ValueError, RegistryError):
        return None
    return read.entry


def check(content: bytes, path: Path) -> int:
    """Check that the content of `path` is a valid registry, and return the number of its models.

    Raises:
        RegistryError: if it is not; names file, line and field.

    Example:
        >>> check(b"version: 1\\nmodels: {}", Path("registry.yaml"))
        0
    """
    return sum(1 for _ in read_entries(content, path))


def _stream(content: bytes, path: Path) -> Stream | JSONStream:
    if not is_json(path):
        return Stream(content, path, "models")
    from zoo_core.files.json_stream import JSONStream  # few people have such a registry

    return JSONStream(content, path, "models")


def _check_root(document: Document) -> None:
    """Check what is outside the models."""
    content = document.content
    if not isinstance(content, dict):
        raise document.error("a registry is a mapping with `version` and `models`")
    for key in content:
        if key not in ("version", "models"):
            raise document.error("unknown field; a registry has `version` and `models`", (key,))
    version, expected = content.get("version"), 1 if document.typed else "1"
    if version != expected or type(version) is not type(expected):
        raise document.error("must be 1, the version of the format", ("version",))
    if not isinstance(content.get("models"), dict | None):
        raise document.error("must be a mapping of names to models", ("models",))


def _entry(part: Part) -> ModelEntry:
    name, document = part.key, part.document
    if not MODEL_NAME.fullmatch(name):
        raise document.error(f"the name is not of the form {MODEL_NAME.pattern}")
    fields = document.content
    if not isinstance(fields, dict):
        raise document.error("must be a mapping of fields")
    for unwritten in _NOT_IN_FILE:
        if unwritten in fields:
            raise document.error(f"Object contains unknown field `{unwritten}`", (unwritten,))
    fields["name"] = name
    entry = document.convert(ModelEntry)
    _check_paths(document, entry)
    return entry


def _check_paths(document: Document, entry: ModelEntry) -> None:
    for file in entry.files:
        if not _same_folder(file):
            raise document.error("the file name leaves the model's folder", ("files", file))
    if entry.bundled is not None and not stays_inside(entry.bundled):
        raise document.error("the path leaves the registry's own folder", ("bundled",))
    for position, name in enumerate(entry.class_names):
        if (char := unseen(name)) is not None:
            problem = f"the class {printable(name, 80)!r} has {char} in its name, which shows nothing"
            raise document.error(problem, ("class_names", position))
    configuration = entry.training.configuration if entry.training else None
    if configuration is not None and not _same_folder(configuration):
        raise document.error("the file name leaves the model's folder", ("training", "configuration"))


def _claim(entry: ModelEntry, names: _Names) -> tuple[str, int, str] | None:
    """Record the names of an entry; return model, position and name of an alias that is another's name, if any is."""
    names.models.add(entry.name)
    if entry.name in names.aliases:
        return (*names.aliases[entry.name], entry.name)
    for position, alias in enumerate(entry.aliases):
        if alias in names.models or alias in names.aliases:
            return entry.name, position, alias
        names.aliases[alias] = (entry.name, position)
    return None


def _taken_name(content: bytes, path: Path, part: Part, owner: str, position: int, name: str) -> RegistryError:
    """Return the error about an alias of the model `owner`, which may have been read long before `part`."""
    if part.key != owner:
        part = next(each for each in _stream(content, path) if each.key == owner)
    return part.document.error(f"{name} is already the name of a model", ("aliases", position))
