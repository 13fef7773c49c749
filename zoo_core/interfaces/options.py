"""SamplingOptions: the choices that a user has when a model is sampled, and not when it is trained; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from zoo_core.errors import InterfaceError, SamplingError, VerificationError, did_you_mean, printable
from zoo_core.interfaces.assignments import bounds_of, completed, place_of
from zoo_core.interfaces.config import Config

_Options = TypeVar("_Options", bound="SamplingOptions")


class SamplingOptions(Config, frozen=True):
    """The choices of one kind of model at sampling time, such as the number of steps or the strength of guidance.

    A plugin subclasses it with annotated fields, bounds and defaults, and names the subclass in `Generator.Options`.
    Values are validated as those of a ModelConfig are. Every field has a default. The defaults of one model, which may
    differ from those of the class, are `Generator.options`; they are saved with the model. What the docstring says
    about a field under `Args:` is what `zoo info` shows of it.

    Example:
        >>> from typing import Annotated
        >>> from msgspec import Meta
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     steps: Annotated[int, Meta(ge=1, le=1000)] = 50
        >>> DDPMOptions(steps=0)
        Traceback (most recent call last):
        msgspec.ValidationError: Expected `int` >= 1 - at `$.steps`
    """


Choices = SamplingOptions | Mapping[str, Any]  # what a caller may give as `options`: all of them, or some by name


def check_options_class(owner: str, options_class: object) -> None:
    """Raise InterfaceError unless this can be the `Options` of a generator: each field has a default that is valid.

    Args:
        owner: the name of the generator's class, for the message.

    Example:
        >>> class Untold(SamplingOptions, frozen=True):
        ...     steps: int
        >>> check_options_class("DDPM", Untold)
        Traceback (most recent call last):
        zoo_core.errors.InterfaceError: DDPM.Options: Untold.steps has no default; every option needs one
    """
    if not (isinstance(options_class, type) and issubclass(options_class, SamplingOptions)):
        raise InterfaceError(f"{owner}.Options must be a subclass of SamplingOptions, not {options_class!r}")
    for field in msgspec.structs.fields(options_class):
        if field.required:
            name = f"{options_class.__qualname__}.{field.name}"
            raise InterfaceError(f"{owner}.Options: {name} has no default; every option needs one")
    try:
        options_class()
    except ValueError as error:  # includes msgspec.ValidationError
        raise InterfaceError(f"{owner}.Options: the default is not valid: {printable(error, 200)}") from error


def chosen(model: str, own: _Options, given: Choices | None, *, has_options: bool = True) -> _Options:
    """Return the options of one call: the model's own, with those in their place that the caller chose.

    Args:
        model: the name of the model's class, for messages.
        own: the model's own options.
        given: values by field; or all of them, as an instance of the class of `own`; None for the model's own.
        has_options: whether the model takes options at all.

    Raises:
        SamplingError: for a field that does not exist, a value out of its bounds, or options of another class.

    Example:
        >>> from typing import Annotated
        >>> from msgspec import Meta
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     steps: Annotated[int, Meta(ge=1, le=1000)] = 50
        >>> chosen("DDPM", DDPMOptions(), {"steps": 10})
        DDPMOptions(steps=10)
        >>> chosen("DDPM", DDPMOptions(), {"stepz": 10})
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: options.stepz: DDPM has no such option; did you mean steps?
        >>> chosen("DDPM", DDPMOptions(), {"steps": 0})
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: options.steps: Expected `int` >= 1; choose 1 to 1000
    """
    if given is None:
        return own
    wanted = type(own)
    if isinstance(given, SamplingOptions):
        if not isinstance(given, wanted):
            needed = f"takes {wanted.__qualname__}" if has_options else "has no options"
            raise SamplingError(f"options: {model} {needed}, not {type(given).__qualname__}")
        return given
    if not isinstance(given, Mapping):
        raise SamplingError(
            f"options must be a dictionary or a {wanted.__qualname__}, not {printable(type(given).__name__, 80)}"
        )
    if given and not has_options:
        raise SamplingError(f"options: {model} has no options, so that {_named(given)} cannot be chosen")
    for name in given:
        if name not in wanted.__struct_fields__:
            hint = did_you_mean(str(name), wanted.__struct_fields__)
            raise SamplingError(f"options.{printable(name, 80)}: {model} has no such option; {hint}")
    try:
        return msgspec.convert(completed(wanted, given, own), wanted)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, field = place_of(error)
        bounds = bounds_of(wanted, field)
        place = f"options.{field}" if field else "options"
        raise SamplingError(f"{place}: {problem}{f'; choose {bounds}' if bounds else ''}") from error


def differences(own: SamplingOptions, chosen: SamplingOptions) -> dict[str, Any]:
    """Return the options that differ from the model's own, by name, in types of JSON: what records of samples keep.

    Example:
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     steps: int = 50
        ...     guidance: float = 1.0
        >>> differences(DDPMOptions(), DDPMOptions(steps=10))
        {'steps': 10}
    """
    before, now = msgspec.to_builtins(own), msgspec.to_builtins(chosen)
    return {name: value for name, value in now.items() if value != before[name]}


def recorded(own: SamplingOptions, values: Mapping[str, Any], record: str) -> dict[str, Any]:
    """Return options that a record names, by name, in types of JSON; in YAML, every value is a text.

    Args:
        own: the model's own options, which those are compared with.
        values: what the record states.
        record: what it is, for messages.

    Raises:
        VerificationError: if the model does not have these options.

    Example:
        >>> class DDPMOptions(SamplingOptions, frozen=True):
        ...     steps: int = 50
        >>> recorded(DDPMOptions(), {"steps": "10"}, "fid")
        {'steps': 10}
    """
    strange = [name for name in values if name not in own.__struct_fields__]
    if strange:
        raise VerificationError(f"{record}: the model has no option {printable(strange[0], 80)}")
    try:
        chosen = msgspec.convert(completed(type(own), values, own), type(own), strict=False)
    except ValueError as error:  # includes msgspec.ValidationError
        raise VerificationError(f"{record}: its options are not possible: {printable(error, 200)}") from error
    return differences(own, chosen)


def _named(given: Mapping[str, Any]) -> str:
    return printable(", ".join(map(str, given)), 80)
