"""The README of a repository: the part that is generated at each push, and what a person wrote."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_core.errors import HubError, ModelFolderError, RegistryError, printable
from zoo_core.files.strict_yaml import parse_yaml
from zoo_core.kinds.by_name import kind_named
from zoo_core.modelfolder.card import DATASETS, LICENSE, MODEL_INDEX, TAGS, generated_parts, named_extractor
from zoo_core.registries import Metric

_HEAD = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_JOINED = (TAGS, DATASETS)  # lists to which a person may add
_KEPT = (LICENSE,)  # what a person chose stays
_NO_TASK = "other"  # what the Hub calls a task that it does not list
_MAX_HEAD = 100_000  # characters of metadata


def split(text: str) -> tuple[str, str]:
    """Return the YAML at the head of a card, and the text below it.

    Example:
        >>> split("---\\nlicense: mit\\n---\\n# Digits\\n")
        ('license: mit', '# Digits\\n')
    """
    head = _HEAD.match(text)
    return (head[1], text[head.end() :]) if head else ("", text)


def written_by_a_person(text: str) -> bool:
    """Whether a card has text besides the generated part."""
    body, end = split(text)[1], 0
    for begin, following in generated_parts(body):
        if body[end:begin].strip():
            return True
        end = following
    return bool(body[end:].strip())


def merge(kept: str, fresh: str) -> str:
    """Return a card with the metadata and the generated part of `fresh`, and everything else of `kept`.

    A card without a generated part stays without one: whoever removed it meant to.

    Raises:
        HubError: where the metadata of `kept` cannot be read, and so cannot be updated without loss.
    """
    head, body = split(kept)
    new_head, new_body = split(fresh)
    for begin, end in generated_parts(body):
        body = f"{body[:begin]}{_generated_part(new_body)}{body[end:]}"
        break
    return f"---\n{_merged(head, new_head)}---\n{body}"


def with_generated_part(text: str, fresh: str) -> str:
    """Return a card with the generated part of `fresh` at its end, unless it has one already."""
    if any(generated_parts(text)):
        return text
    return f"{text.rstrip()}\n\n{_generated_part(fresh)}\n"


def _generated_part(fresh: str) -> str:
    begin, end = next(generated_parts(fresh))
    return fresh[begin:end]


def read_metadata(text: str, place: Path) -> dict[str, Any]:
    """Return the metadata of the card at `place`, every value as text. Raises ModelFolderError."""
    metadata, problem = _read_strictly(split(text)[0])
    if problem is not None:
        raise ModelFolderError(place, f"has metadata that cannot be read: {problem}; correct or remove it")
    return metadata


def _read_strictly(head: str) -> tuple[dict[str, Any], str | None]:
    """Return the metadata of a card that may come from a stranger, or what is wrong with it."""
    if len(head) > _MAX_HEAD:
        return {}, f"it is longer than {_MAX_HEAD:,} characters"
    try:
        metadata = parse_yaml(head, Path("README.md")).content
    except RegistryError as error:
        where = f"line {error.line} of it: " if error.line is not None else ""
        return {}, f"{where}{error.problem}"
    if metadata is not None and not isinstance(metadata, dict):
        return {}, "it is not a mapping"
    return metadata or {}, None


def _merged(head: str, new_head: str) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes, editor.width, editor.allow_unicode = True, 4096, True
    _, problem = _read_strictly(head)
    try:
        old, new = editor.load(head) or {} if problem is None else {}, editor.load(new_head)
    except (YAMLError, ValueError, OverflowError) as error:  # the latter two of numbers and dates that are none
        problem = f"it is not YAML: {printable(error, 120)}"
    if problem is not None:
        raise HubError(f"the README has metadata that cannot be read: {problem}; correct it first")
    before = _plain(old)
    for key, value in new.items():
        if key in _JOINED and isinstance(old.get(key), list):
            old[key].extend(item for item in value if item not in old[key])
        elif (key not in _KEPT or not old.get(key)) and _plain(old.get(key)) != _plain(value):
            old[key] = value
    if _plain(old) == before:  # not a byte of what a person wrote changes without need
        return head if head.endswith("\n") else f"{head}\n"
    text = io.StringIO()
    editor.dump(old, text)
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def model_index(
    name: str, metrics: Mapping[str, Metric], dataset: str | None, kind: str = "image"
) -> list[dict[str, Any]]:
    """Return measured figures in the form that the Hub reads, each with what it takes to measure it again.

    Args:
        name: of the model.
        metrics: the figures, by the metric's name.
        dataset: what the model was trained on, for figures that name no data.
        kind: the name of the kind of the samples, which decides the task.
    """
    if not metrics:
        return []
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    task = kind_named(kind).pipeline_tag or _NO_TASK
    results = [
        EvalResult(
            task_type=task,
            dataset_type=metric.dataset or dataset or "unknown",
            dataset_name=metric.dataset or dataset or "unknown",
            dataset_split=metric.split,
            metric_type=metric_name,
            # The Hub shows the name: a figure must not be taken for one in the features of another extractor.
            metric_name=f"{metric_name} ({named_extractor(metric)})" if metric.extractor else metric_name,
            metric_value=metric.value,
            metric_args={
                key: value
                for key in (
                    "samples",
                    "seed",
                    "repeats",
                    "extractor",
                    "version",
                    "resizing",
                    "detail",
                    "error",
                    "warning",
                    "options",
                )
                if (value := getattr(metric, key)) not in (None, {})
            },
        )
        for metric_name, metric in metrics.items()
    ]
    return eval_results_to_model_index(name, results)


def figures_of(text: str, place: Path) -> dict[str, float]:
    """Return the values in a card's model-index, by metric. Raises ModelFolderError where it is not a model-index."""
    try:
        metadata = read_metadata(text, place)
        results = [result for index in metadata.get(MODEL_INDEX, []) for result in index["results"]]
        return {metric["type"]: float(metric["value"]) for result in results for metric in result["metrics"]}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"has a model-index that is not in the Hub's form: {printable(error, 120)}; correct or remove it"
        raise ModelFolderError(place, problem) from error


def stated_facts(text: str, place: Path) -> dict[str, str]:
    """Return the licence and the data set that a card states, as fields of an entry. Raises ModelFolderError."""
    metadata = read_metadata(text, place)
    data = metadata.get(DATASETS)
    facts = {"license": metadata.get(LICENSE), "dataset": data[0] if isinstance(data, list) and data else data}
    return {field: value for field, value in facts.items() if isinstance(value, str)}
