"""Compiling: a large registry file becomes an index in the user's cache, once for each content.

An index is an SQLite file named after the sha256 of the registry file. It holds every entry as it was validated, and
what look-ups need: names in both directions, fields, and the searched text by groups of three characters. It is written
under a temporary name and renamed, never changed afterwards, and deleted when no registry file has that content any
more. If the cache cannot be written, or others could write into it, the index lives among the temporary files until the
process ends.

An index also says where in the file each entry is: a model that is looked up by name is read there again.

The functions import sqlite3 themselves: most people have no registry that needs it.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import logging
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core._version import __version__
from zoo_core.errors import OutputError, RegistryError, printable
from zoo_core.files import verified_digests
from zoo_core.files.atomic import temporary_sibling
from zoo_core.files.digests import file_sha256
from zoo_core.files.folders import CACHE_VARIABLE, cache_folder
from zoo_core.files.locks import locked
from zoo_core.files.strict_yaml import read_text
from zoo_core.interfaces.names import canonical_name
from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.query import searched_text
from zoo_core.registries.reading import ReadEntry, read_entries

if TYPE_CHECKING:
    import sqlite3

FORMAT = 1  # of the tables below
_ABANDONED = 3600.0  # seconds after which an unfinished index counts as abandoned
_BATCH = 500
_CACHE = 16 * 1024  # KB of pages in memory while an index is written
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT, architecture TEXT, plugin TEXT, dataset TEXT, license TEXT,
    bundled INTEGER, text TEXT, start INTEGER, size INTEGER, column INTEGER, entry BLOB);
CREATE TABLE names (name TEXT PRIMARY KEY, model INTEGER) WITHOUT ROWID;
CREATE TABLE tags (tag TEXT, model INTEGER, PRIMARY KEY (tag, model)) WITHOUT ROWID;
"""
_TEXT_COLUMN = 7
_INDEXES = """
CREATE UNIQUE INDEX models_by_name ON models (name);
CREATE INDEX models_by_architecture ON models (architecture);
CREATE INDEX models_by_plugin ON models (plugin);
CREATE INDEX models_by_dataset ON models (dataset);
CREATE INDEX models_by_license ON models (license);
CREATE INDEX bundled_models ON models (bundled) WHERE bundled;
CREATE TABLE backwards (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_FULL_TEXT = (
    "CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, tokenize='trigram case_sensitive 1')"
)

_log = logging.getLogger("zoo_core")


@contextmanager
def index_of(path: Path) -> Iterator[Path]:
    """Return the index of a registry file; compile it if there is none of this content.

    The context is left when the index is not needed any more: one that is not kept in the cache is deleted then.

    Raises:
        RegistryError: if the file cannot be read or is not a valid registry.
        OutputError: if the index can be written neither to the cache nor among the temporary files.
    """
    folder = _own_folder()
    if folder is not None:
        place = _kept(path, folder)
        if place is not None:
            yield place
            return
    _log.warning(
        "the index of %s cannot be kept: set %s to a folder that only you can write to", printable(path), CACHE_VARIABLE
    )
    with ExitStack() as opened:
        try:
            temporary = tempfile.TemporaryDirectory(prefix="zoo-registry-", ignore_cleanup_errors=True)
            place = _compile(path, Path(opened.enter_context(temporary)))
        except OSError as error:
            raise OutputError.unwritable(tempfile.gettempdir(), error) from error
        yield place


@dataclass(frozen=True)
class IndexFacts:
    """The number of models in an index, and whether it has full-text search."""

    models: int
    has_words: bool


def facts_of(connection: sqlite3.Connection, digest: str) -> IndexFacts:
    """Return what an index says of itself.

    Raises:
        ValueError: if it was not completely written by this version of the core, for a file of that sha256.
        sqlite3.DatabaseError: if it is no index at all.
    """
    facts = dict(connection.execute("SELECT name, value FROM facts"))
    if facts.get("made by") != _maker() or facts.get("sha256") != digest:
        raise ValueError("the index is not of this file and version")
    has_words = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'words'").fetchone()[0]
    return IndexFacts(int(facts["models"]), bool(has_words))


def has_digest(path: Path, digest: str) -> bool:
    """Return whether the content of a file has that sha256; false if it cannot be read."""
    with contextlib.suppress(OSError):
        return file_sha256(path) == digest
    return False


def decode_entry(stored: bytes) -> ModelEntry:
    """Decode an entry of an index, strictly.

    Raises:
        ValueError: if it is damaged.
    """
    if zlib.crc32(stored[4:]).to_bytes(4, "big") != stored[:4]:
        raise ValueError("the checksum of an entry is wrong")
    return _DECODER.decode(stored[4:])


_DECODER = msgspec.json.Decoder(ModelEntry)


def _maker() -> str:
    return f"zoo-core {__version__}, format {FORMAT}"


def _kept(path: Path, folder: Path) -> Path | None:
    """Return the index of a file in the cache, compiled if need be; None if the cache cannot be written."""
    try:
        place = _place(path, folder)
        if is_own(place):
            return place
        with locked(folder / "lock", f"it compiles {printable(path)}"):
            place = _place(path, folder)  # the other process may have compiled this very file
            return place if is_own(place) else _compile(path, folder)
    except OSError:
        return None


def _place(path: Path, folder: Path) -> Path:
    """Return where the index of a file is, or would be. Raises RegistryError if the file cannot be read."""
    try:
        return folder / f"{verified_digests.sha256_of(path.resolve(), folder)}.sqlite"
    except OSError as error:
        raise RegistryError(f"cannot be read: {error.strerror or error}", file=path) from error


def _own_folder() -> Path | None:
    """Return the folder of the indexes; None if it cannot be made, or if others than the user can write into it."""
    folder = cache_folder() / "registries"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        return None
    return folder if is_own(folder) else None


def is_own(path: Path) -> bool:
    """Return whether a file or folder is there, is no link, and is the user's, who alone may write into it."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(facts.st_mode):
        return False
    return os.name == "nt" or (facts.st_uid == os.geteuid() and not facts.st_mode & 0o022)


