"""`zoo pull`, also called `zoo download`."""

from __future__ import annotations

import click

from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path, report_problems


@click.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ModelName())
def command(names: tuple[str, ...]) -> None:
    """Download models, verify every file, and print the absolute folder of each on a line, in the given order.

    NAME is a registry name, an alias, hf://user/repo[@revision], or a folder. Only models that are not on this machine
    are downloaded from the Hub.
    """
    from zoo_core.catalog import registry
    from zoo_core.cli.progress import hub_job
    from zoo_core.models import pull_all

    report_problems(*registry().problems)
    with hub_job() as job:
        folders = pull_all(names, job)
    for folder in folders:
        echo_path(folder)
