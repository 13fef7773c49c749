"""The registry: which models there are, what is known of them, and where they lie. Imports no torch."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from typing_extensions import Self

from zoo_core.architecture import ARCHITECTURE_NAME, same_name
from zoo_core.errors import RegistryError, UnknownModelError, printable
from zoo_core.yamlfile import Document, read_yaml

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
REGISTRY_VARIABLE = "ZOO_REGISTRY"

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0)]


class _Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping of a registry file."""


class FileFacts(_Facts, frozen=True, kw_only=True):
    """A file's content: its sha256 in hexadecimal and its size in bytes."""

    sha256: Digest
    size: Count


class HubLocation(_Facts, frozen=True, kw_only=True):
    """A repository on the Hugging Face Hub at one commit, given whole."""

    repo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}\Z")]
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]


class Metric(_Facts, frozen=True, kw_only=True):
    """A measured figure, with what it takes to measure it again."""

    value: float
    error: float | None = None
    dataset: str | None = None
    split: str | None = None
    samples: Count | None = None
    seed: Count | None = None
    extractor: str | None = None
    resizing: str | None = None


class TrainingFacts(_Facts, frozen=True, kw_only=True):
    """How the weights were made; `configuration` is a file in the model's folder."""

    steps: Count
    seed: Count
    batch_size: Count
    configuration: str | None = None


class ModelEntry(_Facts, frozen=True, kw_only=True):
    """What the registry knows of one model.

    Attributes:
        bundled: the model's folder, relative to the registry file that ships it.
        files: what a load verifies, by name.
        source: the registry file that says where the model lies; never written in YAML.
    """

    name: str
    architecture: str
    plugin: str | None = None
    summary: str = ""
    license: str | None = None
    dataset: str | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    sample_shape: tuple[Annotated[int, Meta(ge=1)], ...] = ()
    parameters: Count | None = None
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
    for reserved in ("name", "source"):
        if reserved in fields:
            raise document.error("unknown field", (*keys, reserved))
    _check_nested(document, keys, fields, "files", FileFacts)
    _check_nested(document, keys, fields, "metrics", Metric)
    fields["name"] = name
    entry = document.convert(ModelEntry, keys)
    if not ARCHITECTURE_NAME.fullmatch(entry.architecture):
        raise document.error(f"is not of the form {ARCHITECTURE_NAME.pattern}", (*keys, "architecture"))
    for position, alias in enumerate(entry.aliases):
        if not MODEL_NAME.fullmatch(alias):
            raise document.error(f"is not of the form {MODEL_NAME.pattern}", (*keys, "aliases", position))
        if alias in taken:
            raise document.error(f"{alias} is the name of another model already", (*keys, "aliases", position))
        taken.add(alias)
    for file in entry.files:
        if not stays_inside(file):
            raise document.error("the file name leaves the model's folder", (*keys, "files", file))
    if entry.bundled is not None and not stays_inside(entry.bundled):
        raise document.error("the folder leaves the registry's own", (*keys, "bundled"))
    return msgspec.structs.replace(entry, source=document.file.absolute())


def _check_nested(
    document: Document, keys: tuple[str, ...], fields: dict[str, Any], field: str, kind: type[msgspec.Struct]
) -> None:
    """Convert each value of a mapping apart, since msgspec's errors do not tell under which key they are."""
    values = fields.get(field)
    for name in values if isinstance(values, dict) else ():
        document.convert(kind, (*keys, field, name))


def stays_inside(name: str) -> bool:
    """Whether a relative path in a registry stays in its folder on every system."""
    path = PurePosixPath(name)
    return (
        bool(name)
        and name == str(path)
        and not path.is_absolute()
        and ".." not in path.parts
        and name != "."
        and not re.search(r"[\\:\x00-\x1f\x7f-\x9f]", name)
    )


@functools.cache
def core_index() -> Registry:
    """The curated index: a checkout's own registry.yaml before the copy that a wheel carries."""
    package = Path(__file__).parent
    checkout = package.parent / "registry.yaml"
    in_checkout = checkout.is_file() and (package.parent / "pyproject.toml").is_file()
    return Registry.from_file(checkout if in_checkout else package / "registry.yaml")


