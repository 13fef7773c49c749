"""`zoo completion`, and the completion of names in other commands."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.errors import ZooError, printable
from zoo_core.sampling.classes import names_one, one_word

_INSTALL = {
    "bash": '# add to ~/.bashrc:  eval "$(zoo completion bash)"',
    "zsh": '# add to ~/.zshrc:  eval "$(zoo completion zsh)"',
    "fish": "# run once:  zoo completion fish > ~/.config/fish/completions/zoo.fish",
}


class ModelName(click.types.StringParamType):
    """The name of a model in the registry, which a shell can complete."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.catalog import registry

        try:
            entries = list(registry().values())
        except ZooError:  # a shell that completes cannot show an error; the command itself will
            return []
        items = [
            CompletionItem(name, help=printable(entry.summary, 80))
            for entry in entries
            for name in (entry.name, *entry.aliases)
            if name.startswith(incomplete)
        ]
        return items or [CompletionItem(incomplete, type="dir")]


class ClassName(click.types.StringParamType):
    """A class of the model that the command line names before, by number or name, which a shell can complete."""

    name = "class"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.catalog import registry

        model = ctx.params.get("name") or next(iter(ctx.args), "")  # not parsed yet while an option lacks its value
        try:
            names = registry()[model].class_names
        except ZooError:
            return []
        words = [word for word in map(one_word, names) if word.casefold().startswith(incomplete.casefold())]
        return [CompletionItem(word) for word in words if names_one(word, names)]


class ArchitectureName(click.types.StringParamType):
    """The name of an architecture, which a shell can complete."""

    name = "architecture"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.plugins import manager

        return [
            CompletionItem(architecture.name, help=printable(architecture.summary, 80))
            for architecture, _ in manager().architectures.values()
            if architecture.name.startswith(incomplete)
        ]


class PluginName(click.types.StringParamType):
    """The entry point, distribution or architecture of an installed plugin, which a shell can complete."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.plugins import manager

        helps: dict[str, str] = {}  # a plugin is often called as its architecture is: each name once
        for info in manager().plugins:
            helps.setdefault(info.entry_point, f"plugin of {info.distribution}")
            helps.setdefault(info.distribution, f"distribution {info.version}")
            for architecture in info.architectures:
                helps.setdefault(architecture.name, f"architecture of {info.distribution}")
        return [
            CompletionItem(name, help=printable(text, 80))
            for name, text in helps.items()
            if name.startswith(incomplete) and printable(name) == name  # of a stranger's metadata
        ]


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
