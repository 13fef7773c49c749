"""`zoo plugins list`."""

from __future__ import annotations

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_columns, echo_json
from zoo_core.cli.plugins.facts import plugin_facts
from zoo_core.errors import printable


@click.command("list")
@click.option("--verbose", is_flag=True, help="Also show the traceback of each plugin that failed.")
@options.json("every fact")
def command(verbose: bool, as_json: bool) -> None:
    """List every installed plugin: entry point, package, origin, status, and what it provides or why it is left out."""
    from zoo_core.cli.group import plugin_commands
    from zoo_core.plugins import manager
    from zoo_core.plugins.distributions import origin_of

    facts = plugin_facts(manager())
    if as_json:
        echo_json(facts)
        return
    if not facts:
        click.echo("zoo: no plugin is installed; try pip install zoo-dcgan", err=True)
        return
    rows = []
    for one in facts:
        more = "".join(f"; {what} {', '.join(one[what])}" for what in ("kinds", "commands") if one[what])
        remark = (
            ", ".join(one["architectures"] + one["extractors"]) + more
            if one["status"] == "ok"
            else one["problem"] or ""
        )
        package = f"{one['distribution']} {one['version']}"
        rows.append((one["entry_point"], package, origin_of(one["distribution"]), one["status"], remark.lstrip("; ")))
    echo_columns(rows)
    for problem in plugin_commands().problems:
        click.echo(printable(problem, 1000))
    if verbose:
        for one in facts:
            if one["traceback"]:
                click.echo(f"\n{printable(one['entry_point'])} of {printable(one['distribution'])}:")
                _echo_traceback(one["traceback"])


def _echo_traceback(traceback: str) -> None:
    """Print it line by line without control characters: the text of an error comes from the plugin."""
    for line in traceback.splitlines():
        margin = " " * (len(line) - len(line.lstrip(" ")))
        click.echo(margin + printable(line, 1000))
