"""Where a conversion by msgspec failed: the keys to the field that its message is about.

msgspec writes `[...]` for the key of a mapping. Which key it was is found by converting halves of the mapping.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from zoo_core.errors import printable

Keys = tuple[str | int, ...]

_PLACE = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|(?P<hidden>\[\.\.\.\])")
_ABSENT = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)


def locate(value: Any, target: Any, message: str, *, strict: bool = False) -> tuple[str, Keys]:
    """Split one of msgspec's messages into the problem and the keys to the field that it is about.

    Args:
        value: the value whose conversion failed.
        target: the type that it was converted to.
        message: the message of the ValidationError.
        strict: whether the conversion was strict.

    Example:
        >>> value = {"digits": {"size": "1"}, "ring": {"size": "0"}}
        >>> locate(value, dict[str, dict[str, int]], "Expected `int` >= 1 - at `$.ring.size`")
        ('Expected `int` >= 1', ('ring', 'size'))
    """
    place = _PLACE.fullmatch(message)
    if place is None:
        return message, ()
    problem: str = place["problem"]
    steps: list[str | int] = []
    for step in _STEP.finditer((place["path"] or "") + ("[...]" if place["key"] else "")):
        if step["hidden"]:
            value, key = _narrow(value, target, tuple(steps), message, strict)
            steps.append(key)
        else:
            steps.append(step["name"] or int(step["index"]))
    absent = _ABSENT.fullmatch(problem)
    if absent:
        return problem, (*steps, absent[1])
    wrong = under(value, tuple(steps))
    if isinstance(wrong, str):  # everything in a YAML file is a string here: its text says more than its type
        problem = problem.replace("got `str`", f"got {printable(wrong, 60)!r}")
    return problem, tuple(steps)


def _narrow(value: Any, target: Any, steps: Keys, message: str, strict: bool) -> tuple[Any, str]:
    """Return the value with the mapping under `steps` reduced to the key that the message is about, and that key."""
    keys = list(under(value, steps))
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        same = _message(_with_keys(value, steps, half), target, strict) == message
        keys = half if same else keys[len(half) :]
    return _with_keys(value, steps, keys), keys[0]


def _message(value: Any, target: Any, strict: bool) -> str | None:
    """Return the message that converting the value fails with; None if it does not fail."""
    try:
        msgspec.convert(value, target, strict=strict)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _with_keys(value: Any, steps: Keys, keys: list[str]) -> Any:
    """Return a copy of the value in which the mapping under `steps` has only these keys."""
    if not steps:
        return {key: value[key] for key in keys}
    copy = value.copy()
    copy[steps[0]] = _with_keys(value[steps[0]], steps[1:], keys)
    return copy


def under(value: Any, keys: Keys) -> Any:
    """Return the part of nested mappings and lists that is reached by a path of keys and indices.

    Example:
        >>> under({"models": [{"name": "ring"}]}, ("models", 0, "name"))
        'ring'
    """
    for key in keys:
        value = value[key]
    return value
