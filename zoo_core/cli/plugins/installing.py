"""`zoo plugins install`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.messages import echo_facts
from zoo_core.cli.plugins.facts import summary_rows
from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.plugins.distributions import Installed


@click.command("install")
@click.argument("what", nargs=-1, required=True)
@click.option("-e", "--editable", is_flag=True, help="Install a folder in editable mode: changes take effect at once.")
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade to the newest version.")
@click.option("--verbose", is_flag=True, help="Show the output of the installer.")
def command(what: tuple[str, ...], editable: bool, upgrade: bool, verbose: bool) -> None:
    """Install plugins into the environment that runs zoo, with pip or uv, and show what they provide.

    WHAT is a name in the package index, a folder, a wheel, or the address of a git repository. To pass options to the
    installer, set its environment variables: PIP_INDEX_URL, UV_NO_INDEX and so on.
    """
    from zoo_core.plugins.distributions import install, installed

    sound = True
    for requirement in what:
        before = installed()
        install(requirement, editable=editable, upgrade=upgrade, verbose=verbose)
        sound &= _tell(requirement, before, installed())
    sys.exit(0 if sound else 1)


def _tell(requirement: str, before: dict[str, Installed], after: dict[str, Installed]) -> bool:
    """Report what changed, plugins first. True if there is a plugin among it, and none that was left out."""
    changed = {name for name in after if before.get(name) != after[name]}
    plugins = [facts for facts in _plugins_now() if facts["distribution"] in changed]
    for facts in plugins:
        place = " ".join(filter(None, (facts["origin"], facts["source"]["place"])))
        click.echo(printable(f"{facts['distribution']} {facts['version']}, from {place}"))
        if rows := summary_rows(facts):
            echo_facts(rows, margin="  ")
    for name in sorted(changed - {facts["distribution"] for facts in plugins}):
        old = f"{before[name].version} -> " if name in before else ""
        click.echo(printable(f"also {name} {old}{after[name].version}"))
    shown = printable(requirement, 120)
    if not changed:
        click.echo(f"zoo: {shown} is already installed; nothing changed", err=True)
        return True
    if not plugins:
        click.echo(f"zoo: {shown} is installed, but provides no plugin: it has no entry point in zoo.plugins", err=True)
    return bool(plugins) and all(facts["status"] != "left out" for facts in plugins)


def _plugins_now() -> list[dict[str, Any]]:
    """The plugins that a new process finds: this one has already loaded its own."""
    listing = [sys.executable, "-m", "zoo_core", "plugins", "list", "--json"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
