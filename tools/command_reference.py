"""Option tables of docs/command.md, generated from the commands themselves.

    python tools/command_reference.py            write the tables
    python tools/command_reference.py --check    report whether they are up to date, and write nothing

Each table is between `<!-- options: zoo sample -->` and `<!-- end -->`. Every command that has options needs such a
block; commands of plugins, hidden commands, and `--help` are left out.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).parent.parent / "docs" / "command.md"
REGENERATE = "python tools/command_reference.py"
_BLOCK = re.compile(r"^<!-- options: (?P<command>.+?) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_STATED_DEFAULT = re.compile(r"\s*\[default: (.+)\]$")  # a default that is computed is stated in the help text


def option_tables() -> dict[str, str]:
    """The table of each command that has options, by the command's full name."""
    os.environ["ZOO_DISABLE_PLUGINS"] = "all"
    from zoo_core.cli import main

    rows = {name: _rows(command, name) for name, command in _commands(main, "zoo")}
    header = "| option | meaning | default |\n|---|---|---|\n"
    return {name: header + "\n".join(lines) for name, lines in rows.items() if lines}


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for child_name in command.list_commands(context):
        child = command.get_command(context, child_name)
        if child is not None and not child.hidden:
            yield from _commands(child, f"{name} {child_name}")


def _rows(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=name, show_default=True)
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    return [
        f"| {_names(option, context)} | {' | '.join(_meaning_and_default(option, context))} |" for option in options
    ]


def _names(option: click.Option, context: click.Context) -> str:
    *first, last = [*option.opts, *option.secondary_opts]
    if not option.is_flag and not isinstance(option.type, click.Choice):  # choices are listed in the meaning
        last += " " + option.make_metavar(context).removesuffix(" RANGE")
    return ", ".join(f"`{_cell(name)}`" for name in [*first, last])


def _meaning_and_default(option: click.Option, context: click.Context) -> tuple[str, str]:
    meaning = " ".join((option.help or "").split())
    facts = option.get_help_extra(context)
    default = "required" if facts.get("required") else facts.get("default", "")
    if stated := _STATED_DEFAULT.search(meaning):
        meaning, default = meaning[: stated.start()], stated[1]
    if isinstance(option.type, click.Choice):
        meaning = f"{meaning} One of {', '.join(f'`{choice}`' for choice in option.type.choices)}.".strip()
    if option.multiple:
        meaning += " May be repeated."
    return _cell(meaning), _cell(default)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;")


def regenerated(page: str) -> str:
    """The text of the page with every table up to date.

    Raises:
        SystemExit: a command that has options has no block, or a block names no such command.
    """
    tables = option_tables()
    named = {block["command"] for block in _BLOCK.finditer(page)}
    if missing := tables.keys() - named:
        sys.exit(f"{PAGE.name} needs a block <!-- options: … --> for: {', '.join(sorted(missing))}")
    if unknown := named - tables.keys():
        sys.exit(f"{PAGE.name} has a block for what is no command, or has no options: {', '.join(sorted(unknown))}")

    def block(match: re.Match[str]) -> str:
        name = match["command"]
        return f"<!-- options: {name} -->\n\n{tables[name]}\n\n<!-- end -->"

    return _BLOCK.sub(block, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a table is out of date; write nothing")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    expected = regenerated(page)
    if options.check and page != expected:
        sys.exit(f"docs/{PAGE.name} is out of date; run: {REGENERATE}")
    if not options.check:
        PAGE.write_text(expected, encoding="utf-8")


if __name__ == "__main__":
    main()
