"""Registry: a mapping of names to models, read from a registry.yaml. Imports no torch."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from zoo_core.errors import UnknownModelError, printable, unseen
from zoo_core.files.paths import stays_inside
from zoo_core.files.strict_yaml import Document, read_yaml
from zoo_core.interfaces.names import canonical_name
from zoo_core.registries.entries import FIELDS, MODEL_NAME, ModelEntry


class Registry(Mapping[str, ModelEntry]):
    """A mapping of names to models. Look-ups take aliases too; iteration yields names only, in alphabetical order.

    Args:
        entries: the models.
        problems: what was left out when registries were merged, one line each.

    Attributes:
        problems: as given.

    Raises:
        UnknownModelError: by a look-up of a name that is not in it; suggests close names.

    Example:
        >>> ring = ModelEntry(name="ring", architecture="ring", aliases=("circle",), tags=("points",))
        >>> models = Registry([ring, ModelEntry(name="digits", architecture="vae", dataset="mnist")])
        >>> list(models), models["circle"].name
        (['digits', 'ring'], 'ring')
        >>> models["rng"]
        Traceback (most recent call last):
        zoo_core.errors.UnknownModelError: there is no model named 'rng'; did you mean ring?
    """

    def __init__(self, entries: Iterable[ModelEntry], problems: Iterable[str] = ()) -> None:
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        self._aliases = {alias: entry.name for entry in self._entries.values() for alias in entry.aliases}
        self.problems = tuple(problems)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a registry.yaml.

        Raises:
            RegistryError: if it cannot be read or is not a valid registry; names file, line and field.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     file = Path(folder) / "registry.yaml"
            ...     _ = file.write_text("version: 1\\nmodels:\\n  ring: {architecture: ring}")
            ...     list(Registry.from_file(file))
            ['ring']
        """
        return cls(_read_entries(read_yaml(path)))

    def __getitem__(self, name: str) -> ModelEntry:
        entry = self._entries.get(self._aliases.get(name, name))
        if entry is None:
            known = [*self._entries, *self._aliases]
            raise UnknownModelError(str(name), difflib.get_close_matches(str(name).lower(), known, 3, 0.55))
        return entry

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
        """Return the models that match every condition, in alphabetical order.

        Args:
            pattern: a glob that the name or an alias matches; upper and lower case differ.
            architecture: name of the architecture; `-` and `_` compare equal.
            dataset: name of the data set.
            tag: one of the tags.
            license: identifier of the licence.
            plugin: the distribution that provides the architecture; `-`, `_` and `.` compare equal.

        Example:
            >>> [entry.name for entry in models.find("*i*", dataset="mnist")]
            ['digits']
        """
        return [
            entry
            for entry in self._entries.values()
            if any(fnmatch.fnmatchcase(name, pattern) for name in (entry.name, *entry.aliases))
            and (architecture is None or canonical_name(entry.architecture) == canonical_name(architecture))
            and (plugin is None or canonical_name(entry.plugin or "") == canonical_name(plugin))
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
    for field, rule in FIELDS.items():
        if field in fields and not rule.in_file:
            raise document.error(f"Object contains unknown field `{field}`", (*keys, field))
    fields["name"] = name
    entry = document.convert(ModelEntry, keys)
    for position, alias in enumerate(entry.aliases):
        if alias in taken:
            raise document.error(f"{alias} is already the name of a model", (*keys, "aliases", position))
        taken.add(alias)
    _check_paths(document, keys, entry)
    return msgspec.structs.replace(entry, source=document.file.absolute())


def _check_paths(document: Document, keys: tuple[str, ...], entry: ModelEntry) -> None:
    for file in entry.files:
        if not stays_inside(file):
            raise document.error("the file name leaves the model's folder", (*keys, "files", file))
    if entry.bundled is not None and not stays_inside(entry.bundled):
        raise document.error("the path leaves the registry's own folder", (*keys, "bundled"))
    for position, name in enumerate(entry.class_names):
        if (char := unseen(name)) is not None:
            problem = f"the class {printable(name, 80)!r} has {char} in its name, which shows nothing"
            raise document.error(problem, (*keys, "class_names", position))
    configuration = entry.training.configuration if entry.training else None
    if configuration is not None and not stays_inside(configuration):
        raise document.error("the file name leaves the model's folder", (*keys, "training", "configuration"))
