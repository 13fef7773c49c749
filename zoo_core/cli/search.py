"""`zoo search`."""

from __future__ import annotations

import dataclasses

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_columns, echo_json


@click.command("search")
@click.argument("text", default="")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Number of results, at most."
)
@options.json("the results")
def command(text: str, limit: int, as_json: bool) -> None:
    """Search the Hub for zoo-core models whose name contains TEXT, and show which plugin each needs."""
    from zoo_core.hub.search import search
    from zoo_core.interfaces.names import canonical_name
    from zoo_core.plugins import manager

    found = list(search(text, limit=limit))
    if as_json:
        echo_json([dataclasses.asdict(model) for model in found])
        return
    if not found:
        click.echo("zoo: no model on the Hub matches", err=True)
        return
    known = manager().architectures
    rows = []
    for model in found:
        usable = model.architecture is not None and canonical_name(model.architecture) in known
        # Never suggest installing a package that only a stranger's card names.
        need = f"needs {model.plugin or 'a plugin'}" + (", installed" if usable else ", not installed")
        rows.append(
            (f"hf://{model.repo}", model.architecture or "-", need, model.license or "-", "gated" * model.gated)
        )
    echo_columns(rows)
