"""Names of plugins and of what they register: who may use a name, and what happens if two plugins claim it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo_core.errors import printable
from zoo_core.interfaces.extractor import CORE_EXTRACTORS
from zoo_core.interfaces.names import CORE_KINDS, canonical_name
from zoo_core.plugins.loading import DISABLE_VARIABLE, PluginInfo
from zoo_core.registries.index import core_index


def owners_of_architectures() -> dict[str, str]:
    """Return the distribution that the core's index gives each architecture name to, names in canonical form.

    Example:
        >>> owners_of_architectures()["cnn-gan"]
        'zoo-dcgan'
    """
    return {canonical_name(entry.architecture): entry.plugin for entry in core_index().values() if entry.plugin}


def settle_names(plugins: Sequence[PluginInfo], owners: Mapping[str, str]) -> list[PluginInfo]:
    """Leave out each plugin that uses a name which is not its own, so that every name that remains has one owner.

    A plugin that uses a name which `owners` or the core gives to another distribution is left out. If several of the
    other plugins claim one name, all of them are left out: neither order nor luck decides.

    Args:
        plugins: the plugins as they were loaded; returned in the same order.
        owners: the distribution that each reserved architecture name belongs to.
    """
    reserved = {("architecture", name): owner for name, owner in owners.items()}
    reserved |= {("feature extractor", canonical_name(extractor.name)): "zoo-core" for extractor in CORE_EXTRACTORS}
    reserved |= {("kind", name): "zoo-core" for name in CORE_KINDS}
    allowed = [_without_reserved_names(info, reserved) for info in plugins]
    claimants: dict[tuple[str, str], list[PluginInfo]] = {}
    for info in allowed:
        if info.status == "ok":
            for claim in info.claims:
                claimants.setdefault(claim, []).append(info)
    return [_without_contested_names(info, claimants) for info in allowed]


def _without_reserved_names(info: PluginInfo, reserved: Mapping[tuple[str, str], str]) -> PluginInfo:
    if info.status == "ok":
        for kind, name in info.claims:
            owner = reserved.get((kind, name))
            if owner is not None and canonical_name(owner) != canonical_name(info.distribution):
                return info.left_out(f"the {kind} {name!r} belongs to {owner}")
    return info


def _without_contested_names(info: PluginInfo, claimants: Mapping[tuple[str, str], Sequence[PluginInfo]]) -> PluginInfo:
    if info.status == "ok":
        for kind, name in info.claims:
            plugins = claimants[kind, name]
            if len(plugins) > 1:
                named = " and ".join(
                    f"{printable(each.entry_point, 40)} of {printable(each.distribution, 40)}" for each in plugins
                )
                remedy = f"{'both' if len(plugins) == 2 else 'all'} are ignored; disable one with {DISABLE_VARIABLE}"
                return info.left_out(f"the {kind} {name!r} is registered by {named}: {remedy}")
    return info
