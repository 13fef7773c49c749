"""Shelves: where the entries of one registry are kept, in memory or in an index on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.query import Query


class Shelf(Protocol):
    """The entries of one registry, or of several whose names do not collide."""

    def __len__(self) -> int:
        """Return the number of models."""

    def get(self, name: str) -> ModelEntry | None:
        """Return the model of that name or alias; None if there is none."""

    def has(self, name: str) -> bool:
        """Return whether a model has that name or alias."""

    def names(self) -> Iterator[str]:
        """Yield the names in alphabetical order."""

    def select(self, query: Query) -> Iterator[ModelEntry]:
        """Yield the models that the query asks for, in alphabetical order."""

    def close_to(self, name: str) -> Iterable[str]:
        """Return names and aliases among which those that look like `name` are."""

    def beginning_with(self, prefix: str, limit: int) -> list[str]:
        """Return names and aliases that begin so: the first and the last ones in alphabetical order if many do.

        Args:
            limit: number of names, about.
        """


class MemoryShelf:
    """Entries in memory.

    Example:
        >>> shelf = MemoryShelf([ModelEntry(name="ring", architecture="ring", aliases=("circle",))])
        >>> shelf.has("circle"), list(shelf.names())
        (True, ['ring'])
    """

    def __init__(self, entries: Iterable[ModelEntry]) -> None:
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        self._aliases = {alias: entry.name for entry in self._entries.values() for alias in entry.aliases}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> ModelEntry | None:
        return self._entries.get(self._aliases.get(name, name))

    def has(self, name: str) -> bool:
        return name in self._entries or name in self._aliases

    def names(self) -> Iterator[str]:
        return iter(self._entries)

    def select(self, query: Query) -> Iterator[ModelEntry]:
        return filter(query.matches, self._entries.values())

    def close_to(self, name: str) -> Iterable[str]:
        return self.claimed()

    def beginning_with(self, prefix: str, limit: int) -> list[str]:
        return ends_of(sorted(name for name in self.claimed() if name.startswith(prefix)), limit)

    def claimed(self) -> list[str]:
        """Return every name and alias."""
        return [*self._entries, *self._aliases]


def ends_of(names: list[str], limit: int) -> list[str]:
    """Return the first and the last of sorted names, so that what all of them begin with is what these begin with.

    Example:
        >>> ends_of(["a", "b", "c", "d"], 2)
        ['a', 'd']
    """
    return names if len(names) <= limit else names[: limit // 2] + names[-(limit - limit // 2) :]
