"""`zoo search`."""

from __future__ import annotations

import dataclasses

import click

from zoo_core.cli.messages import echo_columns, echo_json


@click.command("search")
@click.argument("text", default="")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(text: str, limit: int, as_json: bool) -> None:
    """Search the Hub for models of this zoo whose name has TEXT in it, and say what each needs."""
    from zoo_core.hub.search import search
    from zoo_core.interfaces.names import same_name
    from zoo_core.plugins import manager

    found = list(search(text, limit=limit))
    if as_json:
        echo_json([dataclasses.asdict(model) for model in found])
        return
    if not found:
        click.echo("zoo: the Hub has no such model", err=True)
        return
    known = manager().architectures
    rows = []
    for model in found:
        usable = model.architecture is not None and same_name(model.architecture) in known
        # What a stranger's card names is never suggested for installation.
        need = f"needs {model.plugin or 'a plugin'}" + (", installed" if usable else ", not installed")
        rows.append(
            (f"hf://{model.repo}", model.architecture or "-", need, model.license or "-", "gated" * model.gated)
        )
    echo_columns(rows)
