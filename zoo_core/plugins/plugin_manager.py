"""PluginManager: the plugins of an environment, and the architectures that they provide."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from zoo_core.errors import PluginError, UnknownArchitectureError, did_you_mean, printable
from zoo_core.interfaces import Architecture
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins.commands import PluginCommands, collect_commands
from zoo_core.plugins.loading import DISABLE_VARIABLE, PluginInfo, installed_entry_points, load_plugins
from zoo_core.plugins.names import owners_of_architectures, settle_names

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator, ModelConfig


class PluginManager:
    """The installed plugins, each loaded apart from the others.

    Args:
        entry_points: entry points of the group `zoo.plugins`; by default those of the environment.
        disabled: names of entry points or distributions that are not loaded, or "all"; by default those in
            ZOO_DISABLE_PLUGINS.
        owners: the distribution that each reserved architecture name belongs to; by default as in the core's index.

    Attributes:
        plugins: every installed plugin, used or not, by distribution and entry point.
        architectures: the architectures that can be used, each with its plugin, by name in canonical form.
        kinds: the kinds of samples that plugins add to the core's, by name in canonical form.

    Example:
        >>> PluginManager([]).architectures
        {}
    """

    def __init__(
        self,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        *,
        disabled: Collection[str] | None = None,
        owners: Mapping[str, str] | None = None,
    ) -> None:
        unreadable: list[PluginInfo] = []
        if entry_points is None:
            entry_points, unreadable = installed_entry_points()
        if disabled is None:
            disabled = os.environ.get(DISABLE_VARIABLE, "").split(",")
        disabled = {canonical_name(name.strip()) for name in disabled if name.strip()}
        self._owners = owners if owners is not None else owners_of_architectures()
        loaded = load_plugins(entry_points, disabled)
        settled = settle_names([plugin.info for plugin in loaded], self._owners)
        self._hooks = {
            info.key: plugin.hooks
            for info, plugin in zip(settled, loaded, strict=True)
            if info.status == "ok" and plugin.hooks is not None
        }
        self.plugins = sorted(settled + unreadable, key=lambda info: (info.distribution, info.entry_point, info.module))
        self.architectures = {
            canonical_name(architecture.name): (architecture, info)
            for info in self.plugins
            if info.status == "ok"
            for architecture in info.architectures
        }
        self.kinds = {
            canonical_name(kind.name): kind for info in self.plugins if info.status == "ok" for kind in info.kinds
        }

    @property
    def problems(self) -> list[str]:
        """A line for each plugin that was left out."""
        return [
            f"plugin {printable(info.entry_point)} of {printable(info.distribution)} is left out: {info.problem}"
            for info in self.plugins
            if info.status == "left out"
        ]

    def commands(self, reserved: Collection[str]) -> PluginCommands:
        """Ask every plugin for the commands that it adds to `zoo`.

        Args:
            reserved: names of the core's own commands, which no plugin may use.
        """
        used = [(info, self._hooks[info.key]) for info in self.plugins if info.status == "ok"]
        return collect_commands(used, reserved)

    def architecture(self, name: str) -> Architecture:
        """Return the architecture of that name; `-` and `_` compare equal.

        Raises:
            UnknownArchitectureError: says which plugin to install or to fix.

        Example:
            >>> PluginManager([], owners={"ring": "zoo-ring"}).architecture("ring")
            Traceback (most recent call last):
            zoo_core.errors.UnknownArchitectureError: the architecture 'ring' needs a plugin: pip install zoo-ring
        """
        known = self.architectures.get(canonical_name(name))
        if known is None:
            raise self._unknown(name)
        return known[0]

    def owner(self, name: str) -> PluginInfo:
        """Return the plugin that provides the architecture. Raises UnknownArchitectureError."""
        self.architecture(name)
        return self.architectures[canonical_name(name)][1]

    def owner_of_name(self, name: str) -> str | None:
        """Return the distribution that an architecture name belongs to, by the core's index or by being installed."""
        installed = self.architectures.get(canonical_name(name))
        return self._owners.get(canonical_name(name)) or (installed[1].distribution if installed else None)

    def architecture_of(self, generator_class: type[Generator]) -> tuple[Architecture, PluginInfo]:
        """Return the architecture that registers this generator class, and its plugin.

        Raises:
            PluginError: if no architecture does.
        """
        known = self._registered("generator", Architecture.generator_class, generator_class)
        if known is not None:
            return known
        raise PluginError(
            f"{generator_class.__qualname__} is registered by no installed plugin, so no one could load what is saved; "
            "return an Architecture with it from the plugin's zoo_architectures hook"
        )

    def architecture_with(self, config_class: type[ModelConfig]) -> Architecture | None:
        """Return the first architecture that registers this configuration class; None if no one does."""
        known = self._registered("config", Architecture.config_class, config_class)
        return known[0] if known is not None else None

    def _registered(
        self, role: str, resolve: Callable[[Architecture], type], wanted: type
    ) -> tuple[Architecture, PluginInfo] | None:
        """Return the architecture that registers a class in a role, and its plugin."""
        target = f"{wanted.__module__}:{wanted.__qualname__}"
        for architecture, info in self.architectures.values():
            if getattr(architecture, role) == target:
                return architecture, info
        # The import string may name a re-export. Only the class's own package is imported to find out.
        package = wanted.__module__.partition(".")[0]
        for architecture, info in self.architectures.values():
            module = getattr(architecture, role).partition(":")[0]
            if module.partition(".")[0] != package:
                continue
            with contextlib.suppress(PluginError):  # another architecture of the package may be broken
                if resolve(architecture) is wanted:
                    return architecture, info
        return None

    def unusable(self, distribution: str | None) -> PluginInfo | None:
        """Return a plugin of that distribution which is installed and not used, or None."""
        name = canonical_name(distribution or "")
        candidates = (info for info in self.plugins if canonical_name(info.distribution) == name)
        return next((info for info in candidates if info.status != "ok"), None)

    def _unknown(self, name: str) -> UnknownArchitectureError:
        """Return the error for a name that no plugin provides: what to install, to upgrade or to fix."""
        owner = self._owners.get(canonical_name(name))
        shown = f"the architecture {printable(name, 80)!r}"
        unused = self.unusable(owner) if owner is not None else self._unused_claimant(name)
        if unused is not None:
            message = f"{shown} is provided by {unused.distribution}, which is {unused.status}: {unused.problem}"
            return UnknownArchitectureError(name, message, unused.distribution)
        if owner is None:
            hint = did_you_mean(name, [architecture.name for architecture, _ in self.architectures.values()])
            return UnknownArchitectureError(name, f"{shown} is not provided by any installed plugin; {hint}")
        for info in self.plugins:
            if canonical_name(info.distribution) == canonical_name(owner):
                message = f"{shown} is not in {owner} {info.version}: pip install --upgrade {owner}"
                return UnknownArchitectureError(name, message, owner)
        return UnknownArchitectureError(name, f"{shown} needs a plugin: pip install {owner}", owner)

    def _unused_claimant(self, name: str) -> PluginInfo | None:
        """Return a plugin that would provide the architecture if it had not been left out."""
        for info in self.plugins:
            if any(canonical_name(architecture.name) == canonical_name(name) for architecture in info.architectures):
                return info
        return None


@functools.cache
def manager() -> PluginManager:
    """Return the plugins of this environment, loaded at the first call."""
    return PluginManager()
