"""`zoo plugins new`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.messages import echo_path

# As zoo_core.scaffold has them, without importing it for `--help`; a test holds the two together.
KINDS = ("gan", "vae", "generator")
LICENSES = ("Apache-2.0", "BSD-3-Clause", "MIT")
DEFAULTS: dict[str, Any] = {"kind": "gan", "image": True, "license": "Apache-2.0"}


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="Kind of model: vae has an encoder, generator has no trainer.  [default: gan]",
)
@click.option("--image/--no-image", default=None, help="Whether samples are pictures or points.  [default: image]")
@click.option(
    "--license", type=click.Choice(LICENSES, case_sensitive=False), help="Licence of the plugin.  [default: Apache-2.0]"
)
def command(name: str, kind: str | None, image: bool | None, license: str | None) -> None:
    """Create a new plugin in ./NAME: a whole distribution that passes its own tests.

    On a terminal, zoo asks for options that are not given; elsewhere it uses the defaults.
    """
    from zoo_core.scaffold import Scaffold, write

    Scaffold(name=name)  # report a bad name before asking a question
    given = {"kind": kind, "image": image, "license": license}
    chosen: dict[str, Any] = {option: _ask(option) if value is None else value for option, value in given.items()}
    folder = write(Scaffold(name=name, **chosen), Path.cwd())
    echo_path(folder)
    click.echo(f"zoo: next: pip install -e ./{name} pytest && python -m pytest ./{name}", err=True)


def _ask(option: str) -> Any:
    """The answer of the user, or the default if there is nobody to ask."""
    default = DEFAULTS[option]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return default
    if option == "image":
        return click.confirm("Are samples pictures?", default=default, err=True)
    choices = click.Choice(KINDS if option == "kind" else LICENSES)
    return click.prompt(option.capitalize(), type=choices, default=default, err=True)
