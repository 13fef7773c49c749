"""The registry: which models there are, what is known of them, and where they lie. Imports no torch."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from typing_extensions import Self

from zoo_core.errors import RegistryError, UnknownModelError, printable
from zoo_core.files.strict_yaml import Document, read_yaml
from zoo_core.interfaces.names import ARCHITECTURE_NAME, same_name
from zoo_core.userregistries import REGISTRY_VARIABLE as REGISTRY_VARIABLE

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
Repository = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\Z")]
Name = Annotated[str, Meta(pattern=rf"^{MODEL_NAME.pattern}\Z")]
ArchitectureName = Annotated[str, Meta(pattern=rf"^{ARCHITECTURE_NAME.pattern}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Length = Annotated[int, Meta(ge=1, le=2**63 - 1)]
# The bounds of a double, so that neither NaN nor an infinity passes: JSON has no word for them.
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class _Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping of a registry file."""


class FileFacts(_Facts, frozen=True, kw_only=True):
    """A file's content: its sha256 in hexadecimal and its size in bytes."""

    sha256: Digest
    size: Count


class HubLocation(_Facts, frozen=True, kw_only=True):
    """A repository on the Hugging Face Hub at one commit, given whole."""

    repo: Repository
    revision: Commit


class Metric(_Facts, frozen=True, kw_only=True):
    """A measured figure, with what it takes to measure it again.

    Attributes:
        error: of the value, as one standard deviation between `repeats` draws of samples.
        fingerprint: sha256 of the data.
        samples: how many were compared.
        split: of the data set.
        extractor, version: of the features. resizing: how pictures came to the extractor's size.
        detail: what else decides the value.
    """

    value: Finite
    error: Finite | None = None
    dataset: str | None = None
    split: str | None = None
    fingerprint: Digest | None = None
    samples: Count | None = None
    seed: Count | None = None
    repeats: Length | None = None
    extractor: str | None = None
    version: Length | None = None
    resizing: str | None = None
    detail: str | None = None


class TrainingFacts(_Facts, frozen=True, kw_only=True):
    """How the weights were made; `configuration` names the file in the model's folder that `zoo train` read."""

    steps: Count
    seed: Count
    batch_size: Length
    configuration: str | None = None


class ModelEntry(_Facts, frozen=True, kw_only=True):
    """What the registry knows of one model.

    Attributes:
        class_names: of the labels of a conditional model, in their order.
        bundled: the model's folder, relative to the registry file that ships it.
        files: what a load verifies, by name.
        source: the registry file that says where the model lies; never written in YAML.
    """

    name: Name
    architecture: ArchitectureName
    plugin: str | None = None
    summary: str = ""
    license: str | None = None
    dataset: str | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[Name, ...] = ()
    sample_shape: tuple[Length, ...] = ()
    parameters: Count | None = None
    class_names: tuple[str, ...] = ()
    training: TrainingFacts | None = None
    metrics: dict[str, Metric] = {}
    files: dict[str, FileFacts] = {}
    bundled: str | None = None
    hub: HubLocation | None = None
    source: Path | None = None

    @property
    def folder(self) -> Path | None:
        """Where the bundled model lies, or None where it is not bundled."""
        if self.bundled is None or self.source is None:
            return None
        return self.source.parent.resolve() / self.bundled

    def to_dict(self) -> dict[str, Any]:
        """Every fact as JSON's types, with the bundled folder's absolute path."""
        values: dict[str, Any] = {field: getattr(self, field) for field in self.__struct_fields__ if field != "source"}
        values = {key: msgspec.to_builtins(value) for key, value in values.items()}
        return values | {"folder": str(self.folder) if self.folder else None}


