"""The model card: README.md of a model folder, made from facts alone, with the Hub's metadata at its head.

Figures are entered into a card once they are measured, in its text and, for the Hub, in the `model-index` of its head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from zoo_core.architecture import Architecture
from zoo_core.interfaces import Generator
from zoo_core.registries import Metric
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


def with_figures(card: str, name: str, metrics: Mapping[str, Metric]) -> str:
    """The card with these figures in place of those that it has."""
    head, body = _split(card)
    head.pop("model-index", None)
    head |= {"metrics": list(metrics), "model-index": [{"name": name, "results": _results(metrics)}]}
    if not metrics:
        del head["metrics"], head["model-index"]
    parts = [part for part in body.split("\n## ") if not part.startswith("Quality\n")]
    if metrics:
        position = next((i for i, part in enumerate(parts) if part.startswith("Configuration\n")), len(parts))
        parts.insert(position, _quality(metrics))
    text = "\n## ".join(part.rstrip("\n") + "\n" for part in parts)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{text}"


def figures_of(card: str) -> dict[str, float]:
    """The values that a card states, by metric. Raises ValueError, or yaml's, for a text that is no card."""
    head, _ = _split(card)
    results = [result for index in head.get("model-index", []) for result in index["results"]]
    return {metric["type"]: float(metric["value"]) for result in results for metric in result["metrics"]}


def _split(card: str) -> tuple[dict[str, Any], str]:
    """The metadata of a card and its text."""
    opening, head, body = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    if opening or not isinstance(metadata, dict):
        raise ValueError("it has no metadata at its head")
    return metadata, body


def _results(metrics: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """As the Hub's model-index has them: by data set and split."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, metric in metrics.items():
        key = (metric.dataset or "unknown", metric.split or "unknown")
        # Where the Hub shows it, nobody should take it for a figure in other features.
        features = f"{name} ({_extractor(metric)})" if metric.extractor else name
        grouped.setdefault(key, []).append({"type": name, "value": metric.value, "name": features})
    return [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"name": dataset, "type": dataset, "split": split},
            "metrics": values,
        }
        for (dataset, split), values in grouped.items()
    ]


def _extractor(metric: Metric) -> str:
    return f"{metric.extractor} version {metric.version}" if metric.extractor else ""


def _quality(metrics: Mapping[str, Metric]) -> str:
    rows = []
    for name, metric in metrics.items():
        value = f"{metric.value:g}" + (f" ± {metric.error:.2g}" if metric.error is not None else "")
        data = ", ".join(part for part in (metric.dataset, metric.split) if part)
        samples = f"{metric.samples:,}" if metric.samples is not None else ""
        seed = str(metric.seed) if metric.seed is not None else ""
        rows.append(
            "| " + " | ".join((name, value, data, samples, seed, _extractor(metric), metric.detail or "")) + " |"
        )
    table = "\n".join(rows)
    return (
        "Quality\n\nMeasured by `zoo eval`; ± is the standard deviation between draws of samples. Figures of other "
        "extractors\nor numbers of samples cannot be compared.\n\n"
        f"| metric | value | data | samples | seed | extractor | |\n|---|---|---|---|---|---|---|\n{table}\n"
    )
