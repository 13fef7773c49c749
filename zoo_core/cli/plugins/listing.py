"""`zoo plugins list`."""

from __future__ import annotations

import click

from zoo_core.cli.messages import echo_columns, echo_json
from zoo_core.errors import printable


@click.command("list")
@click.option("--verbose", is_flag=True, help="Also the traceback of a plugin that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print every fact as JSON.")
def command(verbose: bool, as_json: bool) -> None:
    """List every installed plugin: entry point, package, state, what it provides, and why it is left out."""
    from zoo_core.cli import COMMANDS
    from zoo_core.plugins import manager

    found = manager()
    commands = found.commands(reserved=COMMANDS)
    if as_json:
        echo_json(
            [
                {
                    "entry_point": info.entry_point,
                    "distribution": info.distribution,
                    "version": info.version,
                    "module": info.module,
                    "status": info.status,
                    "problem": info.problem,
                    "architectures": [architecture.name for architecture in info.architectures],
                    "extractors": [extractor.name for extractor in info.extractors],
                    "registry": str(info.registry_file) if info.registry_file else None,
                    "traceback": info.traceback,
                }
                for info in found.plugins
            ]
        )
        return
    if not found.plugins:
        click.echo("zoo: no plugin is installed; pip install zoo-dcgan, for one", err=True)
        return
    rows = []
    for info in found.plugins:
        names = [architecture.name for architecture in info.architectures]
        provides = ", ".join(names + [extractor.name for extractor in info.extractors])
        remark = provides if info.status == "ok" else info.problem or ""
        rows.append((info.entry_point, f"{info.distribution} {info.version}", info.module, info.status, remark))
    echo_columns(rows)
    if commands:
        click.echo(f"commands of plugins: {', '.join(sorted(map(printable, commands)))}")
    for problem in found.command_problems:
        click.echo(printable(problem, 1000))
    if verbose:
        for info in found.plugins:
            if info.traceback:
                click.echo(f"\n{printable(info.entry_point)} of {printable(info.distribution)}:")
                _echo_traceback(info.traceback)


def _echo_traceback(traceback: str) -> None:
    """Line by line without control characters: an error's text is the plugin's own."""
    for line in traceback.splitlines():
        margin = " " * (len(line) - len(line.lstrip(" ")))
        click.echo(margin + printable(line, 1000))