class Registry(Mapping[str, ModelEntry]):
    """Models by name; look-ups also take aliases, iteration gives names alone, in order.

    Attributes:
        problems: what was left out while registries were put together, a line each.
    """

    def __init__(self, entries: Iterable[ModelEntry], problems: Iterable[str] = ()) -> None:
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        self._aliases = {alias: entry.name for entry in self._entries.values() for alias in entry.aliases}
        self.problems = tuple(problems)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a registry.yaml. Raises RegistryError, which names file, line and field."""
        return cls(_read_entries(read_yaml(path)))

    def __getitem__(self, name: str) -> ModelEntry:
        found = self._entries.get(self._aliases.get(name, name))
        if found is None:
            known = [*self._entries, *self._aliases]
            raise UnknownModelError(str(name), difflib.get_close_matches(str(name).lower(), known, 3, 0.55))
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} models>"

    def find(
        self,
        pattern: str = "*",
        *,
        architecture: str | None = None,
        dataset: str | None = None,
        tag: str | None = None,
        license: str | None = None,
        plugin: str | None = None,
    ) -> list[ModelEntry]:
        """The entries whose name or alias fits the glob and whose fields are these, by name."""
        return [
            entry
            for entry in self._entries.values()
            if any(fnmatch.fnmatchcase(name, pattern) for name in (entry.name, *entry.aliases))
            and (architecture is None or same_name(entry.architecture) == same_name(architecture))
            and (plugin is None or same_name(entry.plugin or "") == same_name(plugin))
            and (dataset is None or entry.dataset == dataset)
            and (tag is None or tag in entry.tags)
            and (license is None or entry.license == license)
        ]


def _read_entries(document: Document) -> list[ModelEntry]:
    content = document.content
    if not isinstance(content, dict):
        raise document.error("a registry is a mapping with `version` and `models`")
    for key in content:
        if key not in ("version", "models"):
            raise document.error("unknown field; a registry has `version` and `models`", (key,))
    if content.get("version") != "1":
        raise document.error("must be 1, the version of the format", ("version",))
    models = content.get("models") or {}
    if not isinstance(models, dict):
        raise document.error("must be a mapping of names to models", ("models",))
    taken: set[str] = set(models)
    return [_read_entry(document, name, taken) for name in models]


def _read_entry(document: Document, name: str, taken: set[str]) -> ModelEntry:
    keys = ("models", name)
    if not MODEL_NAME.fullmatch(name):
        raise document.error(f"the name is not of the form {MODEL_NAME.pattern}", keys)
    fields = document.content["models"][name]
    if not isinstance(fields, dict):
        raise document.error("must be a mapping of fields", keys)
    for reserved in ("name", "source"):  # fields of the entry, but not of the file
        if reserved in fields:
            raise document.error(f"Object contains unknown field `{reserved}`", (*keys, reserved))
    fields["name"] = name
    entry = document.convert(ModelEntry, keys)
    for position, alias in enumerate(entry.aliases):
        if alias in taken:
            raise document.error(f"{alias} names a model already", (*keys, "aliases", position))
        taken.add(alias)
    _check_paths(document, keys, entry)
    return msgspec.structs.replace(entry, source=document.file.absolute())


def _check_paths(document: Document, keys: tuple[str, ...], entry: ModelEntry) -> None:
    for file in entry.files:
        if not stays_inside(file):
            raise document.error("the file name leaves the model's folder", (*keys, "files", file))
    if entry.bundled is not None and not stays_inside(entry.bundled):
        raise document.error("the folder leaves the registry's own", (*keys, "bundled"))
    configuration = entry.training.configuration if entry.training else None
    if configuration is not None and not stays_inside(configuration):
        raise document.error("the file name leaves the model's folder", (*keys, "training", "configuration"))


def stays_inside(name: str) -> bool:
    """Whether a relative path in a registry stays in its folder on every system, and is shown as what it is."""
    path = PurePosixPath(name)
    return (
        name not in ("", ".")
        and name == str(path)
        and name == printable(name)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & {"\\", ":"}
    )


@functools.cache
def core_index() -> Registry:
    """The curated index: a checkout's own registry.yaml before the copy that a wheel carries."""
    package = Path(__file__).parent
    checkout = package.parent / "registry.yaml"
    in_checkout = checkout.is_file() and _is_checkout(package.parent)
    return Registry.from_file(checkout if in_checkout else package / "registry.yaml")


def _is_checkout(folder: Path) -> bool:
    """Whether this is zoo-core's source, and not somebody's project into which zoo-core was installed."""
    project = folder / "pyproject.toml"
    return project.is_file() and 'name = "zoo-core"' in project.read_text(encoding="utf-8", errors="replace")


def user_files() -> list[Path]:
    """The user's registries: those of ZOO_REGISTRY, registry.yaml in the configuration folder, and those added.

    Raises:
        RegistryError: where one lies on the Hub and was never fetched.
    """
    from zoo_core import userregistries

    return userregistries.read_files(configuration_folder())


def configuration_folder() -> Path:
    """Where the user's own settings lie on this system."""
    if sys.platform == "win32":
        return _expanded(os.environ.get("APPDATA") or "~/AppData/Roaming") / "zoo"
    if sys.platform == "darwin":
        return _expanded("~/Library/Application Support/zoo")
    return _expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "zoo"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user without a home, as in some containers: no such file lies there
        return Path(path)


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
