"""Entries: the fields of a model in a registry, what each may hold, and who knows it best.

A new field takes a declaration in ModelEntry and a row in FIELDS. Merging, editing, pushing and `zoo info` follow them;
docs/registry.md documents the field.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zoo_core.interfaces.names import ARCHITECTURE_NAME

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
Repository = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\Z")]
Name = Annotated[str, Meta(pattern=rf"^{MODEL_NAME.pattern}\Z")]
ArchitectureName = Annotated[str, Meta(pattern=rf"^{ARCHITECTURE_NAME.pattern}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Length = Annotated[int, Meta(ge=1, le=2**63 - 1)]
# The bounds of a double exclude NaN and the infinities, which JSON cannot express.
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class _Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping in a registry file."""


class FileFacts(_Facts, frozen=True, kw_only=True):
    """The content of a file: its sha256 in hexadecimal and its size in bytes."""

    sha256: Digest
    size: Count


class HubLocation(_Facts, frozen=True, kw_only=True):
    """A repository on the Hugging Face Hub at one commit, by its full hash."""

    repo: Repository
    revision: Commit


class Metric(_Facts, frozen=True, kw_only=True):
    """A measured figure, and the conditions under which it can be measured again.

    Attributes:
        value: the figure.
        error: standard deviation of the value between `repeats` draws of samples.
        dataset: name of the data set that was compared with.
        split: the split of the data set.
        fingerprint: sha256 of the data.
        samples: number of samples that were compared.
        seed: seed of the first draw of samples.
        repeats: number of draws.
        extractor: name of the feature extractor.
        version: version of the feature extractor.
        resizing: how samples were brought to the extractor's size.
        detail: anything else that determines the value.
        warning: what makes the value unreliable, such as too few samples.
        options: the options for sampling that differ from the model's own, by name.
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
    warning: str | None = None
    options: dict[str, Any] = {}


class TrainingFacts(_Facts, frozen=True, kw_only=True):
    """How the weights were made; `configuration` names the file in the model's folder that `zoo train` read."""

    steps: Count
    seed: Count
    batch_size: Length
    configuration: str | None = None


class ModelEntry(_Facts, frozen=True, kw_only=True):
    """The facts that a registry states about one model.

    Attributes:
        name: lower-case letters, digits, `.`, `_` and `-`.
        architecture: name of the architecture, which a plugin provides.
        plugin: the distribution that provides it.
        summary: one line.
        license: identifier of the licence of the weights, as SPDX or the Hub write it.
        dataset: name of the data set that the model was trained on.
        tags: words to search by.
        aliases: other names of the model.
        sample_shape: shape of one sample, e.g. (1, 32, 32).
        parameters: number of parameters of the generator.
        class_names: names of the labels of a conditional model, in their order.
        training: how the weights were made.
        metrics: measured figures, by the metric's name.
        files: sha256 and size of the model's files by name, which are verified when it is loaded.
        bundled: the model's folder, relative to the registry file that ships it.
        hub: where the model is on the Hub.
        source: the registry file that says where the model is; never written to a file.

    Example:
        >>> entry = ModelEntry(name="ring", architecture="ring", tags=("points",), sample_shape=(2,))
        >>> entry.tags, entry.license
        (('points',), None)
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
        """The absolute path of the bundled model's folder; None if the model is not bundled.

        Example:
            >>> print(entry.folder)
            None
        """
        if self.bundled is None or self.source is None:
            return None
        return self.source.parent.resolve() / self.bundled

    def to_dict(self) -> dict[str, Any]:
        """Return every fact in types that JSON can express, with the bundled folder's absolute path as `folder`.

        Example:
            >>> facts = entry.to_dict()
            >>> facts["name"], facts["sample_shape"], facts["folder"]
            ('ring', (2,), None)
        """
        values: dict[str, Any] = {field: getattr(self, field) for field in self.__struct_fields__ if field != "source"}
        values = {key: msgspec.to_builtins(value) for key, value in values.items()}
        return values | {"folder": str(self.folder) if self.folder else None}


@dataclass(frozen=True, kw_only=True)
class FieldRule:
    """Who knows a field of ModelEntry best, and how it is shown.

    Attributes:
        label: what `zoo info` calls it; None for a field that it shows in another way.
        plugin_first: the registry of the model's own plugin overrides the core's index, since it travels with the
            weights. By default the index overrides the plugin.
        measured: a push reads it from the model's folder, and replaces what the registry file states. By default a
            push leaves what the file states, for a person may have written it.
        inherited: a push takes it from the entry of a registry with the same weights: no file in the folder states it
            in full.
        in_file: it is written in a registry file as a field of the model.
    """

    label: str | None = None
    plugin_first: bool = False
    measured: bool = False
    inherited: bool = False
    in_file: bool = True


# In the order in which `zoo info` shows them.
FIELDS: dict[str, FieldRule] = {
    "name": FieldRule(label="name", in_file=False),  # the key of the model's mapping
    "aliases": FieldRule(label="aliases"),
    "summary": FieldRule(label="summary", inherited=True),
    "architecture": FieldRule(label="architecture", measured=True),
    "plugin": FieldRule(label="plugin", measured=True),
    "sample_shape": FieldRule(label="sample", plugin_first=True, measured=True),
    "parameters": FieldRule(label="parameters", plugin_first=True, measured=True),
    "class_names": FieldRule(label="classes", plugin_first=True),
    "license": FieldRule(label="license", inherited=True),
    "dataset": FieldRule(label="data set", inherited=True),
    "tags": FieldRule(label="tags", inherited=True),
    "training": FieldRule(plugin_first=True, inherited=True),
    "metrics": FieldRule(plugin_first=True, inherited=True),
    "files": FieldRule(plugin_first=True, measured=True),
    "bundled": FieldRule(),
    "hub": FieldRule(measured=True),
    "source": FieldRule(in_file=False),  # the file itself
}
