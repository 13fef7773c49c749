"""The catalog: every model that is known, from the core, the plugins and the user. Look-ups import no torch."""

from __future__ import annotations

import functools

from zoo_core.errors import UnknownArchitectureError, printable
from zoo_core.interfaces.names import same_name
from zoo_core.plugins import manager
from zoo_core.registries import ModelEntry, Registry
from zoo_core.registries.index import core_index, user_files
from zoo_core.registries.merging import assemble


@functools.cache
def registry() -> Registry:
    """Every model that is known: the core's index, then each plugin's, then the user's own registries.

    Read at the first call; `registry.cache_clear()` reads anew.

    Raises:
        RegistryError: for a registry of the user's that cannot be read.
    """
    plugin_files = [(info.distribution, info.registry_file) for info in manager().plugins if info.status == "ok"]
    return assemble(core_index(), [(name, file) for name, file in plugin_files if file is not None], user_files())


def list_models(pattern: str = "*") -> list[str]:
    """The names of the models that fit a glob, in order."""
    return [entry.name for entry in registry().find(pattern)]


def check_plugin(entry: ModelEntry) -> None:
    """Raise UnknownArchitectureError, saying what to do, where the entry's architecture cannot be used here."""
    try:
        manager().architecture(entry.architecture)
    except UnknownArchitectureError as error:
        reason = str(error) if error.plugin is not None else _missing_plugin(entry) or str(error)
        raise UnknownArchitectureError(entry.architecture, f"{entry.name}: {reason}", error.plugin) from error


def _missing_plugin(entry: ModelEntry) -> str | None:
    """What keeps the plugin that the entry names from being used. Only the core's own index suggests installations."""
    if entry.plugin is None:
        return None
    info = manager().unusable(entry.plugin)
    if info is not None:
        return f"its plugin {info.distribution} is {info.status}: {info.problem}"
    if any(same_name(info.distribution) == same_name(entry.plugin) for info in manager().plugins):
        return None
    return f"it needs the plugin {printable(entry.plugin, 80)}, which is not installed"


def suggested_installation(entry: ModelEntry) -> str | None:
    """`pip install …` for an entry whose plugin is missing, where the core's own index vouches for that plugin."""
    if same_name(entry.architecture) in manager().architectures or entry.name not in core_index():
        return None
    plugin = core_index()[entry.name].plugin
    return f"pip install {plugin}" if plugin else None
