"""Loading plugins: the entry points of this environment, and one entry point at a time into its hooks.

Each plugin gets a pluggy manager of its own. Whatever a plugin does wrong costs its own absence and one line of
explanation, and a registration that fails half-way leaves nothing behind that others would see.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pluggy

from zoo_core.errors import PluginError, printable
from zoo_core.interfaces import Architecture, FeatureExtractor, Kind
from zoo_core.interfaces.names import ARCHITECTURE_NAME, SUFFIX, canonical_name
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr
from zoo_core.plugins import hookspecs

DISABLE_VARIABLE = "ZOO_DISABLE_PLUGINS"
MAX_RESULTS = 1000  # per hook and plugin: an endless iterator must end somewhere
UNKNOWN = "unknown"
_Result = TypeVar("_Result", Architecture, FeatureExtractor, Kind)
_WORDS: dict[type, str] = {Architecture: "architecture", FeatureExtractor: "feature extractor", Kind: "kind"}
_MODULE_OR_OBJECT = re.compile(r"\w+(\.\w+)*(\s*:\s*\w+(\.\w+)*)?(\s*\[.*\])?")


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """An installed plugin and the outcome of loading it.

    Attributes:
        entry_point: name of its entry point.
        distribution: name of the distribution that it was installed with.
        version: version of that distribution.
        module: the module, or the object in a module, that the entry point names.
        status: ok, disabled by the user, or left out because something is wrong with it.
        problem: why it is not used, in one line; None if it is.
        traceback: the traceback of the failure, if there is one.
        architectures: the architectures that it provides.
        extractors: the feature extractors that it provides.
        kinds: the kinds of samples that it provides.
        registry_file: the registry of the models that it ships, or None.
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
    kinds: tuple[Kind, ...] = ()
    registry_file: Path | None = None

    @property
    def key(self) -> str:
        """A name that no other plugin can have.

        Example:
            >>> PluginInfo(entry_point="ring", distribution="zoo-ring", version="1.0", module="zoo_ring").key
            'zoo-ring:ring'
        """
        return f"{self.distribution}:{self.entry_point}"

    @property
    def claims(self) -> tuple[tuple[str, str], ...]:
        """What the plugin registers: the kind of thing in words, and its name in canonical form."""
        names = {
            Architecture: [architecture.name for architecture in self.architectures],
            FeatureExtractor: [extractor.name for extractor in self.extractors],
            Kind: [kind.name for kind in self.kinds],
        }
        return tuple((_WORDS[type], canonical_name(name)) for type, of_type in names.items() for name in of_type)

    def left_out(self, problem: str) -> PluginInfo:
        """Return the same plugin, not used because of a problem."""
        return replace(self, status="left out", problem=problem)


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin and its hooks, in a pluggy manager of its own; None if the plugin is not used."""

    info: PluginInfo
    hooks: pluggy.PluginManager | None = None


def load_plugins(
    entry_points: Iterable[importlib.metadata.EntryPoint], disabled: Collection[str] = ()
) -> list[LoadedPlugin]:
    """Load each plugin as `load_plugin` does. Of entry points with one name in one distribution, the first counts."""
    plugins: list[LoadedPlugin] = []
    for entry_point in entry_points:
        taken = {plugin.info.key for plugin in plugins if plugin.hooks is not None}
        plugins.append(load_plugin(entry_point, disabled, taken))
    return plugins


def load_plugin(
    entry_point: importlib.metadata.EntryPoint, disabled: Collection[str] = (), taken: Collection[str] = ()
) -> LoadedPlugin:
    """Import one plugin and ask it what it provides. A failure is reported in the result, never raised.

    Args:
        entry_point: an entry point of the group `zoo.plugins`.
        disabled: names of entry points or distributions, in canonical form, that are not imported; "all"
            disables every plugin.
        taken: keys of the plugins that are loaded already.
    """
    distribution, version = _name_and_version(entry_point.dist)
    info = PluginInfo(
        entry_point=entry_point.name, distribution=distribution, version=version, module=entry_point.value
    )
    if {"all", canonical_name(info.entry_point), canonical_name(info.distribution)} & set(disabled):
        return LoadedPlugin(replace(info, status="disabled", problem=f"excluded by {DISABLE_VARIABLE}"))
    try:
        if info.key in taken:
            raise PluginError("its distribution has another entry point of that name")
        if not _MODULE_OR_OBJECT.fullmatch(entry_point.value):
            raise PluginError(f"its entry point names {printable(entry_point.value, 80)!r}, which is not a module")
        with plugin_output_on_stderr():
            hooks = _register(info.key, entry_point.load())
            architectures = _results_of(hooks.hook.zoo_architectures, Architecture)
            extractors = _results_of(hooks.hook.zoo_metrics, FeatureExtractor)
            kinds = _results_of(hooks.hook.zoo_kinds, Kind)  # type: ignore[type-abstract]
            for kind in kinds:
                _check_attributes(kind)
            registry_file = _registry_of(hooks)
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything, and call sys.exit at import
        return LoadedPlugin(_failed(info, error))
    info = replace(info, architectures=architectures, extractors=extractors, kinds=kinds, registry_file=registry_file)
    return LoadedPlugin(info, hooks)


def installed_entry_points() -> tuple[list[importlib.metadata.EntryPoint], list[PluginInfo]]:
    """Find the plugins of this environment.

    Returns:
        The entry points of all plugins, and the distributions whose list of entry points cannot be read.
    """
    group = hookspecs.ENTRY_POINT_GROUP
    try:
        return list(importlib.metadata.entry_points(group=group)), []
    except Exception:  # one malformed list, of any distribution, fails the call for all: read them one by one
        points: dict[str, list[importlib.metadata.EntryPoint]] = {}
        unreadable = []
        for distribution in importlib.metadata.distributions():
            name, version = _name_and_version(distribution)
            try:
                # As in importlib.metadata, the first distribution of a name on sys.path hides later ones.
                points.setdefault(name, [point for point in distribution.entry_points if point.group == group])
            except Exception as error:  # the malformed one, which may belong to a distribution without a plugin
                if f"[{group}]" in (distribution.read_text("entry_points.txt") or ""):
                    info = PluginInfo(entry_point=UNKNOWN, distribution=name, version=version, module=UNKNOWN)
                    unreadable.append(_failed(info, PluginError(f"its entry_points.txt cannot be read: {error}")))
        return list(itertools.chain.from_iterable(points.values())), unreadable


def one_line(error: BaseException) -> str:
    """Return what a plugin's error says, in one printable line.

    Example:
        >>> one_line(ValueError("too\\nlong"))
        'ValueError: too long'
    """
    try:
        text = str(error)
    except Exception:  # the __str__ of a stranger's error may itself fail
        text = ""
    if isinstance(error, PluginError):
        return printable(text)
    if isinstance(error, SystemExit):
        return printable(f"it calls sys.exit({error.code!r}) when it is loaded")
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _failed(info: PluginInfo, error: BaseException) -> PluginInfo:
    import traceback

    return replace(info.left_out(one_line(error)), traceback="".join(traceback.format_exception(error)))


def _name_and_version(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """Return both, or "unknown": a distribution that was half removed, or made by hand, may lack them."""
    if distribution is None:
        return UNKNOWN, UNKNOWN
    try:
        metadata = distribution.metadata
        return metadata["Name"] or UNKNOWN, metadata["Version"] or UNKNOWN
    except Exception:  # missing or malformed METADATA fails differently in each version of Python
        return UNKNOWN, UNKNOWN


def _register(name: str, plugin: object) -> pluggy.PluginManager:
    """Put a plugin into a pluggy manager of its own. Raises PluginError, or pluggy's PluginValidationError."""
    version = getattr(plugin, "zoo_api", hookspecs.API_VERSION)
    if isinstance(version, bool) or not isinstance(version, int):
        raise PluginError(f"zoo_api must be a whole number, not {printable(repr(version), 80)}")
    if version > hookspecs.API_VERSION:
        raise PluginError(
            f"it was made for plugin API {version}, and this zoo-core has {hookspecs.API_VERSION}: upgrade zoo-core"
        )
    hooks = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    hooks.add_hookspecs(hookspecs)
    known = list(vars(hooks.hook))
    hooks.register(plugin, name)
    # pluggy ignores an implementation of a hook that does not exist, so that a misspelt one would do nothing.
    for caller in hooks.get_hookcallers(plugin) or ():
        if not caller.has_spec() and not all(function.optionalhook for function in caller.get_hookimpls()):
            close = difflib.get_close_matches(caller.name, known, 1, cutoff=0)
            raise PluginError(f"it implements the unknown hook {printable(caller.name, 80)}; did you mean {close[0]}?")
    return hooks