def user_files() -> list[Path]:
    """The user's registries: those of ZOO_REGISTRY, then registry.yaml in the configuration folder if it is there."""
    files = []
    for item in os.environ.get(REGISTRY_VARIABLE, "").split(os.pathsep):
        if item.startswith("hf"):
            raise RegistryError(
                f"{REGISTRY_VARIABLE} names {printable(item)}: registries on the Hub are not part of this version"
            )
        if item:
            files.append(Path(item).expanduser())
    own = configuration_folder() / "registry.yaml"
    return [*files, own] if own.is_file() else files


def configuration_folder() -> Path:
    """Where the user's own settings lie on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", "~")).expanduser() / "zoo"
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/zoo").expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "zoo"


def assemble(core: Registry, plugin_files: Iterable[tuple[str, Path]], user_files: Iterable[Path]) -> Registry:
    """One registry of the core's index, the plugins' own (distribution and file) and the user's, in this order.

    A name belongs to the first that has it; only the plugin that the core's index names adds to the core's entry.

    Raises:
        RegistryError: for a user's file; a plugin's becomes a line in `problems` instead.
    """
    entries = {name: core[name] for name in core}
    owners: dict[str, str] = {}
    problems: list[str] = []
    quarrels: set[str] = set()
    for distribution, file in plugin_files:
        try:
            found = Registry.from_file(file)
        except RegistryError as error:
            problems.append(f"the registry of {distribution} is left out: {error}")
            continue
        for entry in found.values():
            problem = _add_of_plugin(entries, owners, quarrels, distribution, entry)
            if problem:
                problems.append(problem)
    for name in quarrels:
        del entries[name]
    for file in user_files:
        for entry in Registry.from_file(file).values():
            if entry.name in entries:
                problems.append(f"{file}: {entry.name} is left out, another registry has that name already")
            else:
                entries[entry.name] = entry
    return Registry(_without_stolen_aliases(entries, problems), problems)


def _add_of_plugin(
    entries: dict[str, ModelEntry], owners: dict[str, str], quarrels: set[str], distribution: str, entry: ModelEntry
) -> str | None:
    """Take in one entry of a plugin's registry; a line that says why, where that is refused."""
    name = entry.name
    if entry.plugin is not None and same_name(entry.plugin) != same_name(distribution):
        return f"{name} of {distribution} is left out: it names the plugin {printable(entry.plugin)}"
    known = entries.get(name)
    if known is None:
        entries[name] = msgspec.structs.replace(entry, plugin=distribution)
        owners[name] = distribution
        return None
    if name in owners:
        quarrels.add(name)
        return f"{name} is shipped by {owners[name]} and by {distribution}: neither is used"
    if same_name(known.plugin or "") != same_name(distribution):
        return f"{name} of {distribution} is left out: the name belongs to {known.plugin}"
    entries[name] = _merge(known, entry)
    return None


def _merge(core: ModelEntry, plugin: ModelEntry) -> ModelEntry:
    """The core's entry, completed by what its own plugin says of the same model."""
    values = {}
    for field in ModelEntry.__struct_fields__:
        ours, theirs = getattr(core, field), getattr(plugin, field)
        values[field] = ours if ours not in (None, "", (), {}) and field != "source" else theirs
    return ModelEntry(**values)


def _without_stolen_aliases(entries: dict[str, ModelEntry], problems: list[str]) -> list[ModelEntry]:
    """The entries, less aliases that another model has as its name or, earlier, as its alias."""
    taken = set(entries)
    kept = []
    for entry in entries.values():
        free = tuple(alias for alias in entry.aliases if alias not in taken)
        taken.update(free)
        if free != entry.aliases:
            lost = ", ".join(sorted(set(entry.aliases) - set(free)))
            problems.append(f"{entry.name} loses the alias {lost}: another model has that name")
            entry = msgspec.structs.replace(entry, aliases=free)
        kept.append(entry)
    return kept
