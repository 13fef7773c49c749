"""The model card: README.md of a model folder, generated from facts, with the Hub's metadata at its head.

The generated part is enclosed by two comments. A person's own text belongs before the first or after the second:
`zoo push` replaces the part between them and leaves the rest alone. The text of the card, its markers and the keys of
its metadata are defined here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from zoo_core.interfaces.option_facts import described, in_words
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.output import default_output
from zoo_core.sampling.classes import numbered

if TYPE_CHECKING:
    from zoo_core.interfaces import Architecture, Generator, Kind, Settings
    from zoo_core.registries import Metric

_MARKER = "<!-- zoo-core: generated from here"  # what every version's first comment begins with
BEGIN = f"{_MARKER}; zoo push replaces it, so write above this line or below the last one -->"
END = "<!-- zoo-core: generated to here -->"
LIBRARY = "zoo-core"  # by which the Hub lists models of this zoo

# Keys of the metadata that other modules read or merge.
LICENSE = "license"
DATASETS = "datasets"
TAGS = "tags"
REQUIREMENTS = "zoo"  # the architecture, and the plugin that provides it
MODEL_INDEX = "model-index"
BASE_MODEL = "base_model"


def generated_parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each generated part of a card begins and ends, its comments included.

    Takes time in proportion to the text, whatever markers it has: a card may come from a stranger.

    Example:
        >>> text = f"Mine. {BEGIN} generated {END} Mine too. {BEGIN} without an end"
        >>> [text[begin:end] == f"{BEGIN} generated {END}" for begin, end in generated_parts(text)]
        [True]
    """
    end = 0
    while (begin := text.find(_MARKER, end)) >= 0:
        closing = text.find(END, begin)
        if closing < 0:
            return
        end = closing + len(END)
        yield begin, end


def model_card(
    generator: Generator,
    architecture: Architecture,
    *,
    name: str,
    settings: Settings | Mapping[str, Any] | None = None,
    dataset: str | None = None,
    license: str | None = None,
    summary: str | None = None,
    tags: Sequence[str] = (),
    metrics: Mapping[str, Metric] | None = None,
    model_index: Sequence[Mapping[str, Any]] | None = None,
    plugin: str | None = None,
    preview: bool = True,
    parent: Mapping[str, Any] | None = None,
) -> str:
    """Return a model card: Markdown with YAML metadata, the same bytes for the same facts.

    Args:
        generator: the model.
        architecture: its architecture.
        name: the model's name as `zoo sample` takes it: a registry name, or hf://user/repo.
        settings: the settings of the run that trained it.
        dataset: the data that it was trained on.
        license: the licence of the weights, an SPDX identifier in lower case; left out where it is not known.
        summary: one sentence about the model; the architecture's by default.
        tags: tags for the metadata, beside the library's and the architecture's.
        metrics: measured figures.
        model_index: the same figures in the Hub's form, for the metadata.
        plugin: the distribution that provides the architecture.
        preview: whether the folder has a samples.png to show.
        parent: the model that its training started from, as run.json states it.
    """
    kind = kind_named(generator.kind)
    metadata: dict[str, Any] = {"library_name": LIBRARY}
    if kind.pipeline_tag is not None:
        metadata["pipeline_tag"] = kind.pipeline_tag
    if license:
        metadata[LICENSE] = license
    if dataset:
        metadata[DATASETS] = [dataset]
    if parent and parent.get("repository"):
        metadata |= {BASE_MODEL: parent["repository"], f"{BASE_MODEL}_relation": "finetune"}
    of_kind = [] if kind.pipeline_tag is not None else [kind.name]  # what no task of the Hub says
    metadata[TAGS] = list(dict.fromkeys([LIBRARY, architecture.name, *of_kind, *tags]))
    metadata[REQUIREMENTS] = {"architecture": architecture.name} | ({"plugin": plugin} if plugin else {})
    if metrics:
        metadata["metrics"] = list(metrics)
    if model_index:
        metadata[MODEL_INDEX] = list(model_index)
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    title = name.rpartition("/")[2].partition("@")[0] if name.startswith("hf://") else name
    about = (summary or architecture.summary).rstrip(".")
    parts = [f"# {title}\n\n{about}."]
    if preview:
        parts.append("![Samples](samples.png)")
    parts += [
        _facts(generator, architecture, plugin),
        _how_to_sample(name, generator, kind),
        _table("Configuration", msgspec.to_builtins(generator.config)),
        _options(generator),
        _training(settings, dataset, parent),
        _figures(metrics or {}),
        _limits(generator, dataset),
        f"## Licence\n\n{f'The weights are under `{license}`.' if license else 'The licence is not stated.'}",
        _citation(architecture),
    ]
    body = "\n\n".join(part for part in parts if part)
    return f"---\n{head}---\n\n{BEGIN}\n\n{body}\n\n{END}\n"


