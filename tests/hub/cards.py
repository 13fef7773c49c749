"""What the Hub reads out of a README.md: its metadata, the faults in them, and the tags that models are found by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml

FRONT_MATTER = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---\s*(?:\r?\n|\Z)", re.DOTALL)
LICENSES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 afl-3.0 artistic-2.0 bsl-1.0
bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0
cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-4.0 cdla-permissive-2.0
ecl-2.0 epl-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 mpl-2.0 ms-pl ncsa odbl odc-by
ofl-1.1 osl-3.0 pddl postgresql unlicense unknown wtfpl zlib other
""".split()  # noqa: SIM905 - words read best as words
PIPELINES = """
unconditional-image-generation text-to-image image-to-image image-classification image-segmentation object-detection
image-feature-extraction image-to-text image-text-to-text zero-shot-image-classification mask-generation depth-estimation
text-generation text-classification token-classification question-answering summarization translation fill-mask
feature-extraction sentence-similarity text-to-speech text-to-audio audio-to-audio automatic-speech-recognition
audio-classification text-to-video image-to-video video-classification reinforcement-learning robotics
tabular-classification tabular-regression other
""".split()  # noqa: SIM905


def metadata(readme: bytes | None) -> dict[str, Any]:
    """The mapping between the `---` lines; empty where there is none or it is damaged."""
    try:
        found = yaml.safe_load(_front_matter((readme or b"").decode("utf-8", "replace")) or "")
    except (yaml.YAMLError, RecursionError):
        return {}
    return json.loads(json.dumps(found, default=str)) if isinstance(found, dict) else {}


def check(content: str) -> tuple[list[str], list[str]]:
    """Errors, which refuse the card, and warnings, which do not."""
    text = _front_matter(content)
    if text is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        return [f"Invalid YAML: {error}"], []
    if found is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(found, dict):
        return ["metadata must be a mapping"], []
    return list(_errors(found)), list(_warnings(found))


def tags(card: dict[str, Any], config: dict[str, Any], paths: Iterable[str], id: str) -> list[str]:
    """The card's tags and those that the Hub adds to them."""
    found = [library(card, config), "safetensors" if any(path.endswith(".safetensors") for path in paths) else None]
    found += _listed(card.get("tags")) + _listed(card.get("language"))
    found += [f"dataset:{name}" for name in _listed(card.get("datasets"))]
    found += [f"base_model:{name}" for name in _listed(card.get("base_model"))]
    found += [f"license:{name}" for name in _listed(card.get("license"))]
    found += ["model-index" if card.get("model-index") else None, pipeline(card), "region:us"]
    return list(dict.fromkeys(tag for tag in found if tag))


def library(card: dict[str, Any], config: dict[str, Any]) -> str | None:
    """What the card says; without it, a config.json that looks like one of transformers decides."""
    guess = "transformers" if {"architectures", "model_type"} & config.keys() else None
    return card.get("library_name") or guess


def pipeline(card: dict[str, Any]) -> str | None:
    return card.get("pipeline_tag")


def _errors(card: dict[str, Any]) -> Iterable[str]:
    for name in _listed(card.get("license")):
        if name not in LICENSES:
            yield f'"license" must be one of [{", ".join(LICENSES)}]'
    for name in ("library_name", "pipeline_tag"):
        if not isinstance(card.get(name, ""), str):
            yield f'"{name}" must be a string'
    for name in ("tags", "datasets"):
        if not all(isinstance(item, str) for item in _listed(card.get(name))):
            yield f'"{name}" must be a list of strings'
    for entry in _listed(card.get("model-index")):
        if not isinstance(entry, dict) or not entry.get("name") or not isinstance(entry.get("results"), list):
            yield '"model-index" needs a name and results'


def _warnings(card: dict[str, Any]) -> Iterable[str]:
    name = pipeline(card)
    if name is not None and name not in PIPELINES:
        yield f'The pipeline tag "{name}" is not in the official list'


def _front_matter(content: str) -> str | None:
    match = FRONT_MATTER.match(content)
    return match.group(1) if match else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
