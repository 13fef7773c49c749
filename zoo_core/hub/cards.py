"""The README of a repository: what zoo-core makes anew at each push, and what a person wrote and keeps."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo_core.errors import HubError, ModelFolderError, printable
from zoo_core.modelfolder.card import END, TASK, named_extractor
from zoo_core.registries import Metric

_HEAD = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OURS = re.compile(re.escape("<!-- zoo-core: generated from here") + r".*?" + re.escape(END), re.DOTALL)
_JOINED = ("tags", "datasets")  # what a person added stays
_MAX_HEAD = 100_000
_KEPT = ("license",)  # what a person chose stays


def split(text: str) -> tuple[str, str]:
    """The YAML at the head of a card, and the text below it."""
    found = _HEAD.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def written_by_a_person(text: str) -> bool:
    """Whether a card has text beside the part that is generated."""
    return bool(_OURS.sub("", split(text)[1]).strip())


def merge(kept: str, fresh: str) -> str:
    """A card with its metadata and its generated part from `fresh`, and all else from `kept`.

    A card without a generated part stays without one: whoever took it out wanted it so.

    Raises:
        HubError: where the metadata of `kept` cannot be read, and so not be updated without loss.
    """
    head, body = split(kept)
    new_head, new_body = split(fresh)
    ours = _OURS.search(new_body)
    assert ours is not None
    body = _OURS.sub(lambda _: ours[0], body, count=1)
    return f"---\n{_merged(head, new_head)}---\n{body}"


def with_generated_part(text: str, fresh: str) -> str:
    """A card that gets the generated part at its end, where it has none."""
    if _OURS.search(text):
        return text
    ours = _OURS.search(fresh)
    assert ours is not None
    return f"{text.rstrip()}\n\n{ours[0]}\n"


def read_metadata(text: str, place: Path) -> dict[str, Any]:
    """The metadata of a card that lies at `place`. Raises ModelFolderError."""
    head = split(text)[0]
    problem = _problem(head)
    if problem is not None:
        raise ModelFolderError(place, f"has metadata that {problem}")
    metadata = yaml.safe_load(head) or {}
    if not isinstance(metadata, dict):
        raise ModelFolderError(place, "has metadata that is no mapping")
    return metadata


def _problem(head: str) -> str | None:
    """Why a card's metadata is not read: it may be a stranger's."""
    depth = 0
    if len(head) > _MAX_HEAD:
        return f"is longer than {_MAX_HEAD:,} characters"
    try:
        for event in yaml.parse(head, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > 32:  # a few lines of either fill the memory
                return "uses aliases or is nested too deeply"
    except yaml.YAMLError as error:
        return f"is no YAML: {printable(error, 120)}"
    return None


def _merged(head: str, new_head: str) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes, editor.width, editor.allow_unicode = True, 4096, True
    problem = _problem(head)
    try:
        old, new = editor.load(head) or {} if problem is None else {}, editor.load(new_head)
    except YAMLError as error:
        problem = f"is no YAML: {printable(error, 120)}"
    if problem is not None:
        raise HubError(f"the README has metadata that {problem}; mend it first")
    if not isinstance(old, dict):
        raise HubError("the README has metadata that is no mapping; mend it first")
    before = _plain(old)
    for key, value in new.items():
        if key in _JOINED and isinstance(old.get(key), list):
            old[key].extend(item for item in value if item not in old[key])
        elif (key not in _KEPT or not old.get(key)) and _plain(old.get(key)) != _plain(value):
            old[key] = value
    if _plain(old) == before:  # not a byte of what somebody wrote changes without need
        return head if head.endswith("\n") else f"{head}\n"
    text = io.StringIO()
    editor.dump(old, text)
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def model_index(name: str, metrics: Mapping[str, Metric], dataset: str | None) -> list[dict[str, Any]]:
    """Measured figures in the form that the Hub reads, each with what it takes to measure it again."""
    if not metrics:
        return []
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=metric.dataset or dataset or "unknown",
            dataset_name=metric.dataset or dataset or "unknown",
            dataset_split=metric.split,
            metric_type=kind,
            # Where the Hub shows it, nobody should take it for a figure in other features.
            metric_name=f"{kind} ({named_extractor(metric)})" if metric.extractor else kind,
            metric_value=metric.value,
            metric_args={
                key: value
                for key in ("samples", "seed", "repeats", "extractor", "version", "resizing", "detail", "error")
                if (value := getattr(metric, key)) is not None
            },
        )
        for kind, metric in metrics.items()
    ]
    return eval_results_to_model_index(name, results)


def figures_of(text: str, place: Path) -> dict[str, float]:
    """The values that a card's model-index states, by metric. Raises ModelFolderError for one that is none."""
    try:
        results = [result for index in read_metadata(text, place).get("model-index", []) for result in index["results"]]
        return {metric["type"]: float(metric["value"]) for result in results for metric in result["metrics"]}
    except (LookupError, TypeError, ValueError) as error:
        raise ModelFolderError(place, f"has a model-index that is none: {printable(error, 120)}") from error
