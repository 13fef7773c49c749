"""Which values a configuration accepts: for messages that name them, and for sizes that follow the data.

Bounds stand in the type of a field, but conditions between fields stand in the plugin's `__post_init__`. The sizes that
an architecture has are therefore found by making its configuration with each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from zoo_core.interfaces.config import Config

LARGEST_SIZE = 2048  # pixels; no architecture is searched for larger sizes
PICTURE_CHANNELS = (1, 3)
_MOST_LISTED = 12
_STEPS = [2**power for power in range(8)]  # what networks that halve their pictures have sides in multiples of


def accepted(owner: type[Config], values: Mapping[str, Any], field: str, candidates: Iterable[Any]) -> list[Any]:
    """Return the candidates for a field with which, and the other values, the configuration is valid.

    Example:
        >>> from typing import Literal
        >>> from zoo_core import ModelConfig
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     size: Literal[16, 32] = 16
        >>> accepted(RingConfig, {}, "size", range(100))
        [16, 32]
    """
    return [candidate for candidate in candidates if is_valid(owner, {**values, field: candidate})]


def following(owner: type[Config], values: Mapping[str, Any], field: str, wanted: int) -> int:
    """Return the value of a field that fits the data best and is valid with the other values; `wanted` if none is.

    For `size` and `length` it is the smallest that is not below `wanted`, else the largest; for `channels` it is 1 or
    3.

    Example:
        >>> from typing import Annotated
        >>> from zoo_core import ModelConfig
        >>> class RingConfig(ModelConfig, frozen=True):
        ...     size: Annotated[int, msgspec.Meta(ge=8, le=256, multiple_of=8)] = 64
        >>> [following(RingConfig, {}, "size", side) for side in (28, 64, 384)]
        [32, 64, 256]
    """
    if is_valid(owner, {**values, field: wanted}):
        return wanted
    candidates: Iterable[int] = ()
    if field in ("size", "height", "width"):
        candidates = range(1, LARGEST_SIZE + 1)
    elif field == "channels":
        candidates = PICTURE_CHANNELS
    elif field == "length":
        candidates = _lengths_near(owner, wanted)
    possible = accepted(owner, values, field, candidates)
    return min((value for value in possible if value >= wanted), default=max(possible, default=wanted))


def following_sides(owner: type[Config], values: Mapping[str, Any], height: int, width: int) -> dict[str, int]:
    """Return `height` and `width`, or the one that is not in `values`, as they fit data of this size best.

    They are the smallest with which the configuration is valid that are not below those of the data, else the largest,
    in the aspect ratio of the data as far as they can be.

    Example:
        >>> from typing import Annotated
        >>> from zoo_core import ModelConfig
        >>> Side = Annotated[int, msgspec.Meta(ge=8, le=64, multiple_of=8)]
        >>> class FramesConfig(ModelConfig, frozen=True):
        ...     height: Side = 16
        ...     width: Side = 16
        >>> following_sides(FramesConfig, {}, 20, 30), following_sides(FramesConfig, {}, 1080, 1920)
        ({'height': 24, 'width': 32}, {'height': 40, 'width': 64})
        >>> following_sides(FramesConfig, {"height": 16}, 20, 30)
        {'width': 24}
    """
    if "height" in values and "width" in values:
        return {}
    if "height" in values:
        return {"width": following(owner, values, "width", max(1, round(values["height"] * width / height)))}
    if "width" in values:
        return {"height": following(owner, values, "height", max(1, round(values["width"] * height / width)))}
    for candidates in (_sides_above(height, width), _sides_below(height, width)):
        for high, wide in candidates:
            if is_valid(owner, {**values, "height": high, "width": wide}):
                return {"height": high, "width": wide}
    return {"height": height, "width": width}


def _sides_above(height: int, width: int) -> list[tuple[int, int]]:
    """Return sizes that are not below this one, those with the fewest pixels first."""
    rounded = {(-(-height // step) * step, -(-width // step) * step) for step in _STEPS}
    scaled = {(high, round(high * width / height)) for high in range(height, LARGEST_SIZE + 1)}
    return sorted(rounded | scaled, key=math.prod)


def _sides_below(height: int, width: int) -> list[tuple[int, int]]:
    """Return smaller sizes of about the same aspect ratio, those with the most pixels first."""
    sides = set()
    for high in range(1, min(height, LARGEST_SIZE) + 1):
        exact = high * width / height
        sides |= {(high, round(exact / step) * step) for step in _STEPS if step == 1 or step <= exact / 4}
    return sorted(((high, wide) for high, wide in sides if wide), key=math.prod, reverse=True)


def accepted_sizes(owner: type[Config], values: Mapping[str, Any]) -> list[int]:
    """Return the values of the field `size`, in ascending order, with which the configuration is valid."""
    return accepted(owner, values, "size", range(1, LARGEST_SIZE + 1))


def takes(owner: type[Config], field: str, value: Any) -> bool:
    """Return whether the type of a field includes a value; False where there is no such field."""
    types = {each.name: each.type for each in msgspec.structs.fields(owner)}
    try:
        return field in types and msgspec.convert(value, types[field]) is not None
    except msgspec.ValidationError:
        return False


def in_words(values: Sequence[int]) -> str:
    """Return whole numbers in ascending order as a phrase; an empty one for no values.

    Example:
        >>> in_words([16, 32, 64]), in_words(range(1, 257)), in_words(range(8, 257, 4))
        ('16, 32 or 64', '1 to 256', 'a multiple of 4 from 8 to 256')
    """
    if len(values) > 2:
        steps = {after - before for before, after in pairwise(values)}
        step = min(steps)
        if len(steps) == 1 and (step == 1 or values[0] % step == 0) and len(values) > 4:
            span = f"{values[0]} to {values[-1]}"
            return span if step == 1 else f"a multiple of {step} from {span}"
    if len(values) > _MOST_LISTED:
        return f"{', '.join(map(str, values[:_MOST_LISTED]))}, … or {values[-1]}"
    return _either([str(value) for value in values])


def choices(field_type: Any) -> str:
    """Return the values of a type as a phrase: a Literal's, or those between two bounds; an empty one for others.

    Example:
        >>> from typing import Annotated, Literal
        >>> choices(Literal["mlp", "convolutional"]), choices(Annotated[int, msgspec.Meta(ge=1, le=9)]), choices(str)
        ('convolutional or mlp', '1 to 9', '')
    """
    kind = msgspec.inspect.type_info(field_type)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return _either([str(value) for value in kind.values])
    if isinstance(kind, (msgspec.inspect.IntType, msgspec.inspect.FloatType)):
        low, high = kind.ge if kind.ge is not None else kind.gt, kind.le if kind.le is not None else kind.lt
        if low is not None and high is not None:
            multiple = f"a multiple of {kind.multiple_of} from " if kind.multiple_of else ""
            above, below = "above " if kind.ge is None else "", "below " if kind.le is None else ""
            return f"{multiple}{above}{low} to {below}{high}"
    return ""


def _lengths_near(owner: type[Config], wanted: int) -> list[int]:
    """Return lengths that a network may have, in ascending order: multiples of powers of two, and what the type says.

    A sound has too many samples to try every length.
    """
    kind = msgspec.inspect.type_info({each.name: each.type for each in msgspec.structs.fields(owner)}["length"])
    steps = {2**power for power in range(21)}
    bounds: set[int] = set()
    if isinstance(kind, msgspec.inspect.IntType):
        steps |= {kind.multiple_of} - {None}
        bounds = {bound for bound in (kind.ge, kind.le) if bound is not None}
    elif isinstance(kind, msgspec.inspect.LiteralType):
        bounds = {value for value in kind.values if isinstance(value, int)}
    return sorted(bounds | {way * step for step in steps for way in (wanted // step, -(-wanted // step))})


def is_valid(owner: type[Config], values: Mapping[str, Any]) -> bool:
    """Return whether these values, and the defaults of the others, make a valid configuration."""
    try:
        msgspec.convert(values, owner)
    except ValueError:  # includes msgspec.ValidationError
        return False
    return True


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
