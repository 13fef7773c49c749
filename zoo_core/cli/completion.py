"""`zoo completion`, and the completion of names in the arguments of other commands."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.errors import ZooError, printable
from zoo_core.files.paths import user_path
from zoo_core.sampling.classes import first_word, names_a_class

_INSTALL = {
    "bash": '# add to ~/.bashrc:  eval "$(zoo completion bash)"',
    "zsh": '# add to ~/.zshrc:  eval "$(zoo completion zsh)"',
    "fish": "# run once:  zoo completion fish > ~/.config/fish/completions/zoo.fish",
}


class ModelName(click.types.StringParamType):
    """A parameter that takes the name of a model; shells complete it."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.catalog import registry

        try:
            models = registry()
            names = models.beginning_with(incomplete)
            items = [CompletionItem(name, help=printable(models[name].summary, 80)) for name in names]
        except ZooError:  # a completing shell cannot show an error; the command itself will
            return []
        return items or [CompletionItem(incomplete, type="dir")]


class ClassName(click.types.StringParamType):
    """A parameter that takes classes of the model named before it, by number or name; shells complete the last one."""

    name = "class"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        # Not parsed yet while an option still lacks its value.
        names = _class_names(ctx.params.get("name") or next(iter(ctx.args), ""))
        before, comma, last = incomplete.rpartition(",")
        words = [word for word in map(first_word, names) if word.casefold().startswith(last.casefold())]
        given = before.casefold().split(",") if comma else []
        return [
            CompletionItem(f"{before}{comma}{word}")
            for word in words
            if word.casefold() not in given and names_a_class(word, names)
        ]


def _class_names(model: str) -> tuple[str, ...]:
    """The classes of a model in a registry or in a folder; none if that is not known."""
    from zoo_core.catalog import registry
    from zoo_core.modelfolder import read_config
    from zoo_core.models import is_folder

    try:
        return read_config(user_path(model)).class_names if is_folder(model) else registry()[model].class_names
    except ZooError:  # a completing shell cannot show an error; the command itself will
        return ()


class ArchitectureName(click.types.StringParamType):
    """A parameter that takes the name of an architecture; shells complete it."""

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
    """A parameter that takes the entry point, distribution or architecture of a plugin; shells complete it."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from zoo_core.plugins import manager

        helps: dict[str, str] = {}  # a plugin often has the name of its architecture: list each name once
        for info in manager().plugins:
            helps.setdefault(info.entry_point, f"plugin of {info.distribution}")
            helps.setdefault(info.distribution, f"distribution {info.version}")
            for architecture in info.architectures:
                helps.setdefault(architecture.name, f"architecture of {info.distribution}")
        return [
            CompletionItem(name, help=printable(text, 80))
            for name, text in helps.items()
            if name.startswith(incomplete)
            and printable(name) == name  # metadata of a stranger may hold control characters
        ]


@click.command("completion")
@click.argument("shell", type=click.Choice(sorted(_INSTALL)))
def command(shell: str) -> None:
    """Print a script with which SHELL completes commands, options and names."""
    from click.shell_completion import get_completion_class

    from zoo_core.cli.group import main

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(_INSTALL[shell])
    click.echo(completion(main, {}, "zoo", "_ZOO_COMPLETE").source())
