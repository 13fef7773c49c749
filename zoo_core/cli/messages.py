"""What several commands print: problems on stderr, JSON on stdout, columns that no pipe wraps."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

from zoo_core.errors import printable

_reported: set[str] = set()


def report_problems(*more: str) -> None:
    """A line on stderr for each plugin that was left out and each of `more`, once a process."""
    from zoo_core.plugins import manager

    for problem in (*manager().problems, *more):
        if problem not in _reported:
            _reported.add(problem)
            click.echo(f"zoo: {printable(problem, 1000)}", err=True)


def echo_json(value: Any) -> None:
    """A value of JSON's types, indented, on stdout."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def echo_columns(rows: Sequence[Sequence[object]]) -> None:
    """Rows in aligned columns; on a terminal cut to its width, in a pipe whole."""
    cells = [[printable(cell, 1000) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if limit is None or len(line) <= limit else line[: limit - 1] + "…")


def echo_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values, a line each, the values in one column."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name.ljust(width)}  {printable(value, 1000)}".rstrip())
