"""`zoo plugins check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import PluginName
from zoo_core.cli.messages import echo_columns, echo_json

if TYPE_CHECKING:
    from zoo_core.testing.installed import Verdict


@click.command("check")
@click.argument("name", type=PluginName(), required=False)
@options.json("every result")
def command(name: str | None, as_json: bool) -> None:
    """Check installed plugins, or the one called NAME, against the part of the contract that needs no training.

    NAME is an entry point, a distribution or an architecture. The exit code is 1 if anything breaks the contract. A
    plugin's own tests inherit the whole contract from zoo_core.testing.
    """
    from zoo_core.plugins import manager
    from zoo_core.testing.installed import verdicts

    found = verdicts(manager(), name)
    if as_json:
        echo_json([_facts(verdict) for verdict in found])
    else:
        echo_columns(_rows(found))
        if not found:
            click.echo("zoo: no plugin is installed", err=True)
    sys.exit(1 if any(verdict.state == "broken" for verdict in found) else 0)


def _facts(verdict: Verdict) -> dict[str, str | None]:
    return {
        "entry_point": verdict.plugin.entry_point,
        "distribution": verdict.plugin.distribution,
        "architecture": verdict.architecture,
        "check": verdict.check,
        "state": verdict.state,
        "reason": verdict.reason,
    }


def _rows(found: list[Verdict]) -> list[tuple[str, str, str, str]]:
    """A line for each thing that is broken, and one for each architecture with nothing broken."""
    rows: list[tuple[str, str, str, str]] = []
    for key, of_it in _by_architecture(found).items():
        who = (of_it[0].plugin.entry_point, key[1] or "-")
        told = [verdict for verdict in of_it if verdict.state in ("broken", "disabled")]
        for verdict in told:
            reason = verdict.reason or ""
            rows.append((*who, verdict.state, f"{verdict.check}: {reason}" if verdict.check else reason))
        if not told:
            kept = [verdict.check or "" for verdict in of_it if verdict.state == "kept"]
            rows.append((*who, "ok", f"{len(kept)} checks: {', '.join(kept)}"))
    return rows


def _by_architecture(found: list[Verdict]) -> dict[tuple[str, str | None], list[Verdict]]:
    groups: dict[tuple[str, str | None], list[Verdict]] = {}
    for verdict in found:
        groups.setdefault((verdict.plugin.key, verdict.architecture), []).append(verdict)
    return groups
