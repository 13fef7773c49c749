"""The model card: README.md of a model folder, made from facts alone, with the Hub's metadata at its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from zoo_core.architecture import Architecture
from zoo_core.interfaces import Generator
from zoo_core.settings import Settings


def model_card(
    generator: Generator,
    architecture: Architecture,
    *,
    name: str,
    settings: Settings | Mapping[str, Any] | None = None,
    dataset: str | None = None,
    license: str | None = None,
    summary: str | None = None,
) -> str:
    """Markdown with YAML metadata; the same bytes for the same facts.

    Args:
        name: what the model is called; the card's title and how `zoo sample` is shown.
        settings: of the run that trained it. dataset: what it was trained on.
        license: an SPDX identifier in lower case, of the weights; left out where it is not known.
    """
    metadata: dict[str, Any] = {"library_name": "zoo-core"}
    if generator.kind == "image":
        metadata["pipeline_tag"] = "unconditional-image-generation"
    if license:
        metadata["license"] = license
    if dataset:
        metadata["datasets"] = [dataset]
    metadata["tags"] = ["zoo-core", architecture.name]
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    shape = " × ".join(map(str, generator.sample_shape))
    suffix = "png" if generator.kind == "image" else "npz"
    about = summary or architecture.summary
    parts = [
        f"---\n{head}---\n\n# {name}\n\n{about}.\n",
        f"Samples are {shape}; {parameters:,} parameters."
        + (f" Paper: <{architecture.paper}>." if architecture.paper else ""),
        f"## Sample\n\n```sh\nzoo sample {name} -n 64 -o samples.{suffix}\n```\n\n"
        f'```python\nimport zoo_core as zoo\n\nsamples = zoo.load("{name}").sample(64, seed=0)\n```',
        _table("Configuration", msgspec.to_builtins(generator.config)),
    ]
    if generator.kind == "image":
        parts.insert(1, "![Samples](samples.png)\n")
    if settings is not None:
        on = f" on `{dataset}`" if dataset else ""
        parts.append(_table("Training", msgspec.to_builtins(settings), f"Trained{on} by `zoo train` with:"))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _table(title: str, values: dict[str, Any], lead: str = "") -> str:
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in values.items())
    return f"## {title}\n\n" + (f"{lead}\n\n" if lead else "") + f"| | |\n|---|---|\n{rows}"


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
