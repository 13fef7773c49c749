"""Registry: a mapping of names to models, read from a registry.yaml. Imports no torch."""

from __future__ import annotations

import difflib
import heapq
import stat
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from zoo_core.errors import UnknownModelError
from zoo_core.files.paths import user_path
from zoo_core.files.strict_yaml import MAX_BYTES, read_text
from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.query import Query
from zoo_core.registries.reading import read_entries
from zoo_core.registries.shelves import MemoryShelf, Shelf

if TYPE_CHECKING:
    from zoo_core.registries.compiled import CompiledShelf

INDEXED_FROM = 128 * 1024  # bytes, some 250 models: a smaller file is read as quickly as its index


class Registry(Mapping[str, ModelEntry]):
    """A mapping of names to models. Look-ups take aliases too; iteration yields names only, in alphabetical order.

    Args:
        entries: the models.
        problems: what was left out when registries were merged, one line each.

    Attributes:
        problems: as given.

    Raises:
        UnknownModelError: by a look-up of a name that is not in it; suggests close names.

    Example:
        >>> ring = ModelEntry(name="ring", architecture="ring", aliases=("circle",), tags=("points",))
        >>> models = Registry([ring, ModelEntry(name="digits", architecture="vae", dataset="mnist")])
        >>> list(models), models["circle"].name
        (['digits', 'ring'], 'ring')
        >>> models["rng"]
        Traceback (most recent call last):
        zoo_core.errors.UnknownModelError: there is no model named 'rng'; did you mean ring?
    """

    def __init__(self, entries: Iterable[ModelEntry], problems: Iterable[str] = ()) -> None:
        self._shelves: tuple[Shelf, ...] = (MemoryShelf(entries),)
        self.problems = tuple(problems)

    @classmethod
    def from_shelves(cls, shelves: Iterable[Shelf], problems: Iterable[str] = ()) -> Self:
        """Return a registry of the models on several shelves; a name belongs to the first one that has it.

        Example:
            >>> ring = ModelEntry(name="ring", architecture="ring")
            >>> list(Registry.from_shelves([MemoryShelf([ring]), MemoryShelf([])]))
            ['ring']
        """
        registry = cls((), problems)
        registry._shelves = tuple(shelves)
        return registry

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a registry file: YAML, or JSON if its name ends in `.json`.

        A large one is compiled into an index in the user's cache, from which its models are read when they are needed.

        Raises:
            RegistryError: if it cannot be read or is not a valid registry; names file, line and field.
            OutputError: if an index is needed and can be written nowhere.
            ZooError: for what is no path.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     file = Path(folder) / "registry.yaml"
            ...     _ = file.write_text("version: 1\\nmodels:\\n  ring: {architecture: ring}")
            ...     list(Registry.from_file(file))
            ['ring']
        """
        return cls.from_shelves([read_shelf(user_path(path))])

    def __getitem__(self, name: str) -> ModelEntry:
        entry = self._get(name)
        if entry is None:
            known = dict.fromkeys(close for shelf in self._shelves for close in shelf.close_to(str(name)))
            raise UnknownModelError(str(name), difflib.get_close_matches(str(name).lower(), known, 3, 0.55))
        return entry

    def get(self, name: str, default: Any = None) -> Any:
        """Return the model of that name or alias, or the default if there is none.

        Example:
            >>> print(models.get("square"))
            None
        """
        entry = self._get(name)
        return default if entry is None else entry

    def _get(self, name: object) -> ModelEntry | None:
        if not isinstance(name, str):
            return None
        return next((entry for shelf in self._shelves if (entry := shelf.get(name)) is not None), None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(shelf.has(name) for shelf in self._shelves)

    def __iter__(self) -> Iterator[str]:
        return heapq.merge(*(shelf.names() for shelf in self._shelves))

    def __len__(self) -> int:
        return sum(map(len, self._shelves))

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} models>"

    def values(self) -> ValuesView[ModelEntry]:
        """Return a view of the models, which are read one after another.

        Example:
            >>> [entry.architecture for entry in models.values()]
            ['vae', 'ring']
        """
        return _Models(self)

    def items(self) -> ItemsView[str, ModelEntry]:
        """Return a view of the names and models, which are read one after another.

        Example:
            >>> {name: entry.architecture for name, entry in models.items()}
            {'digits': 'vae', 'ring': 'ring'}
        """
        return _NamedModels(self)

    def beginning_with(self, prefix: str, limit: int = 1000) -> list[str]:
        """Return the names and aliases that begin with a prefix, in alphabetical order.

        Of more than about `limit` of them, only the first and the last ones are returned: what all of them begin with
        is what these begin with, and a shell completes no further than that.

        Example:
            >>> models.beginning_with("c")
            ['circle']
        """
        return sorted({name for shelf in self._shelves for name in shelf.beginning_with(prefix, limit)})

    def select(self, query: Query) -> Iterator[ModelEntry]:
        """Yield the models that a query asks for, in alphabetical order, as they are read.

        Example:
            >>> next(models.select(Query(tag="points"))).name
            'ring'
        """
        return heapq.merge(*(shelf.select(query) for shelf in self._shelves), key=lambda entry: entry.name)

    def find(
        self,
        pattern: str = "*",
        *,
        architecture: str | None = None,
        dataset: str | None = None,
        tag: str | None = None,
        license: str | None = None,
        plugin: str | None = None,
        search: str | None = None,
    ) -> list[ModelEntry]:
        """Return the models that match every condition, in alphabetical order.

        Args:
            pattern: a glob that the name or an alias matches; upper and lower case differ.
            architecture: name of the architecture; `-` and `_` compare equal.
            dataset: name of the data set.
            tag: one of the tags.
            license: identifier of the licence.
            plugin: the distribution that provides the architecture; `-`, `_` and `.` compare equal.
            search: words, each of which occurs somewhere in the names, the summary or another of these fields, whole
                or as a part of a word; upper and lower case are equal.

        Example:
            >>> [entry.name for entry in models.find("*i*", dataset="mnist")]
            ['digits']
            >>> [entry.name for entry in models.find(search="MNIST")]
            ['digits']
        """
        return list(self.select(Query(pattern, architecture, dataset, tag, license, plugin, search)))


class _Models(ValuesView[ModelEntry]):
    """The models of a registry."""

    _mapping: Registry

    def __iter__(self) -> Iterator[ModelEntry]:
        return self._mapping.select(Query())


class _NamedModels(ItemsView[str, ModelEntry]):
    """The names and models of a registry."""

    _mapping: Registry

    def __iter__(self) -> Iterator[tuple[str, ModelEntry]]:
        return ((entry.name, entry) for entry in self._mapping.select(Query()))


def read_shelf(path: Path) -> MemoryShelf | CompiledShelf:
    """Return the entries of a registry file: in memory, or by the index of a large file.

    Raises:
        RegistryError: if it cannot be read or is not a valid registry; names file, line and field.
        OutputError: if an index is needed and can be written nowhere.
    """
    if _needs_index(path):
        from zoo_core.registries.compiled import CompiledShelf, Index  # most people have no such registry

        return CompiledShelf(Index(path))
    source = path.absolute()
    entries = [read.entry for read in read_entries(read_text(path), path)]
    for entry in entries:
        msgspec.structs.force_setattr(entry, "source", source)
    return MemoryShelf(entries)


def _needs_index(path: Path) -> bool:
    """Return whether a file is large enough for an index; one that cannot be read is not, nor is any without SQLite."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return False
    large = stat.S_ISREG(facts.st_mode) and INDEXED_FROM <= facts.st_size <= MAX_BYTES
    return large and _has_sqlite()


def _has_sqlite() -> bool:
    """Return whether this Python was built with SQLite."""
    try:
        import sqlite3  # noqa: F401
    except ImportError:
        return False
    return True
