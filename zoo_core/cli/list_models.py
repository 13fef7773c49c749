"""`zoo list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ArchitectureName
from zoo_core.cli.messages import echo_columns, echo_json_items, report_problems

if TYPE_CHECKING:
    from zoo_core.registries import ModelEntry


@click.command("list")
@click.argument("pattern", metavar="[GLOB]", default="*")
@click.option("--architecture", type=ArchitectureName(), help="Only models of this architecture.")
@click.option("--dataset", help="Only models trained on this data set.")
@click.option("--tag", help="Only models with this tag.")
@click.option("--license", help="Only models under this licence.")
@click.option("--search", metavar="WORDS", help="Only models in whose names, summary or tags all these words occur.")
@options.json("every fact")
def command(
    pattern: str,
    architecture: str | None,
    dataset: str | None,
    tag: str | None,
    license: str | None,
    search: str | None,
    as_json: bool,
) -> None:
    """List the models whose name matches GLOB, with architecture, sample shape, number of parameters and summary."""
    from zoo_core.catalog import registry
    from zoo_core.registries.query import Query

    models = registry()
    report_problems(*models.problems)
    query = Query(pattern, architecture, dataset, tag, license, search=search)
    entries = models.select(query)  # printed as they are read: a registry may have a hundred thousand
    if as_json:
        echo_json_items(map(_facts, entries))
    elif not echo_columns(map(_row, entries)):
        click.echo("zoo: no model matches; use zoo list to see all of them", err=True)


def _facts(entry: ModelEntry) -> dict[str, object]:
    from zoo_core.cli.availability import why_unusable
    from zoo_core.cli.folder_facts import kind_of

    return entry.to_dict() | {"kind": kind_of(entry.architecture), "installed": why_unusable(entry) is None}


def _row(entry: ModelEntry) -> tuple[str, ...]:
    from zoo_core.cli.availability import why_unusable

    reason = why_unusable(entry)
    remark = f" [{reason}]" if reason else ""
    shape = "x".join(map(str, entry.sample_shape))
    parameters = f"{entry.parameters:,}" if entry.parameters is not None else "-"
    return entry.name, entry.architecture, shape or "-", parameters, entry.summary + remark
