"""The command `zoo`: one module a command, imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from zoo_core._version import __version__
from zoo_core.errors import ZooError, did_you_mean, printable

# name -> (module, one line of help): so that `zoo --help` imports no command.
COMMANDS = {
    "list": ("list_models", "List the models that are known."),
    "info": ("info", "Say all that is known of a model."),
    "pull": ("pull", "Fetch models, verify them, and print their folders."),
    "download": ("pull", "The same as pull."),
    "push": ("push", "Publish a model on the Hub."),
    "search": ("search", "Search the Hub for models."),
    "cache": ("cache", "Look after the models that were pulled."),
    "sample": ("sample", "Draw samples from a model."),
    "interpolate": ("interpolate", "Walk from sample to sample of a model."),
    "traverse": ("traverse", "Change a model's latent, one dimension at a time."),
    "reconstruct": ("reconstruct", "Take pictures through a model's latent and back."),
    "train": ("train", "Train a model on your own data."),
    "eval": ("evaluate", "Measure how good a model is: FID, KID and others."),
    "verify": ("verify", "Check that models are what their registry states."),
    "plugins": ("plugins", "Show, install, check and write plugins."),
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

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **options: Any) -> click.Context:
        for stream in (sys.stdout, sys.stderr):
            # Not every terminal has every letter; one that it lacks must not end the command.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        with _one_line(debug="--debug" in args[:1]):
            return super().make_context(info_name, args, *rest, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if name not in HIDDEN] + sorted(self._plugin_commands(ctx))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = importlib.import_module(f"zoo_core.cli.{COMMANDS[name][0]}").command
            return command
        return self._plugin_commands(ctx).get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        plugins = self._plugin_commands(ctx)
        rows = [(name, line) for name, (_, line) in COMMANDS.items() if name not in HIDDEN]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if plugins:
            with formatter.section("Commands of plugins"):
                helps = {printable(name): printable(plugins[name].get_short_help_str()) for name in sorted(plugins)}
                formatter.write_dl(list(helps.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args and self.get_command(ctx, args[0]) is None:
            hint = did_you_mean(args[0], self.list_commands(ctx), otherwise="zoo --help lists them")
            ctx.fail(f"there is no command {printable(args[0], 80)!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)

    def _plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        commands = _commands_of_plugins()
        if not ctx.resilient_parsing:  # while a shell completes, a message would end up in the line being typed
            from zoo_core.cli.messages import report_problems

            report_problems()
        return commands


@contextlib.contextmanager
def _one_line(*, debug: bool) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a Failure; with `debug`, let errors pass with their traceback."""
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except KeyboardInterrupt as error:
        raise Failure("interrupted") from error
    except Exception as error:  # a plugin's model may raise anything, and a user is owed a line in any case
        if debug or (isinstance(error, OSError) and error.errno == errno.EPIPE):
            raise
        raise Failure(_explanation(error)) from error


def _explanation(error: Exception) -> str:
    if isinstance(error, ZooError):
        return printable(error, 2000)
    if isinstance(error, OSError) and error.strerror:
        place = f"{printable(error.filename)}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return f"{printable(f'{type(error).__name__}: {error}', 500)} (zoo --debug COMMAND shows where)"


@functools.cache
def _commands_of_plugins() -> dict[str, click.Command]:
    from zoo_core.plugins import manager

    return manager().commands(reserved=COMMANDS)


@click.group(cls=ZooGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """A model zoo for generative models: list, sample, train, measure, publish."""
    from zoo_core.hub.client import own_this_process

    own_this_process(lambda line: click.echo(f"zoo: {line}", err=True))