def _compile(path: Path, folder: Path) -> Path:
    """Write the index of a file into a folder, and return its path. Raises RegistryError, OSError."""
    import sqlite3

    content = read_text(path)
    digest = hashlib.sha256(content).hexdigest()
    place = folder / f"{digest}.sqlite"
    temporary = temporary_sibling(place)
    try:
        temporary.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(temporary)) as connection:
            _fill(connection, path, content, digest)
        temporary.replace(place)
    except sqlite3.Error as error:  # a full disk, for example
        raise OSError(None, str(error), str(temporary)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sweep(folder, place)
    return place


def _fill(connection: sqlite3.Connection, path: Path, content: bytes, digest: str) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # a file that is not finished is thrown away
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    connection.executescript(_TABLES)
    searchable = _make_full_text(connection)
    count = 0
    positions = _BytePositions(content)
    for batch in _batches(read_entries(content, path)):
        _insert(connection, count, batch, positions, searchable)
        count += len(batch)
    connection.executescript(_INDEXES)
    backwards = ((name[::-1],) for (name,) in connection.execute("SELECT name FROM names").fetchall())
    connection.executemany("INSERT INTO backwards VALUES (?)", sorted(backwards))
    facts = {"made by": _maker(), "sha256": digest, "models": str(count)}
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    connection.commit()


def _make_full_text(connection: sqlite3.Connection) -> bool:
    """Create the table for full-text search; return whether this SQLite has it."""
    import sqlite3

    try:
        connection.execute(_FULL_TEXT)
    except sqlite3.OperationalError:  # without it, the text of every entry is looked through
        return False
    return True


def _batches(entries: Iterator[ReadEntry]) -> Iterator[list[ReadEntry]]:
    batch: list[ReadEntry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _BytePositions:
    """Where in the bytes of a file its characters are, asked for in the order of the file."""

    def __init__(self, content: bytes) -> None:
        self._content, self._ascii = content, content.isascii()
        self._character, self._byte = 0, len(content) - len(content.removeprefix(codecs.BOM_UTF8))

    def of(self, character: int) -> int:
        """Return the position in bytes of a character, which is not before the one asked for last."""
        count = character - self._character
        if self._ascii:
            return character
        ahead = self._content[self._byte : self._byte + 4 * count].decode("utf-8", "ignore")[:count]
        self._character, self._byte = character, self._byte + len(ahead.encode())
        return self._byte


def _insert(
    connection: sqlite3.Connection,
    before: int,
    batch: list[ReadEntry],
    positions: _BytePositions,
    searchable: bool,
) -> None:
    """Insert entries, numbered from `before`."""
    numbered = [(number, read.entry) for number, read in enumerate(batch, before)]
    rows = [_row(number, read, positions) for number, read in enumerate(batch, before)]
    connection.executemany(f"INSERT INTO models VALUES ({', '.join('?' * len(rows[0]))})", rows)
    names = [(name, number) for number, entry in numbered for name in (entry.name, *entry.aliases)]
    connection.executemany("INSERT INTO names VALUES (?, ?)", names)
    tags = {(tag, number) for number, entry in numbered for tag in entry.tags}
    connection.executemany("INSERT INTO tags VALUES (?, ?)", tags)
    if searchable:
        texts = [(row[0], row[_TEXT_COLUMN]) for row in rows]
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", texts)


def _row(number: int, read: ReadEntry, positions: _BytePositions) -> tuple[Any, ...]:
    entry = read.entry
    architecture = canonical_name(entry.architecture)
    plugin = canonical_name(entry.plugin or "")
    stored = msgspec.json.encode(entry)
    checked = zlib.crc32(stored).to_bytes(4, "big") + stored
    bundled = entry.bundled is not None
    fields = architecture, plugin, entry.dataset, entry.license, bundled, searched_text(entry)
    start = positions.of(read.start)
    place = start, positions.of(read.end) - start, read.column if read.in_block else None
    return number, entry.name, *fields, *place, checked


def _sweep(folder: Path, current: Path) -> None:
    """Delete the indexes that no registry file needs any more, and what an interrupted process left."""
    verified_digests.sweep(folder)
    needed = verified_digests.recorded(folder) | {current.stem}
    with contextlib.suppress(OSError):
        for place in folder.iterdir():
            abandoned = place.suffix == ".tmp" and place.stat().st_mtime < current.stat().st_mtime - _ABANDONED
            if abandoned or (place.suffix == ".sqlite" and place.stem not in needed):
                place.unlink(missing_ok=True)
