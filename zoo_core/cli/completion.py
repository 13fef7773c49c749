"""`zoo completion`, and the completion of names in other commands."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.errors import ZooError

_INSTALL = {
    "bash": '# add to ~/.bashrc:  eval "$(zoo completion bash)"',
    "zsh": '# add to ~/.zshrc:  eval "$(zoo completion zsh)"',
    "fish": "# run once:  zoo completion fish > ~/.config/fish/completions/zoo.fish",
}


class ModelName(click.ParamType[str]):
    """The name of a model in the registry, which a shell can complete."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.models import registry

        try:
            entries = registry().find(f"{incomplete}*")
        except ZooError:  # a shell that completes cannot show an error; the command itself will
            return []
        items = [CompletionItem(entry.name, help=entry.summary) for entry in entries]
        return items or [CompletionItem(incomplete, type="dir")]


class ArchitectureName(click.ParamType[str]):
    """The name of an architecture, which a shell can complete."""

    name = "architecture"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.plugins import manager

        found = [architecture for architecture, _ in manager().architectures.values()]
        return [CompletionItem(a.name, help=a.summary) for a in found if a.name.startswith(incomplete)]


@click.command("completion")
@click.argument("shell", type=click.Choice(sorted(_INSTALL)))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options and names."""
    from click.shell_completion import get_completion_class

    from zoo_core.cli import main

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(_INSTALL[shell])
    click.echo(completion(main, {}, "zoo", "_ZOO_COMPLETE").source())
