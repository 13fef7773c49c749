"""What several commands print: problems on stderr, JSON on stdout, columns that no pipe wraps."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.registries import Metric

_reported: set[str] = set()


def report_problems(*more: str) -> None:
    """A line on stderr for each plugin that was left out and each of `more`, once a process."""
    from zoo_core.plugins import manager

    for problem in (*manager().problems, *more):
        if problem not in _reported:
            _reported.add(problem)
            click.echo(f"zoo: {printable(problem, 1000)}", err=True)


def echo_json(value: Any) -> None:
    """A value of JSON's types, indented, on stdout: in ASCII, so that no terminal and no code page changes it."""
    import json

    click.echo(json.dumps(value, indent=2))


def echo_path(path: Path) -> None:
    """A path on stdout as the system has it, whatever bytes its name holds, for a program to read."""
    click.echo(os.fsencode(path) if os.name == "posix" else str(path))


def echo_columns(rows: Sequence[Sequence[object]]) -> None:
    """Rows in aligned columns; on a terminal cut to its width, in a pipe whole."""
    cells = [[printable(cell, 1000) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if limit is None or len(line) <= limit else line[: limit - 1] + "…")


def echo_facts(facts: Sequence[tuple[str, object]], margin: str = "") -> None:
    """Names and values, a line each after the margin, the values in one column."""
    lines = [(printable(name), printable(value, 1000)) for name, value in facts]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{margin}{name.ljust(width)}  {value}".rstrip())


def figure_line(metric: Metric) -> str:
    """A measured value with what it takes to measure it again."""
    value = f"{metric.value:g}" + (f" ± {metric.error:g}" if metric.error is not None else "")
    version = f" version {metric.version}" if metric.version is not None else ""
    conditions = [
        " ".join(part for part in (metric.dataset, metric.split) if part),
        f"{metric.samples:,} samples" if metric.samples is not None else "",
        f"seed {metric.seed}" if metric.seed is not None else "",
        f"{metric.extractor}{version}" if metric.extractor else "",
        metric.resizing or "",
        metric.detail or "",
    ]
    told = ", ".join(condition for condition in conditions if condition)
    return f"{value} ({told})" if told else value
