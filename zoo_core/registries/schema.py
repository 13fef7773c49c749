"""JSON Schemas of registry files and of training files, by which an editor checks and completes what a person writes.

They are of draft 7, which all editors know, and their patterns are ECMAScript's, read as Unicode. A schema says less
than the strict reader: it cannot tell that an alias is another model's name. It never refuses what the reader takes,
but for a number in quotes and for a text with a pattern, such as a digest, that YAML takes for a number.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from zoo_core.interfaces import Config, ModelConfig, SamplingOptions, Settings
from zoo_core.registries.entries import FIELDS, MODEL_NAME, ModelEntry

_DRAFT = "http://json-schema.org/draft-07/schema#"
_DEFINITIONS = "#/$defs/{name}"
_INSIDE = r"^(?!.*(^|/)\.{0,2}(/|$))[^\\:]+$"  # `stays_inside`, without what cannot be printed
_TEXT = {"type": ["string", "number", "boolean"]}  # the reader takes every word for a text where it expects one


def registry_schema() -> dict[str, Any]:
    """Return the schema of a registry file, of YAML or JSON.

    Example:
        >>> registry_schema()["required"]
        ['version']
    """
    entry, definitions = _schema_of(ModelEntry)
    for name, rule in FIELDS.items():
        if not rule.in_file:
            del entry["properties"][name]
    entry["required"].remove("name")
    entry["properties"]["files"]["propertyNames"] = {"pattern": _INSIDE}
    for place in (entry["properties"]["bundled"], definitions["TrainingFacts"]["properties"]["configuration"]):
        place |= {"type": ["string", "null"], "pattern": _INSIDE}
    definitions["ModelEntry"] = entry
    models = {
        "type": ["object", "null"],
        "description": "The models, by name.",
        "propertyNames": {"pattern": f"^{MODEL_NAME.pattern}$"},
        "additionalProperties": {"$ref": _DEFINITIONS.format(name="ModelEntry")},
    }
    return {
        "$schema": _DRAFT,
        "title": "A registry of zoo-core",
        "type": "object",
        "properties": {"version": {"const": 1, "description": "The version of the format."}, "models": models},
        "required": ["version"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def training_schema(
    settings: type[Settings] = Settings,
    model: type[ModelConfig] | None = None,
    options: type[SamplingOptions] | None = None,
) -> dict[str, Any]:
    """Return the schema of a training file, which `zoo train --config` reads.

    Args:
        settings: the settings of an architecture's trainer. By default those that all trainers have; others are
            allowed then.
        model: the configuration of the architecture; by default, anything may stand under `model`.
        options: the options of its generator; by default, or if it has none, nothing is said about `options`.

    Example:
        >>> training_schema()["properties"]["steps"]["minimum"]
        1
    """
    root, definitions = _schema_of(settings)
    described = {"description": "The model's own configuration."}
    if model is None:
        root["properties"]["model"] = {"type": ["object", "null"]} | described
        root["additionalProperties"] = True
    else:
        _add_part(root, definitions, "model", model)
        definitions["model"] |= {"required": []}  # a size comes from the data
    if options is not None and options is not SamplingOptions:
        _add_part(root, definitions, "options", options)
    named = "a training file of zoo-core" if model is None else f"a training file for {model.__name__}"
    return {"$schema": _DRAFT, **root, "title": named, "type": ["object", "null"], "required": [], "$defs": definitions}


def _add_part(root: dict[str, Any], definitions: dict[str, Any], name: str, owner: type[Config]) -> None:
    """Describe a part of a training file that has fields of its own."""
    definitions[name], more = _schema_of(owner)
    definitions |= more
    definitions[name] |= {"type": ["object", "null"]}
    root["properties"][name] = {"$ref": _DEFINITIONS.format(name=name)}


def ecmascript(pattern: str) -> str | None:
    r"""Return a regular expression of Python as one of ECMAScript, in Unicode mode; None if it has no equal there.

    Example:
        >>> ecmascript(r"^(?P<word>[a-z\-]+)\Z"), ecmascript(r"(?i)a")
        ('^(?<word>[a-z\\-]+)$', None)
    """
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            return None
        written = _translated(token)
        if written is None:
            return None
        pieces.append(written)
        at = token.end()
    return "".join(pieces)


_TOKEN = re.compile(
    r"""\\(?P<escape>x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)
    |\[(?P<not>\^?)(?P<set>\]?(?:\\.|[^\]\\])*)\]
    |\((?P<group>\?(?:P<\w+>|P=\w+\)|:|=|!|<=|<!))
    |(?P<other>\(\?)
    |\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}(?P<greed>[?+]?)
    |(?P<repeat>[*+?])(?P<greed_of_repeat>[?+]?)
    |(?P<plain>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"A": "^", "Z": "$", "a": r"\x07"}


