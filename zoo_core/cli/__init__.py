"""The command `zoo`: one module a command, imported when it is called."""

from __future__ import annotations

import difflib
import errno
import importlib
from typing import Any

import click

from zoo_core import __version__
from zoo_core.errors import ZooError, printable

# name -> (module, one line of help): so that `zoo --help` imports no command.
COMMANDS = {
    "list": ("list_models", "List the models that are known."),
    "info": ("info", "Say all that is known of a model."),
    "pull": ("pull", "Fetch models, verify them, and print their folders."),
    "download": ("pull", "The same as pull."),
    "sample": ("sample", "Draw samples from a model."),
    "train": ("train", "Train a model on your own data."),
    "plugins": ("plugins", "Show the installed plugins."),
    "registry": ("registry", "Work with registry files."),
    "doctor": ("doctor", "Check this installation and say how to mend it."),
    "completion": ("completion", "Print the script that completes names in a shell."),
}
HIDDEN = {"download"}


class Failure(click.ClickException):
    """What the command could not do, in one line on stderr; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"zoo: {self.format_message()}", file=file, err=file is None)


class ZooGroup(click.Group):
    """A group whose commands are imported when they are called, and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if name not in HIDDEN] + sorted(_plugin_commands())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = importlib.import_module(f"zoo_core.cli.{COMMANDS[name][0]}").command
            return command
        return _plugin_commands().get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        plugins = _plugin_commands()
        rows = [(name, line) for name, (_, line) in COMMANDS.items() if name not in HIDDEN]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, printable(plugins[name].get_short_help_str())) for name in sorted(plugins)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args and self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 2)
            hint = f"did you mean {' or '.join(close)}?" if close else "zoo --help lists them"
            ctx.fail(f"there is no command {printable(args[0], 80)!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ZooError, OSError) as error:
            if ctx.params.get("debug") or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise
            raise Failure(printable(error, 2000)) from error


def _plugin_commands() -> dict[str, click.Command]:
    from zoo_core.cli.messages import report_problems
    from zoo_core.plugins import manager

    commands = manager().commands(reserved=COMMANDS)
    report_problems()
    return commands


@click.group(cls=ZooGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """A model zoo for generative models: list, sample, train."""
