"""`zoo` itself: its table of commands, and every error as one line."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core._version import __version__
from zoo_core.errors import ZooError, did_you_mean, printable

if TYPE_CHECKING:
    from zoo_core.plugins import PluginCommands

# name -> (module, one line of help): so that `zoo --help` imports no command.
COMMANDS = {
    "list": ("list_models", "List the known models."),
    "info": ("info", "Show everything known about a model."),
    "pull": ("pull", "Download models, verify them, and print their folders."),
    "download": ("pull", "Same as pull."),
    "push": ("push", "Publish a model on the Hub."),
    "search": ("search", "Search the Hub for models."),
    "cache": ("cache", "Manage the models that were pulled."),
    "sample": ("sample", "Draw samples from a model."),
    "interpolate": ("interpolate", "Walk through a model's latent space."),
    "traverse": ("traverse", "Vary a latent one dimension at a time."),
    "reconstruct": ("reconstruct", "Encode pictures and decode them again."),
    "train": ("train", "Train a model on your own data."),
    "eval": ("evaluate", "Measure how good a model is: FID, KID and others."),
    "verify": ("verify", "Check that models match what their registry states."),
    "plugins": ("plugins", "List, install, check and create plugins."),
    "registry": ("registry", "Manage registries of models."),
    "doctor": ("doctor", "Check this installation and report problems."),
    "completion": ("completion", "Print a shell completion script."),
}
HIDDEN = {"download"}


class Failure(click.ClickException):
    """An error as one line on stderr, with exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"zoo: {self.format_message()}", file=file, err=file is None)


class ZooGroup(click.Group):
    """A group that imports a command when it is called, and reports every error as one line."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **options: Any) -> click.Context:
        for stream in (sys.stdout, sys.stderr):
            # A character that the terminal's encoding lacks must not end the command.
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
            hint = did_you_mean(args[0], self.list_commands(ctx), otherwise="zoo --help lists the commands")
            ctx.fail(f"no such command {printable(args[0], 80)!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)

    def _plugin_commands(self, ctx: click.Context) -> Mapping[str, click.Command]:
        commands = plugin_commands()
        if not ctx.resilient_parsing:  # during completion a message would end up in the line being typed
            from zoo_core.cli.messages import report_problems

            report_problems(*commands.problems)
        return commands.accepted


@contextlib.contextmanager
def _one_line(*, debug: bool) -> Iterator[None]:
    """Turn any error in the block into a Failure; with `debug`, let it pass with its traceback."""
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except KeyboardInterrupt as error:
        raise Failure("interrupted") from error
    except Exception as error:  # a plugin's model may raise anything
        if debug or (isinstance(error, OSError) and error.errno == errno.EPIPE):
            raise
        raise Failure(_explanation(error)) from error


def _explanation(error: Exception) -> str:
    from zoo_core.hub.redaction import redacted

    if isinstance(error, ZooError):
        return printable(redacted(str(error)), 2000)
    if isinstance(error, MemoryError):
        return "there is not enough memory; free some, or make the batches, the size or the number of samples smaller"
    if isinstance(error, OSError) and error.strerror:
        place = f"{printable(error.filename)}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return f"{printable(redacted(f'{type(error).__name__}: {error}'), 500)} (use zoo --debug COMMAND to see where)"


@functools.cache
def plugin_commands() -> PluginCommands:
    """Return the commands that plugins add; plugins are asked at the first call."""
    from zoo_core.plugins import manager

    return manager().commands(reserved=COMMANDS)


@click.group(cls=ZooGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """A model zoo for generative models: list, sample, train, measure, publish.

    Use `zoo COMMAND --help` to see the options of a command.
    """
    from zoo_core.cli.progress import registry_bar
    from zoo_core.hub.client import own_this_process
    from zoo_core.registries.reading import show_progress_with
    from zoo_core.runtime.environment import name_compiler_cache

    try:
        Path.cwd()
    except OSError as error:  # nothing can be told from a relative path, and torch ends the process while it is loaded
        raise Failure("the working folder no longer exists; cd to another one") from error
    name_compiler_cache()
    own_this_process(lambda line: click.echo(f"zoo: {line}", err=True))
    show_progress_with(registry_bar)
