"""What there is to know of sampling options: their values, bounds and descriptions, for people. Imports no torch."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from zoo_core.interfaces.assignments import field_types
from zoo_core.interfaces.config_values import choices
from zoo_core.interfaces.options import SamplingOptions


@dataclass(frozen=True)
class Option:
    """One option as it is shown to a user.

    Attributes:
        name: its name.
        value: the model's own value, in types of JSON.
        bounds: the values that it takes, in words; empty if its type has no bounds.
        about: what it does, in a line; empty if its class does not say.
    """

    name: str
    value: Any
    bounds: str
    about: str


def described(options_class: type[SamplingOptions], values: Mapping[str, Any]) -> list[Option]:
    """Return what there is to know of each option: of its type, and of the docstring of its class.

    Args:
        options_class: the `Options` of a generator.
        values: the model's own values by name; by default those of the class.

    Example:
        >>> from typing import Annotated
        >>> from msgspec import Meta
        >>> from zoo_core import SamplingOptions
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     '''Choices.
        ...
        ...     Args:
        ...         steps: steps of the sampler;
        ...             more of them take longer.
        ...     '''
        ...     steps: Annotated[int, Meta(ge=1, le=1000)] = 50
        >>> described(DDPMOptions, {"steps": 20})
        [Option(name='steps', value=20, bounds='1 to 1000', about='steps of the sampler; more of them take longer.')]
    """
    defaults: dict[str, Any] = msgspec.to_builtins(options_class()) | dict(values)
    abouts = _documented(options_class)
    return [
        Option(name, defaults[name], _bounds(field_type), _stated(field_type) or abouts.get(name, ""))
        for name, field_type in field_types(options_class).items()
    ]


def in_words(values: Mapping[str, Any]) -> str:
    """Return values as `name value, name value`, as `--set` takes them.

    Example:
        >>> in_words({"size": 32, "widths": [400, 200], "conditional": False, "loss": "elbo"})
        'size 32, widths [400, 200], conditional false, loss elbo'
    """
    return ", ".join(
        f"{name} {value if isinstance(value, str) and value else json.dumps(value)}" for name, value in values.items()
    )


def _bounds(field_type: Any) -> str:
    """The values of a type in words, also where they are bounded at one end only."""
    if both := choices(field_type):
        return both
    kind = msgspec.inspect.type_info(field_type)
    if isinstance(kind, msgspec.inspect.BoolType):
        return "true or false"
    if not isinstance(kind, (msgspec.inspect.IntType, msgspec.inspect.FloatType)):
        return ""
    words = {"at least": kind.ge, "above": kind.gt, "at most": kind.le, "below": kind.lt}
    return ", ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)


def _stated(field_type: Any) -> str:
    """The description in the annotation of a field, `Meta(description=…)`."""
    notes = getattr(field_type, "__metadata__", ())
    return next((" ".join(note.description.split()) for note in notes if getattr(note, "description", None)), "")


_ENTRY = re.compile(r"(?P<margin> +)(?P<name>\w+)(?: \([^)]*\))?: (?P<text>\S.*)")


def _documented(owner: type[SamplingOptions]) -> dict[str, str]:
    """What the docstring of a class says about its fields under `Args:` or `Attributes:`, each in a line."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    margin: int | None = None  # of the entries of a section
    for line in inspect.cleandoc(owner.__doc__ or "").splitlines():
        if not line.startswith(" "):
            margin = 0 if line in ("Args:", "Attributes:") else None if line else margin
        elif margin is not None:
            entry = _ENTRY.fullmatch(line)
            if entry and margin in (0, len(entry["margin"])):
                margin = len(entry["margin"])
                lines = found.setdefault(entry["name"], [entry["text"]])
            else:
                lines.append(line.strip())
    return {name: " ".join(parts) for name, parts in found.items()}
