"""Assignments, `key=value`, onto the fields of a configuration, also of one that is nested in another.

What `--set` and a configuration file change is a dictionary of plain values, until all of them are known. A part of a
nested configuration changes that part: `completed` takes the rest from the default of the outer one. Imports no torch.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from zoo_core.errors import RegistryError, SettingsError, did_you_mean, printable
from zoo_core.files.strict_yaml import Document
from zoo_core.interfaces.config_values import choices


def split(assignment: str) -> tuple[str, str]:
    """Return the key and the value of an assignment. Raises SettingsError where it is none.

    Example:
        >>> split("model.unet.width = 32")
        ('model.unet.width', '32')
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"--set {printable(assignment, 80)}: write key=value")
    return key.strip(), value.strip()


def assign(owner: type[msgspec.Struct], values: dict[str, Any], name: str, text: str, *, key: str = "") -> None:
    """Convert a text to the type of a field and put it into the values; items of a list are separated by commas.

    Args:
        owner: the class that has the field.
        values: the values by field; those of a nested configuration are a dictionary in it.
        name: the field, with dots for one of a nested configuration.
        text: the value.
        key: what the user wrote, for messages; by default the name.

    Raises:
        SettingsError: for a field that does not exist, or a value that it does not take; names the whole key.

    Example:
        >>> from zoo_core import ModelConfig
        >>> class UNet(ModelConfig, frozen=True):
        ...     width: int = 64
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     unet: UNet = UNet()
        >>> values = {}
        >>> assign(RingConfig, values, "unet.width", "32")
        >>> values
        {'unet': {'width': 32}}
        >>> assign(RingConfig, values, "unet.widht", "32", key="model.unet.widht")
        Traceback (most recent call last):
        zoo_core.errors.SettingsError: model.unet.widht: there is no such field; did you mean width?
    """
    key = key or name
    first, _, rest = name.partition(".")
    types_of = field_types(owner)
    if first not in types_of:
        raise SettingsError(f"{printable(key, 80)}: {unknown(first, types_of)}")
    inner = nested(types_of[first])
    if rest:
        if inner is None:
            raise SettingsError(f"{printable(key, 80)}: {printable(first, 80)} has no fields of its own")
        below = values[first] = dict(_plain(values.get(first)) or {})
        assign(inner, below, rest, text, key=key)
    else:
        values[first] = _parsed(types_of[first], text, key)


def completed(
    owner: type[msgspec.Struct], values: Mapping[str, Any], base: msgspec.Struct | None = None
) -> dict[str, Any]:
    """Complete the nested configurations in some values: what they leave out stays as the outer default has it.

    Args:
        owner: the class whose values they are.
        values: the values by field.
        base: an instance whose values are the defaults; by default those of the class.

    Returns:
        The values by field, for `msgspec.convert`; with a base, those of every field.

    Example:
        >>> from zoo_core import ModelConfig
        >>> class UNet(ModelConfig, frozen=True):
        ...     width: int = 64
        ...     depth: int = 3
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     size: int = 8
        ...     unet: UNet = UNet(depth=5)
        >>> completed(RingConfig, {"unet": {"width": 32}})
        {'unet': {'width': 32, 'depth': 5}}
    """
    types_of = field_types(owner)
    result: dict[str, Any] = {} if base is None else {name: getattr(base, name) for name in types_of}
    for name, value in values.items():
        inner = nested(types_of[name]) if name in types_of else None
        if inner is not None and isinstance(value, Mapping):
            around = _default(owner, name) if base is None else getattr(base, name)
            value = completed(inner, value, around if isinstance(around, inner) else None)
        result[name] = _plain(value)
    return {name: _plain(value) for name, value in result.items()}


