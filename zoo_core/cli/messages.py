"""Output of several commands: problems on stderr, JSON on stdout, columns that no pipe wraps."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.errors import printable
from zoo_core.interfaces.option_facts import in_words

if TYPE_CHECKING:
    from zoo_core.registries import Metric

_reported: set[str] = set()


def report_problems(*more: str) -> None:
    """Print a line on stderr for each plugin that was left out and each of `more`, once per process."""
    from zoo_core.plugins import manager

    for problem in (*manager().problems, *more):
        if problem not in _reported:
            _reported.add(problem)
            click.echo(f"zoo: {printable(problem, 1000)}", err=True)


def echo_json(value: Any) -> None:
    """Print a value as indented JSON on stdout: in ASCII, so that no terminal or code page changes it."""
    import json

    click.echo(json.dumps(value, indent=2))


def echo_json_items(items: Iterable[Any]) -> None:
    """Print a list on stdout as `echo_json` prints it, one item after another."""
    import json

    before = "[\n"
    for item in items:
        lines = json.dumps(item, indent=2).splitlines()
        click.echo(before + "\n".join(f"  {line}" for line in lines), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def echo_path(path: Path) -> None:
    """Print a path on stdout exactly as the system has it, whatever bytes its name holds, for a program to read."""
    click.echo(os.fsencode(path) if os.name == "posix" else str(path))


def echo_columns(rows: Iterable[Sequence[object]]) -> int:
    """Print rows in aligned columns, cut to the width of a terminal, whole in a pipe; return their number.

    The first thousand rows decide how wide the columns are. More than that are printed a thousand at a time, and a
    column becomes wider when it has to.
    """
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    remaining, widths, count = iter(rows), list[int](), 0
    while some := [[printable(cell, 1000) for cell in row] for row in itertools.islice(remaining, 1000)]:
        count += len(some)
        present = [max(map(len, column)) for column in zip(*some, strict=True)]
        widths = [max(pair) for pair in zip(present, widths or present, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in some]
        cut = [line if limit is None or len(line) <= limit else line[: limit - 1] + "…" for line in lines]
        click.echo("\n".join(cut))
    return count


def echo_facts(facts: Sequence[tuple[str, object]], margin: str = "") -> None:
    """Print names and values, one pair per line after the margin, with the values in one column."""
    lines = [(printable(name), printable(value, 1000)) for name, value in facts]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{margin}{name.ljust(width)}  {value}".rstrip())


def figure_line(metric: Metric) -> str:
    """A measured value, with the conditions needed to measure it again."""
    value = f"{metric.value:g}" + (f" ± {metric.error:g}" if metric.error is not None else "")
    version = f" version {metric.version}" if metric.version is not None else ""
    conditions = [
        " ".join(part for part in (metric.dataset, metric.split) if part),
        f"{metric.samples:,} samples" if metric.samples is not None else "",
        f"seed {metric.seed}" if metric.seed is not None else "",
        f"{metric.extractor}{version}" if metric.extractor else "",
        metric.resizing or "",
        metric.detail or "",
        f"options {in_words(metric.options)}" if metric.options else "",
    ]
    stated = ", ".join(condition for condition in conditions if condition)
    warning = f"; warning: {metric.warning}" if metric.warning else ""
    return (f"{value} ({stated})" if stated else value) + warning