def _results_of(hook: pluggy.HookCaller, kind: type[_Result]) -> tuple[_Result, ...]:
    """Return what a hook that provides Architectures, FeatureExtractors or Kinds returned. Raises PluginError."""
    items: list[Any] = []
    for result in hook():
        if isinstance(result, (str, Mapping)) or not isinstance(result, Iterable):
            raise PluginError(f"{hook.name} must return {kind.__name__}s, not {printable(repr(result), 80)}")
        items.extend(itertools.islice(result, MAX_RESULTS + 1))
    if len(items) > MAX_RESULTS:
        raise PluginError(f"{hook.name} returned more than {MAX_RESULTS:,} {kind.__name__}s")
    names: set[str] = set()
    for item in items:
        if not isinstance(item, kind):
            raise PluginError(f"{hook.name} must return {kind.__name__}s, not {printable(repr(item), 80)}")
        if not (isinstance(name := getattr(item, "name", None), str) and ARCHITECTURE_NAME.fullmatch(name)):
            raise PluginError(f"{hook.name} returned a {kind.__name__} with the name {printable(repr(name), 80)}")
        if canonical_name(item.name) in names:
            raise PluginError(f"it registers the {_WORDS[kind]} {item.name!r} twice")
        names.add(canonical_name(item.name))
    return tuple(items)


