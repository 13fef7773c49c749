"""`zoo pull`, also called `zoo download`."""

from __future__ import annotations

import click

from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path, report_problems


@click.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ModelName())
def command(names: tuple[str, ...]) -> None:
    """Make models available, verify every file, and print one absolute folder a line, in the order asked."""
    from zoo_core.models import pull, registry

    report_problems(*registry().problems)
    for name in names:
        echo_path(pull(name))
