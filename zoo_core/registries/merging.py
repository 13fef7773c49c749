"""Merging: one registry from the core's index, the plugins' and the user's, in which every name has one owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo_core.errors import RegistryError, printable
from zoo_core.interfaces.names import canonical_name
from zoo_core.registries.entries import FIELDS, ModelEntry
from zoo_core.registries.query import Query
from zoo_core.registries.registry import Registry, read_shelf
from zoo_core.registries.shelves import MemoryShelf, Shelf

if TYPE_CHECKING:
    from zoo_core.registries.compiled import CompiledShelf

_NAMED_AT_MOST = 100  # names of a large registry that earlier ones have: a line for each of more would bury the rest


def assemble(core: Registry, plugin_files: Iterable[tuple[str, Path]], user_files: Iterable[Path]) -> Registry:
    """Merge registries into one.

    A name or alias belongs to the first registry that has it, in the order of the arguments. Only the plugin that the
    core's index names adds to the index's entry. Plugins have no order among themselves: if several claim one name,
    none of them gets it.

    Args:
        core: the core's index.
        plugin_files: the distribution and the registry file of each plugin that ships one.
        user_files: the user's registry files in the order of precedence.

    Returns:
        The merged registry; `problems` has a line for each thing that was left out.

    Raises:
        RegistryError: if a file of the user is wrong. A wrong file of a plugin is one of the `problems` instead.
    """
    problems = list(core.problems)
    entries = dict(core.items())
    for offer in _settle_between_plugins(core, _plugin_offers(core, plugin_files, problems), problems):
        entries[offer.name] = _merge(core[offer.name], offer) if offer.name in core else offer
    shelves: list[MemoryShelf | CompiledShelf] = [MemoryShelf(entries.values())]
    for file in dict.fromkeys(user_files):
        shelf = read_shelf(file)
        if isinstance(shelf, MemoryShelf):
            shelves.append(MemoryShelf(_not_taken(shelf, shelves, file, problems)))
        else:
            shelves.append(_without_taken(shelf, shelves, file, problems))
    return Registry.from_shelves(shelves, problems)


def _not_taken(shelf: MemoryShelf, earlier: Sequence[Shelf], file: Path, problems: list[str]) -> Iterator[ModelEntry]:
    """Yield the entries of a file of the user whose name no earlier registry has, without the aliases that one has."""
    for entry in shelf.select(Query()):
        if _has(earlier, entry.name):
            problems.append(_left_out(file, entry.name))
        else:
            yield _without_aliases(entry, {alias for alias in entry.aliases if _has(earlier, alias)}, problems)


def _without_taken(
    shelf: CompiledShelf, earlier: Sequence[MemoryShelf | CompiledShelf], file: Path, problems: list[str]
) -> CompiledShelf:
    """Return the shelf of a large file of the user without the names that an earlier registry has."""
    taken: set[str] = set()
    for other in earlier:
        taken.update(filter(shelf.has, other.claimed()) if isinstance(other, MemoryShelf) else shelf.shared_with(other))
    models = {name: shelf.model_of(name) for name in sorted(taken)}
    hidden = {name for name, model in models.items() if model == name}
    lost: dict[str, set[str]] = {}
    for alias, model in models.items():
        if model is not None and model not in hidden:
            lost.setdefault(model, set()).add(alias)
    if len(hidden) + len(lost) > _NAMED_AT_MOST:
        problems.append(_left_out(file, f"{len(hidden):,} models and aliases of {len(lost):,} more", "those names"))
    else:
        problems += [_left_out(file, name) for name in sorted(hidden)]
        problems += [_lost_aliases(name, sorted(aliases)) for name, aliases in sorted(lost.items())]
    return shelf.without(hidden, lost)


def _has(shelves: Iterable[Shelf], name: str) -> bool:
    return any(shelf.has(name) for shelf in shelves)


def _left_out(file: Path, what: str, names: str = "that name") -> str:
    are = "is" if names == "that name" else "are"
    return f"{printable(file)}: {what} {are} left out: an earlier registry has {names}"


def _lost_aliases(name: str, aliases: Iterable[str]) -> str:
    return f"{name} loses the alias {', '.join(aliases)}: another model has that name"


def _plugin_offers(
    core: Registry, plugin_files: Iterable[tuple[str, Path]], problems: list[str]
) -> list[tuple[str, ModelEntry]]:
    """Return the entries of the plugins' registries that the core's index allows, each with its distribution."""
    offers = []
    for distribution, file in dict.fromkeys(plugin_files):
        try:
            shipped = Registry.from_file(file)
        except RegistryError as error:
            problems.append(f"the registry of {printable(distribution)} is left out: {error}")
            continue
        for entry in shipped.values():
            reason = _reason_against(core, distribution, entry)
            if reason is None:
                offers.append((distribution, msgspec.structs.replace(entry, plugin=distribution)))
            else:
                problems.append(f"{entry.name} of {printable(distribution)} is left out: {reason}")
    return offers


def _reason_against(core: Registry, distribution: str, entry: ModelEntry) -> str | None:
    """Return why the distribution may not provide this entry, or None if it may."""
    if entry.plugin is not None and canonical_name(entry.plugin) != canonical_name(distribution):
        return f"it names the plugin {printable(entry.plugin)}"
    if entry.name not in core:
        return None
    known = core[entry.name]
    if known.name != entry.name:
        return f"the name is an alias of {known.name}"
    if canonical_name(known.plugin or "") != canonical_name(distribution):
        return f"the name belongs to {printable(known.plugin or 'the core')}"
    if canonical_name(known.architecture) != canonical_name(entry.architecture):
        return f"its architecture is {entry.architecture}, but the core's index says {known.architecture}"
    return None


def _settle_between_plugins(
    core: Registry, offers: list[tuple[str, ModelEntry]], problems: list[str]
) -> list[ModelEntry]:
    """Return the entries whose name only one plugin offers, without the aliases that something else claims too."""
    claims: dict[str, list[str]] = {}
    for distribution, entry in offers:
        claims.setdefault(entry.name, []).append(printable(distribution))
    for name, distributions in claims.items():
        if len(distributions) > 1:
            *most, last = sorted(distributions)
            problems.append(f"{name} is shipped by {', '.join(most)} and {last}: none of them is used")
    kept = [entry for _, entry in offers if len(claims[entry.name]) == 1]
    counts = Counter(alias for entry in kept for alias in entry.aliases)
    shared = {alias for alias, count in counts.items() if count > 1}
    names = {entry.name for entry in kept} | shared
    for known in core.values():
        names.update(_names(known))
    return [_without_aliases(entry, names - _own_names(core, entry), problems) for entry in kept]


def _own_names(core: Registry, entry: ModelEntry) -> set[str]:
    """Return the names that the core's index gives to this very model."""
    return _names(core[entry.name]) if entry.name in core else set()


def _names(entry: ModelEntry) -> set[str]:
    return {entry.name, *entry.aliases}


def _without_aliases(entry: ModelEntry, taken: set[str], problems: list[str]) -> ModelEntry:
    """Return the entry without the aliases in `taken`, and report those in `problems`."""
    lost = [alias for alias in entry.aliases if alias in taken]
    if not lost:
        return entry
    problems.append(_lost_aliases(entry.name, lost))
    return msgspec.structs.replace(entry, aliases=tuple(alias for alias in entry.aliases if alias not in taken))


def _merge(core: ModelEntry, plugin: ModelEntry) -> ModelEntry:
    """Return the core's entry, completed by what the registry of its own plugin states about the same model."""
    values = {}
    for field, rule in FIELDS.items():
        first, second = (plugin, core) if rule.plugin_first else (core, plugin)
        stated = getattr(first, field)
        values[field] = getattr(second, field) if stated in (None, "", (), {}) else stated
    shipped = plugin if plugin.bundled is not None else core  # the folder is relative to the file that names it
    return ModelEntry(**values | {"bundled": shipped.bundled, "source": shipped.source})