def _facts(generator: Generator, architecture: Architecture, plugin: str | None) -> str:
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    shape = " × ".join(map(str, generator.sample_shape))
    needs = f" Needs the plugin `{plugin}`." if plugin else ""
    paper = f" Paper: <{architecture.paper}>." if architecture.paper else ""
    return f"Samples are {shape}; {parameters:,} parameters; architecture `{architecture.name}`.{needs}{paper}"


def _how_to_sample(name: str, generator: Generator, kind: Kind) -> str:
    names = generator.class_names
    classes = f"\n\nClasses, by number or name, for `--label` and `labels=`: {_cell(numbered(names))}." if names else ""
    return (
        f"## Sample\n\n```sh\nzoo sample {name} -n 64 -o {default_output(kind, 'samples')}\n```\n\n"
        f'```python\nimport zoo_core as zoo\n\nsamples = zoo.load("{name}").sample(64, seed=0)\n```{classes}'
    )


def _options(generator: Generator) -> str:
    if not generator.has_options():
        return ""
    rows = "\n".join(
        f"| {option.name} | {_cell(in_words({option.name: option.value}).partition(' ')[2])} | "
        f"{_cell(option.bounds) or '-'} | {_cell(option.about) or '-'} |"
        for option in described(type(generator.options), msgspec.to_builtins(generator.options))
    )
    return (
        "## Options\n\nChoices for sampling, for `--set NAME=VALUE` and `options={…}`.\n\n"
        f"| option | by default | choose | |\n|---|---|---|---|\n{rows}"
    )


def _training(
    settings: Settings | Mapping[str, Any] | None, dataset: str | None, parent: Mapping[str, Any] | None
) -> str:
    if settings is None and parent is None:
        return f"## Training\n\nTrained on `{dataset}`." if dataset else ""
    on = (f" from {_parent(parent)}" if parent else "") + (f" on `{dataset}`" if dataset else "")
    if settings is None:
        return f"## Training\n\nTrained{on}."
    return _table("Training", msgspec.to_builtins(settings), f"Trained{on} by `zoo train` with:")


def _parent(parent: Mapping[str, Any]) -> str:
    """The model that training started from, so that it can be told from another of its name."""
    commit = f"commit {parent['revision']}, " if parent.get("revision") else ""
    parts = " where they fit" if parent.get("matching") else ""
    return f"the weights of `{_cell(parent['name'])}` ({commit}sha256 {parent['sha256']}){parts}"


def _figures(metrics: Mapping[str, Metric]) -> str:
    if not metrics:
        return "## Figures\n\nNone were measured."
    rows = "\n".join(_figure(name, metric) for name, metric in metrics.items())
    return (
        "## Figures\n\nMeasured by `zoo eval`; ± is one standard deviation between draws of samples. Comparable only "
        "with figures that were measured in the same way.\n\n"
        "| metric | value | against | samples | seed | extractor | how |\n|---|---|---|---|---|---|---|\n" + rows
    )


def _figure(name: str, metric: Metric) -> str:
    options = f"options {in_words(metric.options)}" if metric.options else ""
    cells = (
        name,
        f"{metric.value:g}" + (f" ± {metric.error:.2g}" if metric.error is not None else ""),
        " ".join(filter(None, (metric.dataset, metric.split))),
        f"{metric.samples:,}" if metric.samples is not None else "",
        "" if metric.seed is None else metric.seed,
        named_extractor(metric),
        "; ".join(
            filter(None, (metric.resizing, metric.detail, options, metric.warning and f"warning: {metric.warning}"))
        ),
    )
    return f"| {' | '.join(_cell(cell) or '-' for cell in cells)} |"


def named_extractor(metric: Metric) -> str:
    """Return the extractor of a figure with its version; an empty text for a figure that needs none."""
    version = f" version {metric.version}" if metric.version is not None else ""
    return f"{metric.extractor}{version}" if metric.extractor else ""


def _limits(generator: Generator, dataset: str | None) -> str:
    data = f"`{dataset}`" if dataset else "its training data"
    size = " × ".join(map(str, generator.sample_shape))
    return (
        "## Limits and intended use\n\n"
        f"For research, teaching and comparison. It draws samples of {size} that resemble {data}, with whatever that "
        "data leaves out or overstates, and may reproduce parts of it. It follows no description, and a sample is no "
        "record of anything real."
    )


def _citation(architecture: Architecture) -> str:
    if not architecture.paper:
        return ""
    return f"## Citation\n\nThe architecture: {architecture.summary.rstrip('.')}. <{architecture.paper}>"


def _table(title: str, values: dict[str, Any], lead: str = "") -> str:
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in values.items())
    return f"## {title}\n\n" + (f"{lead}\n\n" if lead else "") + f"| | |\n|---|---|\n{rows}"


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
