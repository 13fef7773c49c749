"""CompiledShelf: the entries of a large registry file, looked up in its index one by one, in little memory.

The index is never trusted more than the file: one that is damaged, or of another content or version, is compiled again,
and every entry is decoded as strictly as from the file. A model that is looked up by name, to be loaded or pulled, is
compared with what the file itself says of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from zoo_core.errors import RegistryError
from zoo_core.interfaces.names import canonical_name
from zoo_core.registries import compiling, reading
from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.query import Query
from zoo_core.registries.shelves import ends_of

if TYPE_CHECKING:
    import sqlite3

_NEIGHBOURS = 50
_AT_ONCE = 256
_Answer = TypeVar("_Answer")


class Index:
    """The index of a registry file, open for reading, in this process and those that are forked from it.

    Args:
        path: the registry file.

    Attributes:
        path: as given.
        models: the number of models.
        has_words: whether it has full-text search.

    Raises:
        RegistryError: if the file cannot be read or is not a valid registry.
        OutputError: if its index cannot be written anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.RLock()
        self._open()
        self.path = path.absolute()

    def ask(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """Return the rows of an answer. Raises as `answer`."""
        return self.answer(lambda connection: connection.execute(statement, tuple(values)).fetchall())

    def answer(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Return what a question gives for the connection. An index that is damaged is compiled again, once.

        Raises:
            RegistryError: if the registry file was changed meanwhile, so that nothing has its content any more.
        """
        import sqlite3

        with self._guard:
            if self._process != os.getpid():  # after a fork
                self._connect()
            try:
                return question(self._connections[-1])
            except (sqlite3.DatabaseError, ValueError):
                self._replace()
                return question(self._connections[-1])

    def confirm(self, entry: ModelEntry, start: int, size: int, column: int | None) -> None:
        """Check that the registry file, at a place, says the same of a model as the index.

        Where the file was changed since, the index stays what the file was.

        Raises:
            ValueError: if it does not; `answer` has the index compiled again then.
        """
        if reading.read_again(self.path, start, size, column) != entry and compiling.has_digest(
            self.path, self._digest
        ):
            raise ValueError("the index does not say what the file says")

    def _replace(self) -> None:
        digest = self._digest
        self._discard()
        self._open()
        if self._digest != digest:
            raise RegistryError("was changed while it was read; try again", file=self.path)

    @property
    def address(self) -> str:
        """The index as SQLite opens it: for reading, and without locks, for no index is ever changed."""
        return f"{self._file.as_uri()}?mode=ro&immutable=1"

    def _open(self) -> None:
        """Open the index; one that is not what it should be is compiled again, once."""
        import sqlite3

        for _ in range(2):
            opening = contextlib.ExitStack()
            self._connections: list[sqlite3.Connection] = []
            weakref.finalize(self, _close, self._connections, opening)
            self._file = opening.enter_context(compiling.index_of(self.path)).absolute()
            self._digest = self._file.stem
            with contextlib.suppress(sqlite3.DatabaseError, ValueError):
                self._connect()
                facts = compiling.facts_of(self._connections[-1], self._digest)
                self.models, self.has_words = facts.models, facts.has_words
                return
            self._discard()
        raise RegistryError("its index cannot be read, though it was just compiled", file=self.path)

    def _connect(self) -> None:
        import sqlite3

        self._process = os.getpid()
        self._connections.append(sqlite3.connect(self.address, uri=True, check_same_thread=False))

    def _discard(self) -> None:
        for connection in self._connections:
            connection.close()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)


def _close(connections: list[sqlite3.Connection], opening: contextlib.ExitStack) -> None:
    for connection in connections:
        connection.close()
    opening.close()


class CompiledShelf:
    """The entries of a registry file by its index, without those whose name an earlier registry has.

    Args:
        index: the index.
        hidden: names of models that are left out.
        lost: for some models, the aliases that belong to another one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "registry.yaml"
        ...     _ = file.write_text("version: 1\\nmodels:\\n  ring: {architecture: ring, aliases: [circle]}")
        ...     CompiledShelf(Index(file)).get("circle").name
        'ring'
    """

    def __init__(
        self, index: Index, hidden: frozenset[str] = frozenset(), lost: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self.index, self._hidden, self._lost = index, hidden, lost or {}

    def __len__(self) -> int:
        return self.index.models - len(self._hidden)

    def without(self, hidden: Iterable[str], lost: Mapping[str, Iterable[str]]) -> CompiledShelf:
        """Return a shelf of the same index that leaves out models by name, and aliases by the name of their model."""
        return CompiledShelf(
            self.index, frozenset(hidden), {name: frozenset(aliases) for name, aliases in lost.items()}
        )

    def get(self, name: str) -> ModelEntry | None:
        statement = "SELECT entry, start, size, column FROM models JOIN names ON model = id WHERE names.name = ?"

        def entries(connection: sqlite3.Connection) -> list[ModelEntry]:
            found = []
            for stored, *place in connection.execute(statement, (_text(name),)):
                found.append(compiling.decode_entry(stored))
                self.index.confirm(found[-1], *place)
            return found

        found = self._left(self.index.answer(entries))
        return next((entry for entry in found if name in (entry.name, *entry.aliases)), None)

    def has(self, name: str) -> bool:
        return self.model_of(name) is not None

    def model_of(self, name: str) -> str | None:
        """Return the name of the model that has that name or alias; None if none has it."""
        rows = self.index.ask(
            "SELECT models.name FROM models JOIN names ON model = id WHERE names.name = ?", (_text(name),)
        )
        if not rows or rows[0][0] in self._hidden or name in self._lost.get(rows[0][0], ()):
            return None
        model: str = rows[0][0]
        return model

    def names(self) -> Iterator[str]:
        last = ""
        while rows := self.index.ask(
            "SELECT name FROM models WHERE name > ? ORDER BY name LIMIT ?", (last, 16 * _AT_ONCE)
        ):
            yield from (name for (name,) in rows if name not in self._hidden)
            last = rows[-1][0]

    def select(self, query: Query) -> Iterator[ModelEntry]:
        conditions, values = self._conditions(query)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self.index.ask(f"SELECT id FROM models{where} ORDER BY name", values)
        numbers = array("q", [number for (number,) in rows])
        del rows
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            statement = f"SELECT entry FROM models WHERE id IN ({marks}) ORDER BY name"
            yield from filter(query.matches, self._decoded(statement, some))

    def close_to(self, name: str) -> Iterable[str]:
        """Return the names beside `name` in alphabetical order, and in that of the names spelled backwards."""
        text = _text(name.lower())
        found: list[str] = []
        for table, spelled in (("names", text), ("backwards", text[::-1])):
            for order, comparison in (("ASC", ">="), ("DESC", "<")):
                statement = f"SELECT name FROM {table} WHERE name {comparison} ? ORDER BY name {order} LIMIT ?"
                rows = self.index.ask(statement, (spelled, _NEIGHBOURS))
                found += [each if table == "names" else each[::-1] for (each,) in rows]
        return [each for each in dict.fromkeys(found) if self.has(each)]

    def beginning_with(self, prefix: str, limit: int) -> list[str]:
        values = (*_range(_text(prefix)), limit)
        found: set[str] = set()
        for order in ("ASC", "DESC"):
            statement = f"SELECT name FROM names WHERE name >= ? AND name < ? ORDER BY name {order} LIMIT ?"
            found.update(name for (name,) in self.index.ask(statement, values))
        return ends_of(sorted(name for name in found if self.has(name)), limit)

    def shared_with(self, other: CompiledShelf) -> list[str]:
        """Return the names and aliases of this index that `other` has too."""

        def names(connection: sqlite3.Connection) -> list[str]:
            connection.execute("ATTACH ? AS other", (other.index.address,))
            try:
                rows = connection.execute("SELECT name FROM main.names JOIN other.names USING (name)").fetchall()
            finally:
                connection.execute("DETACH other")
            return [name for (name,) in rows]

        return [name for name in self.index.answer(names) if other.has(name)]

    def _decoded(self, statement: str, values: Iterable[Any]) -> list[ModelEntry]:
        """Return the entries that a statement gives, without what is left out, each with its source."""

        def entries(connection: sqlite3.Connection) -> list[ModelEntry]:
            rows = connection.execute(statement, tuple(values)).fetchall()
            return [compiling.decode_entry(stored) for (stored,) in rows]

        return self._left(self.index.answer(entries))

    def _left(self, entries: Iterable[ModelEntry]) -> list[ModelEntry]:
        """Return the entries without what is left out, each with its source."""
        found = [entry for entry in entries if entry.name not in self._hidden]
        for entry in found:
            msgspec.structs.force_setattr(entry, "source", self.index.path)
        return [self._without_lost(entry) for entry in found] if self._lost else found

    def _without_lost(self, entry: ModelEntry) -> ModelEntry:
        lost = self._lost.get(entry.name)
        if not lost:
            return entry
        return msgspec.structs.replace(entry, aliases=tuple(alias for alias in entry.aliases if alias not in lost))

    def _conditions(self, query: Query) -> tuple[list[str], list[Any]]:
        """Return conditions of SQL that every entry meets which the query asks for, and some others may meet too."""
        conditions, values = _conditions_on_names(query.pattern)
        fields = {
            "architecture": query.architecture and canonical_name(query.architecture),
            "plugin": None if query.plugin is None else canonical_name(query.plugin),
            "dataset": query.dataset,
            "license": query.license,
        }
        for column, value in fields.items():
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(_text(value))
        if query.tag is not None:
            conditions.append("id IN (SELECT model FROM tags WHERE tag = ?)")
            values.append(_text(query.tag))
        if query.bundled:
            conditions.append("bundled")
        self._add_texts([*query.words, *_literals_of(query.pattern)], conditions, values)
        return conditions, values

    def _add_texts(self, texts: Iterable[str], conditions: list[str], values: list[Any]) -> None:
        """Add the condition that the searched text holds all of these, by groups of three characters where possible."""
        known = [_text(text) for text in texts if "\0" not in text]  # which SQLite may take for the end of a text
        long = [text for text in known if len(text) >= 3 and self.index.has_words]
        if long:
            conditions.append("id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(" AND ".join('"{}"'.format(text.replace('"', '""')) for text in long))
        for text in known:
            if text not in long:
                conditions.append("instr(text, ?)")
                values.append(text)


def _conditions_on_names(pattern: str) -> tuple[list[str], list[Any]]:
    wildcards = _with_plain_wildcards(pattern)
    if not wildcards.strip("*"):
        return [], []
    prefix = wildcards.replace("?", "*").partition("*")[0]
    condition = "id IN (SELECT model FROM names WHERE name >= ? AND name < ? AND name GLOB ?)"
    return [condition], [*_range(_text(prefix)), _text(wildcards)]


def _literals_of(pattern: str) -> list[str]:
    """Return the longest text that a glob without a literal beginning asks for, if it is long enough to be looked up.

    Example:
        >>> _literals_of("*-mnist*"), _literals_of("vae-mnist*"), _literals_of("*a*")
        (['-mnist'], [], [])
    """
    first, *others = _with_plain_wildcards(pattern).replace("?", "*").split("*")
    longest = max(others, key=len, default="")
    return [longest] if not first and len(longest) >= 3 else []


def _with_plain_wildcards(pattern: str) -> str:
    """Return a glob of `*` and `?` that matches at least what `pattern` does: `?` for every set of characters.

    Example:
        >>> _with_plain_wildcards("vae-[!a-c]*")
        'vae-?*'
    """
    pieces, at = [], 0
    while at < len(pattern):
        closing = pattern.find("]", at + 3 if pattern[at + 1 : at + 2] == "!" else at + 2)
        if pattern[at] == "[" and closing >= 0:
            pieces.append("?")
            at = closing
        else:
            pieces.append("?" if pattern[at] == "[" else pattern[at])
        at += 1
    return "".join(pieces)


def _range(prefix: str) -> tuple[str, str]:
    """Return the bounds, the first included and the second not, of the texts that begin with `prefix`."""
    return prefix, prefix + "\U0010ffff"


def _text(value: str) -> str:
    """Return the text without what SQLite cannot store, for which nothing in an index stands."""
    return value.encode("utf-8", "replace").decode("utf-8")
