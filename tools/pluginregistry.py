"""Functions with which the tools write a plugin's registry.yaml and the cards of its models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import zoo_core as zoo
from zoo_core.files.digests import file_sha256
from zoo_core.hub.cards import model_index
from zoo_core.modelfolder import CARD, PREVIEW, TRAINING
from zoo_core.modelfolder.card import model_card
from zoo_core.plugins import manager
from zoo_core.registries import Metric, ModelEntry

HEADER = "# The bundled models of this plugin; written by the tools of zoo-core.\n"


def registry_of(entry: ModelEntry) -> Path:
    """The registry file of the plugin that provides the model."""
    file = manager().owner(entry.architecture).registry_file
    if file is None:
        raise SystemExit(f"the plugin of {entry.name} ships no registry")
    return file


def folder_of(entry: ModelEntry) -> Path:
    """The model's folder in the plugin's package, which need not exist yet."""
    return registry_of(entry).parent / "weights" / entry.name


def read_fields(entry: ModelEntry) -> dict[str, Any]:
    """The model's entry in the plugin's registry; empty if there is none yet."""
    content = yaml.safe_load(registry_of(entry).read_text(encoding="utf-8"))
    found: dict[str, Any] = content["models"].get(entry.name, {})
    return found


def write_fields(entry: ModelEntry, fields: dict[str, Any]) -> None:
    """Replace the model's fields by these, and add the digests of the files that are in its folder now."""
    file = registry_of(entry)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    paths = sorted(folder_of(entry).iterdir())
    files = {path.name: {"sha256": file_sha256(path), "size": path.stat().st_size} for path in paths}
    content["models"][entry.name] = fields | {"files": files}
    content["models"] = dict(sorted(content["models"].items()))
    text = HEADER + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def write_card(entry: ModelEntry, metrics: Mapping[str, Metric]) -> None:
    """Regenerate the model's card from its folder, the core's index and these figures."""
    folder = folder_of(entry)
    settings = yaml.safe_load((folder / TRAINING).read_text(encoding="utf-8"))
    settings.pop("model", None)  # the card contains the full configuration
    generator = zoo.load(folder, device="cpu")
    card = model_card(
        generator,
        manager().architecture(entry.architecture),
        name=entry.name,
        settings=settings,
        dataset=entry.dataset,
        license=entry.license,
        summary=entry.summary,
        tags=entry.tags,
        metrics=metrics,
        model_index=model_index(entry.name, metrics, entry.dataset, generator.kind),
        plugin=entry.plugin,
        preview=(folder / PREVIEW).is_file(),
    )
    (folder / CARD).write_bytes(card.encode())