def converted(document: Document, owner: type[msgspec.Struct], keys: tuple[str, ...]) -> Any:
    """Convert the value of a field that stands in a file; that of a nested configuration field by field.

    Args:
        document: the file.
        owner: the class that has the field.
        keys: where it stands; the last one is the name of the field.

    Raises:
        RegistryError: for a field that does not exist, or a value that it does not take; names the line and the field.
    """
    types_of = field_types(owner)
    if keys[-1] not in types_of:
        raise document.error(unknown(keys[-1], types_of), keys)
    inner = nested(types_of[keys[-1]])
    content = document.content
    for key in keys:
        content = content[key]
    if inner is not None and isinstance(content, dict):
        return {name: converted(document, inner, (*keys, name)) for name in content}
    try:
        value = document.convert(types_of[keys[-1]], keys)
    except RegistryError as error:
        choose = choices(types_of[keys[-1]])
        if not choose:
            raise
        problem = f"{error.problem}; choose {choose}"
        raise RegistryError(problem, file=error.file, line=error.line, field=error.field) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise document.error(f"Expected a finite number, got {value}", keys)
    return value


def field_types(owner: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the type of each field.

    Example:
        >>> from zoo_core import ModelConfig
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     size: int = 8
        >>> field_types(RingConfig)
        {'size': <class 'int'>}
    """
    return {field.name: field.type for field in msgspec.structs.fields(owner)}


def nested(field_type: Any) -> type[msgspec.Struct] | None:
    """Return the class of a nested configuration, or None for a field of another type, or of several such classes.

    Example:
        >>> from zoo_core import ModelConfig
        >>> nested(ModelConfig | None).__name__, nested(int)
        ('ModelConfig', None)
    """
    if get_origin(field_type) is Annotated:
        return nested(get_args(field_type)[0])
    if get_origin(field_type) in (Union, types.UnionType):
        found = [inner for inner in map(nested, get_args(field_type)) if inner is not None]
        return found[0] if len(found) == 1 else None
    return field_type if isinstance(field_type, type) and issubclass(field_type, msgspec.Struct) else None


def place_of(error: ValueError) -> tuple[str, str]:
    """Return what is wrong with a value, and the field, with dots; an empty one for a condition between fields.

    Example:
        >>> place_of(msgspec.ValidationError("Expected `int` >= 1 - at `$.unet.width`"))
        ('Expected `int` >= 1', 'unet.width')
    """
    problem, _, path = str(error).partition(" - at `$.")
    return printable(problem, 200), path.rstrip("`")


def bounds_of(owner: type[msgspec.Struct], name: str) -> str:
    """Return the values that a field takes as a phrase, by its name, with dots; an empty one if its type has no bounds.

    Example:
        >>> from typing import Literal
        >>> from zoo_core import ModelConfig
        >>> class UNet(ModelConfig, frozen=True):
        ...     width: Literal[32, 64] = 64
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     unet: UNet = UNet()
        >>> bounds_of(RingConfig, "unet.width")
        '32 or 64'
    """
    first, _, rest = name.partition(".")
    field_type = field_types(owner).get(first)
    if rest:
        inner = nested(field_type)
        return bounds_of(inner, rest) if inner is not None else ""
    return choices(field_type) if field_type is not None else ""


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the message about a field that does not exist.

    Example:
        >>> unknown("sizes", ["size"])
        'there is no such field; did you mean size?'
    """
    return f"there is no such field; {did_you_mean(name, known)}"


def _parsed(field_type: Any, text: str, key: str) -> Any:
    try:
        value = _converted_text(field_type, text)
    except msgspec.ValidationError as error:
        inner = nested(field_type)
        if inner is not None:
            example = next(iter(field_types(inner)), "field")
            raise SettingsError(f"{key}: it has fields of its own; set one of them, as {key}.{example}=…") from error
        choose = choices(field_type)
        raise SettingsError(f"{key}: {printable(error, 200)}{f'; choose {choose}' if choose else ''}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{key}: Expected a finite number, got {value}")
    return value


def _converted_text(field_type: Any, text: str) -> Any:
    try:
        return msgspec.convert(text, field_type, strict=False)
    except msgspec.ValidationError as error:
        if "Expected `array`" not in str(error):
            raise
    items = [item.strip() for item in text.strip("[]()").split(",")]
    return msgspec.convert(items, field_type, strict=False)


def _default(owner: type[msgspec.Struct], name: str) -> Any:
    field = next(field for field in msgspec.structs.fields(owner) if field.name == name)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
