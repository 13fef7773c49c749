"""Merging: one registry of the core's index, the plugins' registries and the user's, and who owns a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zoo_core.errors import RegistryError, printable
from zoo_core.interfaces.names import same_name
from zoo_core.registries.entries import ModelEntry
from zoo_core.registries.registry import Registry


def assemble(core: Registry, plugin_files: Iterable[tuple[str, Path]], user_files: Iterable[Path]) -> Registry:
    """One registry of the core's index, the plugins' own (distribution and file) and the user's, in this order.

    A name or alias belongs to the first that has it; only the plugin that the core's index names adds to the core's
    entry. Plugins come before one another in no order: of two that claim one name, neither has it.

    Raises:
        RegistryError: for a user's file; a plugin's becomes a line in `problems` instead.
    """
    problems = list(core.problems)
    offers = _plugin_offers(core, plugin_files, problems)
    entries = dict(core.items())
    for offer in _settle_between_plugins(core, offers, problems):
        entries[offer.name] = _merge(core[offer.name], offer) if offer.name in core else offer
    taken = {name for entry in entries.values() for name in _names(entry)}
    for file in dict.fromkeys(user_files):
        for entry in Registry.from_file(file).values():
            if entry.name in taken:
                problems.append(f"{printable(file)}: {entry.name} is left out: an earlier registry has that name")
                continue
            kept = _without_aliases(entry, taken, problems)
            entries[kept.name] = kept
            taken.update(_names(kept))
    return Registry(entries.values(), problems)


def _plugin_offers(
    core: Registry, plugin_files: Iterable[tuple[str, Path]], problems: list[str]
) -> list[tuple[str, ModelEntry]]:
    """The entries of the plugins' registries, each with its distribution, that the core's index allows."""
    offers = []
    for distribution, file in dict.fromkeys(plugin_files):
        try:
            found = Registry.from_file(file)
        except RegistryError as error:
            problems.append(f"the registry of {printable(distribution)} is left out: {error}")
            continue
        for entry in found.values():
            reason = _reason_against(core, distribution, entry)
            if reason is None:
                offers.append((distribution, msgspec.structs.replace(entry, plugin=distribution)))
            else:
                problems.append(f"{entry.name} of {printable(distribution)} is left out: {reason}")
    return offers


def _reason_against(core: Registry, distribution: str, entry: ModelEntry) -> str | None:
    """Why the distribution may not provide this entry, or None where it may."""
    if entry.plugin is not None and same_name(entry.plugin) != same_name(distribution):
        return f"it names the plugin {printable(entry.plugin)}"
    if entry.name not in core:
        return None
    known = core[entry.name]
    if known.name != entry.name:
        return f"the name is an alias of {known.name}"
    if same_name(known.plugin or "") != same_name(distribution):
        return f"the name belongs to {printable(known.plugin or 'the core')}"
    if same_name(known.architecture) != same_name(entry.architecture):
        return f"its architecture is {entry.architecture}, but the core's index says {known.architecture}"
    return None


def _settle_between_plugins(
    core: Registry, offers: list[tuple[str, ModelEntry]], problems: list[str]
) -> list[ModelEntry]:
    """The entries whose name one plugin alone offers, less aliases that are not theirs alone."""
    claims: dict[str, list[str]] = {}
    for distribution, entry in offers:
        claims.setdefault(entry.name, []).append(printable(distribution))
    for name, distributions in claims.items():
        if len(distributions) > 1:
            problems.append(f"{name} is shipped by {' and by '.join(sorted(distributions))}: neither is used")
    kept = [entry for _, entry in offers if len(claims[entry.name]) == 1]
    counts = Counter(alias for entry in kept for alias in entry.aliases)
    shared = {alias for alias, count in counts.items() if count > 1}
    names = {entry.name for entry in kept} | shared
    for known in core.values():
        names.update(_names(known))
    return [_without_aliases(entry, names - _own_names(core, entry), problems) for entry in kept]


def _own_names(core: Registry, entry: ModelEntry) -> set[str]:
    """The names that the core's index gives to the very model of this entry."""
    return _names(core[entry.name]) if entry.name in core else set()


def _names(entry: ModelEntry) -> set[str]:
    return {entry.name, *entry.aliases}


def _without_aliases(entry: ModelEntry, taken: set[str], problems: list[str]) -> ModelEntry:
    """The entry less the aliases in `taken`, each loss a line in `problems`."""
    lost = [alias for alias in entry.aliases if alias in taken]
    if not lost:
        return entry
    problems.append(f"{entry.name} loses the alias {', '.join(lost)}: another model has that name")
    return msgspec.structs.replace(entry, aliases=tuple(alias for alias in entry.aliases if alias not in taken))


# What the plugin knows better than the curated index, since its weights and their digests travel together.
_PLUGIN_FIELDS = ("sample_shape", "parameters", "class_names", "training", "metrics", "files")


def _merge(core: ModelEntry, plugin: ModelEntry) -> ModelEntry:
    """The core's entry, completed by what its own plugin says of the same model."""
    values = {}
    for field in ModelEntry.__struct_fields__:
        first, second = (plugin, core) if field in _PLUGIN_FIELDS else (core, plugin)
        given = getattr(first, field)
        values[field] = getattr(second, field) if given in (None, "", (), {}) else given
    shipped = plugin if plugin.bundled is not None else core  # the folder is relative to the file that names it
    return ModelEntry(**values | {"bundled": shipped.bundled, "source": shipped.source})
