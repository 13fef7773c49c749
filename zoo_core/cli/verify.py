"""`zoo verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import report_problems
from zoo_core.cli.working import working
from zoo_core.errors import MetricError, ZooError, printable

if TYPE_CHECKING:
    from zoo_core.metrics.verification import Verified


@click.command("verify")
@click.argument("name", type=ModelName(), required=False)
@click.option("--all", "everything", is_flag=True, help="Check every bundled model.")
@click.option("--metrics", "measure", is_flag=True, help="Measure the stated figures again. Needs --data.")
@click.option(
    "--data",
    "sources",
    metavar="[DATASET=]PATH",
    multiple=True,
    help="Data to measure on: PATH for all models, DATASET=PATH for one data set.",
)
@options.device("cpu")
def command(name: str | None, everything: bool, measure: bool, sources: tuple[str, ...], device: str) -> None:
    """Check that the model NAME is what its registry states: digests, loading, golden samples, figures.

    Each model gets one line: on stdout if it passes, on stderr if it fails. The exit code is 1 if any model fails.
    """
    if (name is None) == (not everything):
        raise click.UsageError("give the NAME of a model, or --all")
    if measure != bool(sources):
        raise click.UsageError("--metrics and --data need each other")
    from zoo_core.catalog import registry
    from zoo_core.registries.query import Query

    report_problems(*registry().problems)
    names = [name] if name is not None else [entry.name for entry in registry().select(Query(bundled=True))]
    failed = [one for one in names if not _verified(one, sources, device)]
    sys.exit(1 if failed else 0)


def _verified(name: str, sources: tuple[str, ...], device: str) -> bool:
    from zoo_core.metrics.verification import verify_model

    try:
        with working(f"verifying {name}") as work:
            found = verify_model(name, data=_data_for(name, sources), device=device, progress=work.report)
    except ZooError as error:
        click.echo(f"zoo: {printable(error, 2000)}", err=True)
        return False
    click.echo(f"{printable(name)}  {_summary(found)}")
    return True


def _data_for(name: str, sources: tuple[str, ...]) -> str | None:
    """The data that is named for the model's data set, or for all. Raises MetricError where there is none for it."""
    from zoo_core.catalog import registry

    named = dict(source.split("=", 1) for source in sources if "=" in source)
    plain = [source for source in sources if "=" not in source]
    entry = registry().get(name)
    if entry is not None and entry.dataset in named:
        return named[entry.dataset]
    if sources and not plain and entry is not None and entry.metrics:
        dataset = printable(entry.dataset or "DATASET", 80)
        raise MetricError(
            f"{entry.name}: its figures were measured on {dataset}; use --data {dataset}=PATH to say where it is"
        )
    return plain[-1] if plain else None


def _summary(found: Verified) -> str:
    parts = [f"{found.files} files", "loads", f"{found.golden} golden samples", f"{found.stated} figures"]
    if found.measured:
        parts.append(f"{found.measured} measured again")
    return ", ".join(parts)
