"""Finding plugins, and keeping each one's failure to itself.

Entry points are loaded one by one, each into a pluggy manager of its own, so that whatever a plugin does wrong
costs its own absence and a line of explanation, and nothing else. A registration that fails half-way needs no
taking back: nothing shares its manager.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.metadata
import itertools
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pluggy

from zoo_core.errors import PluginError, UnknownArchitectureError, did_you_mean, printable
from zoo_core.interfaces import Architecture, FeatureExtractor
from zoo_core.interfaces.extractor import CORE_EXTRACTORS
from zoo_core.interfaces.names import same_name
from zoo_core.plugins import hookspecs
from zoo_core.registries.index import core_index

if TYPE_CHECKING:
    import click

    from zoo_core.interfaces import Generator

MAX_RESULTS = 1000  # of one hook of one plugin: an endless iterator must end somewhere
DISABLE_VARIABLE = "ZOO_DISABLE_PLUGINS"
_Result = TypeVar("_Result", Architecture, FeatureExtractor)
_WORDS: dict[type, str] = {Architecture: "architecture", FeatureExtractor: "feature extractor"}
_MODULE_OR_OBJECT = re.compile(r"\w+(\.\w+)*(\s*:\s*\w+(\.\w+)*)?(\s*\[.*\])?")


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """An installed plugin and what became of it.

    Attributes:
        entry_point: its name. distribution, version: of the package it came in.
        module: the one that it names.
        status: whether it is used.
        problem: why not, in one line.
        traceback: the whole story, where there is one.
        architectures, extractors: what it provides. registry_file: of the models that it ships, or None.
    """

    entry_point: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "disabled", "left out"] = "ok"
    problem: str | None = None
    traceback: str | None = None
    architectures: tuple[Architecture, ...] = ()
    extractors: tuple[FeatureExtractor, ...] = ()
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
        unreadable: list[PluginInfo] = []
        if entry_points is None:
            entry_points, unreadable = _installed_entry_points()
        if disabled is None:
            disabled = os.environ.get(DISABLE_VARIABLE, "").split(",")
        self._disabled = {same_name(name.strip()) for name in disabled if name.strip()}
        self._owners = owners if owners is not None else _core_owners()
        self._reserved = {("architecture", name): owner for name, owner in self._owners.items()}
        self._reserved |= {("feature extractor", extractor.name): "zoo-core" for extractor in CORE_EXTRACTORS}
        self._hooks: dict[str, pluggy.PluginManager] = {}
        self.command_problems: dict[str, list[PluginInfo]] = {}
        self.commands_of: dict[str, list[str]] = {}
        loaded = [self._load(entry_point) for entry_point in entry_points]
        found = self._settle_names(loaded) + unreadable
        self.plugins = sorted(found, key=lambda info: (info.distribution, info.entry_point, info.module))
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
        return [*lines, *self.command_problems]

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

    def owner_of_name(self, name: str) -> str | None:
        """The distribution that the architecture name belongs to, by the core's index or by being installed."""
        installed = self.architectures.get(same_name(name))
        return self._owners.get(same_name(name)) or (installed[1].distribution if installed else None)

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
            if module.partition(".")[0] != package:
                continue
            with contextlib.suppress(PluginError):  # another architecture of the package may be broken
                if found[0].generator_class() is generator_class:
                    return found
        raise PluginError(
            f"{generator_class.__qualname__} is registered by no installed plugin, so no one could load what is saved; "
            "return an Architecture with it from the plugin's zoo_architectures hook"
        )

    def commands(self, reserved: Collection[str]) -> dict[str, click.Command]:
        """The commands that plugins add to `zoo`, by name; those that collide are refused and reported.

        Fills `command_problems` (a line, and whose fault it is) and `commands_of` (by a plugin's key).
        """
        self.command_problems.clear()
        self.commands_of.clear()
        offered: dict[str, list[tuple[PluginInfo, click.Command]]] = {}
        for info in self.plugins:
            if info.status != "ok":
                continue
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    commands = _commands_of(self._hooks[info.key], info.entry_point)
            except (Exception, SystemExit) as error:  # a plugin may fail in any way
                self.command_problems[f"commands of plugin {printable(info.entry_point)}: {_one_line(error)}"] = [info]
                continue
            for name, command in commands.items():
                offered.setdefault(name, []).append((info, command))
        accepted: dict[str, click.Command] = {}
        for name, offers in offered.items():
            infos = [info for info, _ in offers]
            plugins = printable(" and ".join(info.entry_point for info in infos))
            if name in reserved:
                self.command_problems[f"command {printable(name)} of plugin {plugins} is refused: zoo has it"] = infos
            elif len(offers) > 1:
                self.command_problems[
                    f"command {printable(name)} is offered by plugins {plugins}: neither is used; "
                    f"{DISABLE_VARIABLE} leaves one out"
                ] = infos
            else:
                accepted[name] = offers[0][1]
                self.commands_of.setdefault(infos[0].key, []).append(name)
        return accepted

    def unusable(self, distribution: str | None) -> PluginInfo | None:
        """A plugin of that distribution which is installed and not used, or None."""
        name = same_name(distribution or "")
        of_it = (info for info in self.plugins if same_name(info.distribution) == name)
        return next((info for info in of_it if info.status != "ok"), None)

    def _load(self, entry_point: importlib.metadata.EntryPoint) -> PluginInfo:
        distribution, version = _name_and_version(entry_point.dist)
        info = PluginInfo(
            entry_point=entry_point.name, distribution=distribution, version=version, module=entry_point.value
        )
        if self._disabled & {"all", same_name(info.entry_point), same_name(info.distribution)}:
            return replace(info, status="disabled", problem=f"{DISABLE_VARIABLE} leaves it out")
        try:
            if info.key in self._hooks:
                raise PluginError("its distribution has another entry point of that name")
            if not _MODULE_OR_OBJECT.fullmatch(entry_point.value):
                raise PluginError(f"its entry point names {printable(entry_point.value, 80)!r}, which is no module")
            # A plugin that prints while it is imported must not end up in the output of `zoo list --json`.
            with contextlib.redirect_stdout(sys.stderr):
                hooks = _register(info, entry_point.load())
                architectures = _results_of(hooks.hook.zoo_architectures, Architecture)
                extractors = _results_of(hooks.hook.zoo_metrics, FeatureExtractor)
                registry_file = _registry_of(hooks)
        except (Exception, SystemExit) as error:  # whatever a stranger's module raises, and sys.exit at import
            return _left_out(info, error)
        self._hooks[info.key] = hooks
        return replace(info, architectures=architectures, extractors=extractors, registry_file=registry_file)

    def _settle_names(self, loaded: list[PluginInfo]) -> list[PluginInfo]:
        """Leave out who takes a name that the core gives to another, then all who claim one name together."""
        loaded = [self._refuse_theft(info) for info in loaded]
        claims: dict[tuple[str, str], list[PluginInfo]] = {}
        for info in loaded:
            if info.status == "ok":
                for claim in _claims_of(info):
                    claims.setdefault(claim, []).append(info)
        quarrels = {claim: infos for claim, infos in claims.items() if len(infos) > 1}
        settled = []
        for info in loaded:
            mine = next((claim for claim, infos in quarrels.items() if info in infos), None)
            if mine is not None:
                info = replace(info, status="left out", problem=_quarrel(mine, quarrels[mine]))
            settled.append(info)
        return settled

    def _refuse_theft(self, info: PluginInfo) -> PluginInfo:
        for kind, name in _claims_of(info):
            owner = self._reserved.get((kind, name))
            if info.status == "ok" and owner is not None and same_name(owner) != same_name(info.distribution):
                problem = f"the {kind} {name!r} belongs to {owner}"
                return replace(info, status="left out", problem=problem)
        return info

    def _unknown(self, name: str) -> UnknownArchitectureError:
        owner = self._owners.get(same_name(name))
        shown = f"the architecture {printable(name, 80)!r}"
        missing = self.unusable(owner) if owner is not None else self._unused_claimant(name)
        if missing is not None:
            message = f"{shown} is provided by {missing.distribution}, which is {missing.status}: {missing.problem}"
            return UnknownArchitectureError(name, message, missing.distribution)
        if owner is None:
            known = [architecture.name for architecture, _ in self.architectures.values()]
            hint = did_you_mean(name, known)
            return UnknownArchitectureError(name, f"{shown} is not provided by any installed plugin; {hint}")
        for info in self.plugins:
            if same_name(info.distribution) == same_name(owner):
                message = f"{shown} is not in {owner} {info.version}: pip install --upgrade {owner}"
                return UnknownArchitectureError(name, message, owner)
        return UnknownArchitectureError(name, f"{shown} needs a plugin: pip install {owner}", owner)

    def _unused_claimant(self, name: str) -> PluginInfo | None:
        """A plugin that would provide the architecture, had it not been left out."""
        for info in self.plugins:
            if any(same_name(architecture.name) == same_name(name) for architecture in info.architectures):
                return info
        return None


