"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.cli.completion import ClassName
from zoo_core.errors import SamplingError, SettingsError, ZooError, printable
from zoo_core.files.paths import user_path

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator, SamplingOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])

LARGEST_SEED = 2**64 - 1


class UserPath(click.ParamType[Any]):
    """A parameter that takes the path of a file or folder, as `files.paths.user_path` reads it; shells complete it."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            return user_path(value)
        except ZooError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class OutputName(UserPath):
    """A parameter that takes the name of an output, as it was written: a slash at its end asks for a folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        super().convert(value, param, ctx)
        return value


def device(default: str = "auto") -> Callable[[_Command], _Command]:
    """`--device`."""
    return click.option(
        "--device", default=default, show_default=True, help="Device to run on: auto, cpu, cuda, cuda:N or mps."
    )


def seed(of: str = "the latents", largest: int = LARGEST_SEED) -> Callable[[_Command], _Command]:
    """`--seed`."""
    return click.option("--seed", type=click.IntRange(0, largest), default=0, show_default=True, help=f"Seed for {of}.")


def start() -> Callable[[_Command], _Command]:
    """`--start`."""
    return click.option(
        "--start",
        type=click.IntRange(0, LARGEST_SEED),
        default=0,
        show_default=True,
        help="Index of the first sample: -n 50 --start 100 draws samples 100 to 149 of the seed.",
    )


def label(what: str = "Class to draw") -> Callable[[_Command], _Command]:
    """`--label`, classes by number or name; passed as a tuple `label` for `sampling.labels.classes_by_name`."""
    several = "several take turns: cat,dog or 0-9, or repeat the option"
    return click.option("--label", type=ClassName(), multiple=True, help=f"{what}, by number or name; {several}.")


def truncation() -> Callable[[_Command], _Command]:
    """`--truncation`, the truncation trick."""
    return click.option(
        "--truncation",
        type=click.FloatRange(min=0, min_open=True),
        help="Cut the latents at ± this many standard deviations.",
    )


def batch_size() -> Callable[[_Command], _Command]:
    """`--batch-size`, which bounds the memory."""
    return click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="Samples computed at a time. Bounds the memory; changes no sample.",
    )


def sampling_options() -> Callable[[_Command], _Command]:
    """`--set`, choices at sampling time; passed as a tuple `assignments` for `chosen_options`."""
    return click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_checked_assignments,
        help="Choose one of the options that the model has for sampling, such as steps=20; zoo info NAME shows them.",
    )


def _checked_assignments(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from zoo_core.interfaces.assignments import split

    for assignment in value:  # reported before a model is loaded
        split(assignment)
    return value


def chosen_options(generator: Generator, assignments: tuple[str, ...]) -> SamplingOptions:
    """Return the model's own options with those in their place that `--set` names. Raises SettingsError."""
    from zoo_core.interfaces.assignments import assign, split

    values: dict[str, Any] = {}
    for key, text in map(split, assignments):
        if not generator.has_options():
            raise SettingsError(
                f"--set {printable(key, 80)}: {type(generator).__qualname__} has no options for sampling"
            )
        assign(generator.Options, values, key, text, key=f"--set {key}")
    try:
        return generator.choose(values)
    except SamplingError as error:  # a condition between options
        raise SettingsError(str(error)) from error


def skip_damaged() -> Callable[[_Command], _Command]:
    """`--skip-damaged`."""
    return click.option(
        "--skip-damaged", is_flag=True, help="Leave out pictures that cannot be decoded, and say how many and which."
    )


def json(what: str) -> Callable[[_Command], _Command]:
    """`--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")
