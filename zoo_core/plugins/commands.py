"""Commands of plugins: what the hook `zoo_commands` adds to `zoo`, and which of it is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

from zoo_core.errors import PluginError, printable
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr
from zoo_core.plugins.loading import DISABLE_VARIABLE, PluginInfo, one_line

if TYPE_CHECKING:
    import click


@dataclass(frozen=True)
class PluginCommands:
    """The commands that plugins add to `zoo`.

    Attributes:
        accepted: the commands that can be used, by name.
        problems: a line for each thing that was refused, and the plugins that it is about.
        by_plugin: the names of the accepted commands, by a plugin's `key`.
    """

    accepted: Mapping[str, click.Command]
    problems: Mapping[str, tuple[PluginInfo, ...]]
    by_plugin: Mapping[str, tuple[str, ...]]

    def problems_of(self, info: PluginInfo) -> list[str]:
        """Return the lines that are about one plugin."""
        return [line for line, plugins in self.problems.items() if info in plugins]


def collect_commands(
    plugins: Iterable[tuple[PluginInfo, pluggy.PluginManager]], reserved: Collection[str]
) -> PluginCommands:
    """Ask plugins for their commands, and refuse those whose name is taken.

    Args:
        plugins: those that are used, each with its hooks.
        reserved: names of the core's own commands.
    """
    accepted: dict[str, click.Command] = {}
    problems: dict[str, tuple[PluginInfo, ...]] = {}
    by_plugin: dict[str, tuple[str, ...]] = {}
    offers: dict[str, list[tuple[PluginInfo, click.Command]]] = {}
    for info, hooks in plugins:
        try:
            with plugin_output_on_stderr():
                commands = _commands_of(hooks, info.entry_point)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way
            problems[f"commands of plugin {printable(info.entry_point)}: {one_line(error)}"] = (info,)
            continue
        for name, command in commands.items():
            offers.setdefault(name, []).append((info, command))
    for name, offered in offers.items():
        offering = tuple(info for info, _ in offered)
        if name not in reserved and len(offered) == 1:
            accepted[name] = offered[0][1]
            key = offering[0].key
            by_plugin[key] = (*by_plugin.get(key, ()), name)
        else:
            problems[_refusal(name, offering, is_reserved=name in reserved)] = offering
    return PluginCommands(accepted, problems, by_plugin)


def _commands_of(hooks: pluggy.PluginManager, name: str) -> dict[str, click.Command]:
    """Return the commands that one plugin adds to a group of its own. Raises PluginError, or what the plugin raises."""
    import click

    group = click.Group(name)
    hooks.hook.zoo_commands(cli=group)
    for key, command in group.commands.items():
        if not isinstance(key, str) or not isinstance(command, click.Command):
            raise PluginError(f"zoo_commands must add click's commands, not {printable(repr(command), 80)}")
    return dict(group.commands)


def _refusal(name: str, plugins: tuple[PluginInfo, ...], *, is_reserved: bool) -> str:
    names = printable(" and ".join(info.entry_point for info in plugins))
    if is_reserved:
        return f"command {printable(name)} of plugin {names} is refused: zoo has it"
    remedy = f"{'both' if len(plugins) == 2 else 'all'} are ignored; disable one with {DISABLE_VARIABLE}"
    return f"command {printable(name)} is offered by plugins {names}: {remedy}"