@functools.cache
def manager() -> PluginManager:
    """The plugins of this environment, loaded at the first call."""
    return PluginManager()


def _core_owners() -> dict[str, str]:
    return {same_name(entry.architecture): entry.plugin for entry in core_index().values() if entry.plugin}


def _installed_entry_points() -> tuple[list[importlib.metadata.EntryPoint], list[PluginInfo]]:
    """The plugins' entry points in this environment, and the distributions whose list of them cannot be read."""
    group = hookspecs.ENTRY_POINT_GROUP
    try:
        return list(importlib.metadata.entry_points(group=group)), []
    except Exception:  # one malformed list, of any package whatever, fails this call for all: read them one by one
        found: dict[str, list[importlib.metadata.EntryPoint]] = {}
        unreadable = []
        for distribution in importlib.metadata.distributions():
            name, version = _name_and_version(distribution)
            try:
                # As in importlib.metadata, the first distribution of a name on sys.path hides later ones.
                found.setdefault(name, [point for point in distribution.entry_points if point.group == group])
            except Exception as error:  # the very one, perhaps of a package that is no plugin
                if f"[{group}]" in (distribution.read_text("entry_points.txt") or ""):
                    info = PluginInfo(entry_point="unknown", distribution=name, version=version, module="unknown")
                    unreadable.append(_left_out(info, PluginError(f"its entry_points.txt cannot be read: {error}")))
        return list(itertools.chain.from_iterable(found.values())), unreadable


