"""`zoo list`."""

from __future__ import annotations

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ArchitectureName
from zoo_core.cli.messages import echo_columns, echo_json, report_problems


@click.command("list")
@click.argument("pattern", metavar="[GLOB]", default="*")
@click.option("--architecture", type=ArchitectureName(), help="Only models of this architecture.")
@click.option("--dataset", help="Only models trained on this data set.")
@click.option("--tag", help="Only models with this tag.")
@click.option("--license", help="Only models under this licence.")
@options.json("every fact")
def command(
    pattern: str, architecture: str | None, dataset: str | None, tag: str | None, license: str | None, as_json: bool
) -> None:
    """List the models whose name matches GLOB, with architecture, sample shape, number of parameters and summary."""
    from zoo_core.catalog import registry
    from zoo_core.cli.availability import why_unusable

    models = registry()
    report_problems(*models.problems)
    entries = models.find(pattern, architecture=architecture, dataset=dataset, tag=tag, license=license)
    if as_json:
        echo_json([entry.to_dict() | {"installed": why_unusable(entry) is None} for entry in entries])
        return
    if not entries:
        click.echo("zoo: no model matches; use zoo list to see all of them", err=True)
        return
    rows = []
    for entry in entries:
        reason = why_unusable(entry)
        remark = f" [{reason}]" if reason else ""
        shape = "x".join(map(str, entry.sample_shape))
        parameters = f"{entry.parameters:,}" if entry.parameters is not None else "-"
        rows.append((entry.name, entry.architecture, shape or "-", parameters, entry.summary + remark))
    echo_columns(rows)