def _translated(token: re.Match[str]) -> str | None:
    """Return one piece of a regular expression in ECMAScript's form."""
    groups = token.groupdict()
    if groups["escape"] is not None:
        return _escape(groups["escape"], "^$\\.*+?()[]{}|")
    if groups["set"] is not None:
        return _set(groups["not"], groups["set"])
    if groups["group"] is not None:
        group = groups["group"]
        return rf"\k<{group[3:-1]}>" if group.startswith("?P=") else "(" + group.replace("?P<", "?<")
    if groups["other"] is not None or "+" in (groups["greed"], groups["greed_of_repeat"]):
        return None  # flags, comments, conditions, atomic groups; possessive quantifiers
    if groups["comma"] is not None:
        counts = f"{groups['least'] or '0'}{groups['comma']}{groups['most']}"
        return rf"\{{\}}{groups['greed']}" if token[0].startswith("{}") else f"{{{counts}}}{groups['greed']}"
    if groups["plain"] is not None and groups["plain"] in "]{}":
        return "\\" + groups["plain"]
    return token[0]


def _set(negation: str, content: str) -> str | None:
    if content.startswith("]"):
        content = "\\" + content
    pieces = [
        _escape(piece[1:], "^$\\.*+?()[]{}|-") if piece.startswith("\\") else "\\[" if piece == "[" else piece
        for piece in re.findall(r"\\(?:x..|u....|U........|.)|[^\\]", content, re.DOTALL)
    ]
    return None if None in pieces else f"[{negation}{''.join(map(str, pieces))}]"


def _escape(escape: str, syntax: str) -> str | None:
    if escape[0] == "U":
        return rf"\u{{{escape[1:].lstrip('0') or '0'}}}"
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if escape[0] in "xu" or escape in "bBdDfnrsStvwW" or escape in syntax or escape in "123456789":
        return "\\" + escape
    return None if escape.isalnum() else escape  # a sign that needs no escape may have none in Unicode mode


def _schema_of(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a struct, and those of the structs in it by name, described by their docstrings."""
    (reference,), definitions = msgspec.json.schema_components(
        [struct], schema_hook=lambda kind: {"type": "string"} if kind is Path else {}, ref_template=_DEFINITIONS
    )
    described = {each.__name__: each for each in _structs(msgspec.inspect.type_info(struct))}
    definitions = {name: _for_editors(definition) for name, definition in definitions.items()}
    for name, definition in definitions.items():
        if name in described:
            _describe(definition, described[name])
    root: dict[str, Any] = definitions.pop(reference["$ref"].rpartition("/")[2])
    return root, definitions


def _structs(kind: msgspec.inspect.Type) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that a type is made of."""
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind.cls
        inner = [field.type for field in kind.fields]
    else:
        single = [getattr(kind, name, None) for name in ("item_type", "key_type", "value_type", "type")]
        several = [*getattr(kind, "item_types", ()), *getattr(kind, "types", ())]
        inner = [part for part in (*single, *several) if isinstance(part, msgspec.inspect.Type)]
    for part in inner:
        yield from _structs(part)


def _describe(definition: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Replace the description of a struct by the first paragraph of its docstring, and describe each field."""
    definition["description"] = inspect.cleandoc(struct.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    for base in struct.__mro__:
        for name, text in _described_fields(base.__doc__ or ""):
            if name in definition["properties"]:
                definition["properties"][name].setdefault("description", text)


def _described_fields(docstring: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"(?:Args|Attributes):\n((?:    .*\n?|\n)*)", inspect.cleandoc(docstring))
    if section:
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section[1], re.MULTILINE):
            yield name, " ".join(text.split())


def _for_editors(schema: Any) -> Any:
    """Return a schema of msgspec as one of draft 7 that an editor takes."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _for_editors(value) for key, value in schema.items()}
    if "prefixItems" in found:
        found["items"], found["additionalItems"] = found.pop("prefixItems"), False
    if isinstance(found.get("pattern"), str):
        pattern = ecmascript(found.pop("pattern"))
        if pattern is not None:
            found["pattern"] = pattern
    elif found.get("type") == "string":
        found |= _TEXT
    return _nullable(found)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without a choice between a plain type and null: editors place a mistake better then."""
    choices = schema.get("anyOf", [])
    if len(choices) != 2 or choices[1] != {"type": "null"} or "type" not in choices[0]:
        return schema
    kinds = choices[0]["type"]
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"], **others}
