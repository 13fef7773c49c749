"""Entries: the fields of a model in a registry, and what each may hold."""

from __future__ import annotations

import re
import sys
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
