"""`zoo plugins check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import PluginName
from zoo_core.cli.messages import echo_columns, echo_json

if TYPE_CHECKING:
    from zoo_core.testing.installed import CheckResult


@click.command("check")
@click.argument("name", type=PluginName(), required=False)
@options.json("every result")
def command(name: str | None, as_json: bool) -> None:
    """Check installed plugins, or the one called NAME, against the part of the contract that needs no training.

    NAME is an entry point, a distribution or an architecture. The exit code is 1 if anything breaks the contract. A
    plugin's own tests inherit the whole contract from zoo_core.testing.
    """
    from zoo_core.plugins import manager
    from zoo_core.testing.installed import check_installed

    results = check_installed(manager(), name)
    if as_json:
        echo_json([_facts(result) for result in results])
    else:
        echo_columns(_rows(results))
        if not results:
            click.echo("zoo: no plugin is installed", err=True)
    sys.exit(1 if any(result.state == "broken" for result in results) else 0)


def _facts(result: CheckResult) -> dict[str, str | None]:
    return {
        "entry_point": result.plugin.entry_point,
        "distribution": result.plugin.distribution,
        "architecture": result.architecture,
        "check": result.check,
        "state": result.state,
        "reason": result.reason,
    }


def _rows(results: list[CheckResult]) -> list[tuple[str, str, str, str]]:
    """A line for each thing that is broken, and one for each architecture with nothing broken."""
    rows: list[tuple[str, str, str, str]] = []
    for key, of_it in _by_architecture(results).items():
        who = (of_it[0].plugin.entry_point, key[1] or "-")
        problems = [result for result in of_it if result.state in ("broken", "disabled")]
        for result in problems:
            reason = result.reason or ""
            rows.append((*who, result.state, f"{result.check}: {reason}" if result.check else reason))
        if not problems:
            kept = [result.check or "" for result in of_it if result.state == "kept"]
            rows.append((*who, "ok", f"{len(kept)} checks: {', '.join(kept)}"))
    return rows


def _by_architecture(results: list[CheckResult]) -> dict[tuple[str, str | None], list[CheckResult]]:
    groups: dict[tuple[str, str | None], list[CheckResult]] = {}
    for result in results:
        groups.setdefault((result.plugin.key, result.architecture), []).append(result)
    return groups
