"""Facts about a plugin, as the commands of `zoo plugins` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core.plugins import PluginCommands, PluginInfo, PluginManager


def plugin_facts(found: PluginManager) -> list[dict[str, Any]]:
    """Every fact about every installed plugin, in JSON types, as `--json` prints them."""
    from zoo_core.cli.group import plugin_commands

    return [_facts_of(info, plugin_commands()) for info in found.plugins]


def _facts_of(info: PluginInfo, commands: PluginCommands) -> dict[str, Any]:
    from zoo_core.plugins.distributions import origin_of

    origin = origin_of(info.distribution)
    return {
        "entry_point": info.entry_point,
        "distribution": info.distribution,
        "version": info.version,
        "origin": origin.kind,
        "source": {"place": origin.place, "commit": origin.commit, "editable": origin.editable},
        "module": info.module,
        "status": info.status,
        "problem": info.problem,
        "problems": [*filter(None, [info.problem]), *commands.problems_of(info)],
        "architectures": [architecture.name for architecture in info.architectures],
        "extractors": [extractor.name for extractor in info.extractors],
        "kinds": [kind.name for kind in info.kinds],
        "commands": sorted(commands.by_plugin.get(info.key, ())),
        "models": _models_of(info),
        "registry": str(info.registry_file) if info.registry_file else None,
        "traceback": info.traceback,
    }


def _models_of(info: PluginInfo) -> list[str]:
    """The models in the registry that the plugin ships; none if it cannot be read, which `zoo doctor` reports."""
    from zoo_core.errors import RegistryError
    from zoo_core.registries import Registry

    if info.registry_file is None or info.status != "ok":
        return []
    try:
        return sorted(Registry.from_file(info.registry_file))
    except RegistryError:
        return []


def summary_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What a plugin provides, a line for each kind."""
    rows = [
        (kind, ", ".join(facts[kind]))
        for kind in ("architectures", "extractors", "kinds", "commands", "models")
        if facts[kind]
    ]
    return rows + [("problem", problem) for problem in facts["problems"]]
