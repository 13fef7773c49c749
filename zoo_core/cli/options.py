"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo_core.cli.completion import ClassName
from zoo_core.errors import ZooError
from zoo_core.files.paths import user_path

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


def skip_damaged() -> Callable[[_Command], _Command]:
    """`--skip-damaged`."""
    return click.option(
        "--skip-damaged", is_flag=True, help="Leave out pictures that cannot be decoded, and say how many and which."
    )


def json(what: str) -> Callable[[_Command], _Command]:
    """`--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")
