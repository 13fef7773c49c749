"""The catalog: every known model, from the core, the plugins and the user. Look-ups import no torch."""

from __future__ import annotations

import functools

from zoo_core.errors import UnknownArchitectureError, printable
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins import manager
from zoo_core.registries import ModelEntry, Registry
from zoo_core.registries.index import core_index, user_files
from zoo_core.registries.merging import assemble


@functools.cache
def registry() -> Registry:
    """Return every known model: in the core's index, in the registries of plugins, and in the user's own.

    They are read at the first call; after `registry.cache_clear()` they are read again.

    Raises:
        RegistryError: if a registry of the user cannot be read.

    Example:
        >>> import zoo_core as zoo
        >>> entry = zoo.registry()["vae-mnist"]
        >>> entry.architecture, entry.sample_shape
        ('vae', (1, 28, 28))
    """
    plugin_files = [(info.distribution, info.registry_file) for info in manager().plugins if info.status == "ok"]
    return assemble(core_index(), [(name, file) for name, file in plugin_files if file is not None], user_files())


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the known models that match a glob, in alphabetical order.

    Args:
        pattern: matched with the names and the aliases; upper and lower case differ.

    Raises:
        RegistryError: if a registry of the user cannot be read.

    Example:
        >>> import zoo_core as zoo
        >>> zoo.list_models("vae-*")
        ['vae-mlp-mnist', 'vae-mnist']
    """
    return [entry.name for entry in registry().find(pattern)]


def check_plugin(entry: ModelEntry) -> None:
    """Check that the architecture of an entry can be used here.

    Raises:
        UnknownArchitectureError: if it cannot; says what to do.
    """
    try:
        manager().architecture(entry.architecture)
    except UnknownArchitectureError as error:
        reason = str(error) if error.plugin is not None else _missing_plugin(entry) or str(error)
        raise UnknownArchitectureError(entry.architecture, f"{entry.name}: {reason}", error.plugin) from error


def _missing_plugin(entry: ModelEntry) -> str | None:
    """Return why the plugin that the entry names cannot be used; None if it can.

    It suggests no installation: anybody may write a registry and name a distribution in it.
    """
    if entry.plugin is None:
        return None
    info = manager().unusable(entry.plugin)
    if info is not None:
        return f"its plugin {info.distribution} is {info.status}: {info.problem}"
    if any(canonical_name(info.distribution) == canonical_name(entry.plugin) for info in manager().plugins):
        return None
    return f"it needs the plugin {printable(entry.plugin, 80)}, which is not installed"


def suggested_installation(entry: ModelEntry) -> str | None:
    """Return `pip install …` for an entry whose plugin is missing, if the core's own index names that plugin."""
    if canonical_name(entry.architecture) in manager().architectures or entry.name not in core_index():
        return None
    plugin = core_index()[entry.name].plugin
    return f"pip install {plugin}" if plugin else None