def _check_attributes(kind: Kind) -> None:
    """Raise PluginError for a kind whose attributes cannot be used, which would show only when samples are written."""
    suffixes, noun = getattr(kind, "suffixes", None), kind.noun
    if not (isinstance(suffixes, Mapping) and suffixes):
        raise PluginError(
            f"the kind {kind.name!r} has no suffixes: they are a mapping such as {{'.mid': 'one a sample'}}"
        )
    for suffix, words in suffixes.items():
        if not (isinstance(suffix, str) and SUFFIX.fullmatch(suffix) and isinstance(words, str)):
            raise PluginError(
                f"the kind {kind.name!r} has the suffix {printable(repr(suffix), 80)}: "
                "a suffix is '.' and lower-case letters, or '/', with a few words"
            )
    if not (isinstance(noun, tuple) and len(noun) == 2 and all(isinstance(word, str) for word in noun)):
        raise PluginError(
            f"the kind {kind.name!r} has the noun {printable(repr(noun), 80)}, not a singular and a plural"
        )
    if kind.pipeline_tag is not None and not isinstance(kind.pipeline_tag, str):
        raise PluginError(f"the kind {kind.name!r} has the pipeline_tag {printable(repr(kind.pipeline_tag), 80)}")


def _registry_of(hooks: pluggy.PluginManager) -> Path | None:
    """Return the registry file that the plugin ships. Raises PluginError if there is no such file."""
    results = hooks.hook.zoo_registry()
    if not results:
        return None
    if not isinstance(results[0], (str, Path)):
        raise PluginError(f"zoo_registry must return a path, not {printable(repr(results[0]), 80)}")
    path = Path(results[0])
    if not path.is_file():
        raise PluginError(f"zoo_registry names {printable(path)}, which is not a file")
    return path