def _name_and_version(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """Of a distribution; one that was half removed, or made by hand, may lack both."""
    if distribution is None:
        return "unknown", "unknown"
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "unknown", metadata["Version"] or "unknown"
    except Exception:  # METADATA that is missing or malformed fails in another way in each version of Python
        return "unknown", "unknown"


def _register(info: PluginInfo, module: Any) -> pluggy.PluginManager:
    """A plugin in a pluggy manager of its own. Raises PluginError, or pluggy's PluginValidationError."""
    version = getattr(module, "zoo_api", hookspecs.API_VERSION)
    if isinstance(version, bool) or not isinstance(version, int):
        raise PluginError(f"zoo_api must be a whole number, not {printable(repr(version), 80)}")
    if version > hookspecs.API_VERSION:
        raise PluginError(
            f"it was made for plugin API {version}, and this zoo-core has {hookspecs.API_VERSION}: upgrade zoo-core"
        )
    hooks = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    hooks.add_hookspecs(hookspecs)
    known = list(vars(hooks.hook))
    hooks.register(module, info.key)
    # pluggy itself ignores an implementation of a hook that does not exist: a typing error would be silent.
    for caller in hooks.get_hookcallers(module) or ():
        if not caller.has_spec() and not all(function.optionalhook for function in caller.get_hookimpls()):
            close = difflib.get_close_matches(caller.name, known, 1, cutoff=0)
            raise PluginError(f"it implements the unknown hook {printable(caller.name, 80)}; did you mean {close[0]}?")
    return hooks


def _results_of(hook: pluggy.HookCaller, kind: type[_Result]) -> tuple[_Result, ...]:
    """What a hook that returns Architectures or FeatureExtractors returned. Raises PluginError."""
    found: list[Any] = []
    for result in hook():
        if isinstance(result, (str, Mapping)) or not isinstance(result, Iterable):
            raise PluginError(f"{hook.name} must return {kind.__name__}s, not {printable(repr(result), 80)}")
        found.extend(itertools.islice(result, MAX_RESULTS + 1))
    if len(found) > MAX_RESULTS:
        raise PluginError(f"{hook.name} returned more than {MAX_RESULTS:,} {kind.__name__}s")
    names: set[str] = set()
    for item in found:
        if not isinstance(item, kind):
            raise PluginError(f"{hook.name} must return {kind.__name__}s, not {printable(repr(item), 80)}")
        if same_name(item.name) in names:
            raise PluginError(f"it registers the {_WORDS[kind]} {item.name!r} twice")
        names.add(same_name(item.name))
    return tuple(found)


def _registry_of(hooks: pluggy.PluginManager) -> Path | None:
    results = hooks.hook.zoo_registry()
    if not results:
        return None
    if not isinstance(results[0], (str, Path)):
        raise PluginError(f"zoo_registry must return a path, not {printable(repr(results[0]), 80)}")
    path = Path(results[0])
    if not path.is_file():
        raise PluginError(f"zoo_registry names {printable(path)}, which is no file")
    return path


def _commands_of(hooks: pluggy.PluginManager, name: str) -> dict[str, click.Command]:
    import click

    group = click.Group(name)
    hooks.hook.zoo_commands(cli=group)
    for key, command in group.commands.items():
        if not isinstance(key, str) or not isinstance(command, click.Command):
            raise PluginError(f"zoo_commands must add click's commands, not {printable(repr(command), 80)}")
    return dict(group.commands)


def _claims_of(info: PluginInfo) -> Iterator[tuple[str, str]]:
    """What a plugin registers: the kind of thing in words, and its name."""
    for architecture in info.architectures:
        yield _WORDS[Architecture], same_name(architecture.name)
    for extractor in info.extractors:
        yield _WORDS[FeatureExtractor], same_name(extractor.name)


def _quarrel(claim: tuple[str, str], infos: Iterable[PluginInfo]) -> str:
    kind, name = claim
    who = " and ".join(f"{printable(info.entry_point, 40)} of {printable(info.distribution, 40)}" for info in infos)
    return f"the {kind} {name!r} is registered by {who}: neither is used until {DISABLE_VARIABLE} leaves one out"


def _left_out(info: PluginInfo, error: BaseException) -> PluginInfo:
    import traceback

    story = "".join(traceback.format_exception(error))
    return replace(info, status="left out", problem=_one_line(error), traceback=story)


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a stranger's error may fail to say what it is
        text = ""
    if isinstance(error, PluginError):
        return printable(text)
    if isinstance(error, SystemExit):
        return printable(f"it calls sys.exit({error.code!r}) when it is loaded")
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
