"""`zoo plugins`: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib

import click

__all__ = ["COMMANDS", "command"]

# name -> (module, one line of help)
COMMANDS = {
    "list": ("listing", "List the installed plugins and their problems."),
    "install": ("installing", "Install plugins into the environment that runs zoo."),
    "uninstall": ("uninstalling", "Uninstall plugins, and say what goes with them."),
    "new": ("scaffolding", "Write a new plugin, a distribution that passes its own tests."),
    "check": ("checking", "Hold installed plugins to the contract."),
}


class PluginsGroup(click.Group):
    """Its help imports none of its commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{COMMANDS[name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group("plugins", cls=PluginsGroup)
def command() -> None:
    """List, install, check and create plugins."""
