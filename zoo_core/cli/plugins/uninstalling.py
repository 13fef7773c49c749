"""`zoo plugins uninstall`."""

from __future__ import annotations

import sys
from typing import Any

import click

from zoo_core.cli.completion import PluginName
from zoo_core.cli.messages import echo_facts
from zoo_core.cli.plugins.facts import plugin_facts, summary_rows
from zoo_core.errors import InstallationError, printable
from zoo_core.interfaces.names import canonical_name


@click.command("uninstall")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=PluginName())
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--verbose", is_flag=True, help="Show the output of the installer.")
def command(names: tuple[str, ...], yes: bool, verbose: bool) -> None:
    """Uninstall plugins, and list the architectures, commands and models that go with them.

    NAME is a distribution, an entry point or an architecture. On a terminal, zoo asks for confirmation.
    """
    from zoo_core.plugins import manager
    from zoo_core.plugins.distributions import uninstall

    facts = plugin_facts(manager())
    chosen = list(dict.fromkeys(_distribution(name, facts) for name in names))
    for distribution in chosen:
        for one in facts:
            if one["distribution"] == distribution:
                click.echo(printable(f"{distribution} {one['version']} goes, with"))
                echo_facts(summary_rows(one) or [("nothing", "that is in use")], margin="  ")
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Uninstall?", abort=True, err=True)
    for distribution in chosen:
        uninstall(distribution, verbose=verbose)


def _distribution(name: str, facts: list[dict[str, Any]]) -> str:
    """The distribution that provides the plugin of that name. Raises InstallationError."""
    for one in facts:
        known = (one["distribution"], one["entry_point"], *one["architectures"])
        if canonical_name(name) in map(canonical_name, known):
            distribution: str = one["distribution"]
            return distribution
    raise InstallationError(f"no installed plugin is called {printable(name, 80)!r}; zoo plugins list shows them")
