"""Registry: models by name, read from a registry.yaml. Imports no torch."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from zoo_core.errors import UnknownModelError
from zoo_core.files.paths import stays_inside
from zoo_core.files.strict_yaml import Document, read_yaml
from zoo_core.interfaces.names import same_name
from zoo_core.registries.entries import MODEL_NAME, ModelEntry


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
