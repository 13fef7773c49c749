"""Finding plugins, and keeping each one's failure to itself.

Entry points are loaded one by one and hooks are called one plugin at a time, so that whatever a plugin does
wrong costs its own absence and a line of explanation, and nothing else.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.metadata
import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from zoo_core import hookspecs
from zoo_core.architecture import Architecture, same_name
from zoo_core.errors import PluginError, UnknownArchitectureError, printable
from zoo_core.registries import core_index

if TYPE_CHECKING:
    import click

    from zoo_core.interfaces import Generator

MAX_ARCHITECTURES = 1000  # of one plugin: an endless iterator must end somewhere
DISABLE_VARIABLE = "ZOO_DISABLE_PLUGINS"


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """An installed plugin and what became of it.

    Attributes:
        entry_point: its name. distribution, version: of the package it came in. origin: the module it names.
        status: whether it is used. problem: why not, in one line. traceback: the whole story, where there is one.
        architectures: what it provides. registry_file: of the models that it ships, or None.
    """

    entry_point: str
    distribution: str
    version: str
    origin: str
    status: Literal["ok", "disabled", "left out"] = "ok"
    problem: str | None = None
    traceback: str | None = None
    architectures: tuple[Architecture, ...] = ()
    registry_file: Path | None = None

    @property
    def key(self) -> str:
        """A name that no other plugin can have."""
        return f"{self.distribution}:{self.entry_point}"


class PluginManager:
    """The installed plugins, each loaded apart from the others.

    Args:
        entry_points: of the group `zoo.plugins`; those of the environment by default.
        disabled: names of entry points or distributions to leave unloaded, or "all";
            ZOO_DISABLE_PLUGINS by default.
        owners: architecture names that belong to a distribution; those of the core's own index by default.
    """

    def __init__(
        self,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        *,
        disabled: Collection[str] | None = None,
        owners: Mapping[str, str] | None = None,
    ) -> None:
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP)
        if disabled is None:
            disabled = os.environ.get(DISABLE_VARIABLE, "").split(",")
        self._disabled = {same_name(name.strip()) for name in disabled if name.strip()}
        self._owners = owners if owners is not None else _core_owners()
        self._hooks = pluggy.PluginManager(hookspecs.PROJECT_NAME)
        self._hooks.add_hookspecs(hookspecs)
        self._modules: dict[str, Any] = {}
        self.command_problems: list[str] = []
        loaded = [self._load(entry_point) for entry_point in entry_points]
        self.plugins = sorted(self._settle_names(loaded), key=lambda info: (info.distribution, info.entry_point))
        self.architectures = {
            same_name(architecture.name): (architecture, info)
            for info in self.plugins
            if info.status == "ok"
            for architecture in info.architectures
        }

    @property
    def problems(self) -> list[str]:
        """A line for each plugin that was left out, and for each command that was refused."""
        lines = [
            f"plugin {printable(info.entry_point)} of {printable(info.distribution)} is left out: {info.problem}"
            for info in self.plugins
            if info.status == "left out"
        ]
        return lines + self.command_problems

    def architecture(self, name: str) -> Architecture:
        """The architecture of that name, `-` and `_` being equal.

        Raises:
            UnknownArchitectureError: that says which plugin to install or to mend.
        """
        found = self.architectures.get(same_name(name))
        if found is None:
            raise self._unknown(name)
        return found[0]

    def owner(self, name: str) -> PluginInfo:
        """The plugin that provides the architecture. Raises UnknownArchitectureError."""
        self.architecture(name)
        return self.architectures[same_name(name)][1]

    def architecture_of(self, generator_class: type[Generator]) -> tuple[Architecture, PluginInfo]:
        """The architecture that registers this generator class, and its plugin.

        Raises:
            PluginError: where none does.
        """
        target = f"{generator_class.__module__}:{generator_class.__qualname__}"
        for found in self.architectures.values():
            if found[0].generator == target:
                return found
        package = generator_class.__module__.partition(".")[0]
        for found in self.architectures.values():  # the import string may name a re-export; import no one else's
            module = found[0].generator.partition(":")[0]
            if module.partition(".")[0] == package and found[0].generator_class() is generator_class:
                return found
        raise PluginError(
            f"{generator_class.__qualname__} is registered by no installed plugin, so no one could load what is saved; "
            "return an Architecture with it from the plugin's zoo_architectures hook"
        )

    def commands(self, reserved: Collection[str]) -> dict[str, click.Command]:
        """The commands that plugins add to `zoo`, by name; those that collide are refused and reported."""
        import click

        self.command_problems.clear()
        offered: dict[str, list[tuple[PluginInfo, click.Command]]] = {}
        for info in self.plugins:
            if info.status != "ok":
                continue
            group = click.Group(info.entry_point)
            try:
                self._call(info, "zoo_commands", cli=group)
            except (Exception, SystemExit) as error:  # a plugin may fail in any way
                self.command_problems.append(f"commands of plugin {info.entry_point}: {_one_line(error)}")
                continue
            for name, command in group.commands.items():
                offered.setdefault(name, []).append((info, command))
        accepted: dict[str, click.Command] = {}
        for name, offers in offered.items():
            plugins = " and ".join(info.entry_point for info, _ in offers)
            if name in reserved:
                self.command_problems.append(f"command {printable(name)} of plugin {plugins} is refused: zoo has it")
            elif len(offers) > 1:
                self.command_problems.append(
                    f"command {printable(name)} is offered by plugins {plugins}: neither is used; "
                    f"{DISABLE_VARIABLE} leaves one out"
                )
            else:
                accepted[name] = offers[0][1]
        return accepted

    def _load(self, entry_point: importlib.metadata.EntryPoint) -> PluginInfo:
        distribution = entry_point.dist
        info = PluginInfo(
            entry_point=entry_point.name,
            distribution=distribution.name if distribution else "unknown",
            version=distribution.version if distribution else "unknown",
            origin=entry_point.value,
        )
        if self._disabled & {"all", same_name(info.entry_point), same_name(info.distribution)}:
            return replace(info, status="disabled", problem=f"{DISABLE_VARIABLE} leaves it out")
        try:
            # A plugin that prints while it is imported must not end up in the output of `zoo list --json`.
            with contextlib.redirect_stdout(sys.stderr):
                self._register(info, entry_point.load())
                return replace(info, architectures=self._architectures_of(info), registry_file=self._registry_of(info))
        except (Exception, SystemExit) as error:  # whatever a stranger's module raises, and sys.exit at import
            self._unregister(info)
            return _left_out(info, error)

    def _register(self, info: PluginInfo, module: Any) -> None:
        """Let pluggy check and take in a plugin, or raise PluginError."""
        version = getattr(module, "zoo_api", hookspecs.API_VERSION)
        if isinstance(version, bool) or not isinstance(version, int):
            raise PluginError(f"zoo_api must be a whole number, not {version!r}")
        if version > hookspecs.API_VERSION:
            raise PluginError(
                f"it was made for plugin API {version}, and this zoo-core has {hookspecs.API_VERSION}: upgrade zoo-core"
            )
        _refuse_unknown_hooks(module, self._hooks)
        self._modules[info.key] = module
        self._hooks.register(module, info.key)
        self._hooks.check_pending()

    def _unregister(self, info: PluginInfo) -> None:
        """Take back a registration, half done or whole."""
        module = self._modules.pop(info.key, None)
        if module is not None and self._hooks.has_plugin(info.key):
            self._hooks.unregister(module)

    def _call(self, info: PluginInfo, hook: str, **arguments: Any) -> list[Any]:
        """Call one hook of one plugin alone; its results that are not None."""
        others = [module for key, module in self._modules.items() if key != info.key]
        results: list[Any] = self._hooks.subset_hook_caller(hook, others)(**arguments)
        return results

    def _architectures_of(self, info: PluginInfo) -> tuple[Architecture, ...]:
        found: list[Architecture] = []
        for result in self._call(info, "zoo_architectures"):
            if isinstance(result, (str, Mapping)) or not isinstance(result, Iterable):
                raise PluginError(f"zoo_architectures must return Architectures, not {printable(repr(result), 80)}")
            found.extend(itertools.islice(result, MAX_ARCHITECTURES + 1))
        if len(found) > MAX_ARCHITECTURES:
            raise PluginError(f"zoo_architectures returned more than {MAX_ARCHITECTURES:,} architectures")
        names: set[str] = set()
        for architecture in found:
            if not isinstance(architecture, Architecture):
                raise PluginError(
                    f"zoo_architectures must return Architectures, not {printable(repr(architecture), 80)}"
                )
            if same_name(architecture.name) in names:
                raise PluginError(f"it registers the architecture {architecture.name!r} twice")
            names.add(same_name(architecture.name))
        return tuple(found)

    def _registry_of(self, info: PluginInfo) -> Path | None:
        results = self._call(info, "zoo_registry")
        if not results:
            return None
        if not isinstance(results[0], (str, Path)):
            raise PluginError(f"zoo_registry must return a path, not {printable(repr(results[0]), 80)}")
        path = Path(results[0])
        if not path.is_file():
            raise PluginError(f"zoo_registry names {printable(path)}, which is no file")
        return path

    def _settle_names(self, loaded: list[PluginInfo]) -> list[PluginInfo]:
        """Leave out who takes a name that the core gives to another, then all who claim one name together."""
        loaded = [self._refuse_theft(info) for info in loaded]
        claims: dict[str, list[PluginInfo]] = {}
        for info in loaded:
            if info.status == "ok":
                for architecture in info.architectures:
                    claims.setdefault(same_name(architecture.name), []).append(info)
        quarrels = {name: infos for name, infos in claims.items() if len(infos) > 1}
        settled = []
        for info in loaded:
            name = next((name for name, infos in quarrels.items() if info in infos), None)
            if name is not None:
                who = " and ".join(f"{other.entry_point} of {other.distribution}" for other in quarrels[name])
                problem = f"the architecture {name!r} is registered by {who}: neither is used until "
                self._unregister(info)
                info = replace(
                    info, status="left out", problem=printable(f"{problem}{DISABLE_VARIABLE} leaves one out")
                )
            settled.append(info)
        return settled

    def _refuse_theft(self, info: PluginInfo) -> PluginInfo:
        for architecture in info.architectures:
            owner = self._owners.get(same_name(architecture.name))
            if info.status == "ok" and owner is not None and same_name(owner) != same_name(info.distribution):
                self._unregister(info)
                problem = f"the architecture {architecture.name!r} belongs to {owner}"
                return replace(info, status="left out", problem=problem)
        return info

    def _unknown(self, name: str) -> UnknownArchitectureError:
        owner = self._owners.get(same_name(name))
        shown = f"the architecture {printable(name, 80)!r}"
        if owner is None:
            known = [architecture.name for architecture, _ in self.architectures.values()]
            close = difflib.get_close_matches(name, known, 3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(known)) or 'none'}"
            return UnknownArchitectureError(name, f"{shown} is not provided by any installed plugin; {hint}")
        for info in self.plugins:
            if same_name(info.distribution) == same_name(owner) and info.status != "ok":
                message = f"{shown} is provided by {owner}, which is {info.status}: {info.problem}"
                return UnknownArchitectureError(name, message, owner)
        return UnknownArchitectureError(name, f"{shown} needs a plugin: pip install {owner}", owner)


@functools.cache
def manager() -> PluginManager:
    """The plugins of this environment, loaded at the first call."""
    return PluginManager()


def _core_owners() -> dict[str, str]:
    return {same_name(entry.architecture): entry.plugin for entry in core_index().values() if entry.plugin}


def _refuse_unknown_hooks(module: Any, hooks: pluggy.PluginManager) -> None:
    """pluggy ignores an implementation of a hook that does not exist: a typing error would be silent."""
    known = [name for name, _ in _marked(hookspecs, f"{hookspecs.PROJECT_NAME}_spec")]
    for name, options in _marked(module, f"{hookspecs.PROJECT_NAME}_impl"):
        hook = options.get("specname") or name
        if hook not in known:
            close = difflib.get_close_matches(hook, known, 1, cutoff=0)
            raise PluginError(f"it implements the unknown hook {printable(hook, 80)}; did you mean {close[0]}?")


def _marked(namespace: Any, marker: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in dir(namespace):
        options = getattr(getattr(namespace, name, None), marker, None)
        if isinstance(options, dict):
            yield name, options


def _left_out(info: PluginInfo, error: BaseException) -> PluginInfo:
    import traceback

    story = "".join(traceback.format_exception(error))
    return replace(info, status="left out", problem=_one_line(error), traceback=story)


def _one_line(error: BaseException) -> str:
    if isinstance(error, PluginError):
        return printable(error)
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({error.code!r}) when it is loaded"
    return printable(f"{type(error).__name__}: {error}")
