"""`zoo cache`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_columns, echo_json, report_problems
from zoo_core.errors import ZooError, printable

if TYPE_CHECKING:
    from zoo_core.hub.housekeeping import CachedModel
    from zoo_core.registries import ModelEntry


@click.group("cache")
def command() -> None:
    """Manage zoo-core's models in the cache that all tools of the Hub share.

    Models of other tools are neither shown nor touched. NAME is a registry name, or hf://user/repo[@revision].
    """


@command.command("list")
@options.json("the models")
def list_(as_json: bool) -> None:
    """List the models in the cache, with address, size, branches and tags, and names in the registry."""
    from zoo_core.files.sizes import readable_size
    from zoo_core.hub.housekeeping import cached_models

    models = cached_models(_entries())
    if as_json:
        echo_json([_facts(model) for model in models])
        return
    rows = [
        (
            f"hf://{model.repo}@{model.commit[:12]}",
            readable_size(model.size),
            ", ".join(model.references) or "-",
            ", ".join(model.names) or "-",
        )
        for model in models
    ]
    if not rows:
        click.echo("zoo: the cache holds no model of zoo-core", err=True)
    echo_columns(rows)


@command.command("remove")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ModelName())
def remove(names: tuple[str, ...]) -> None:
    """Remove models from the cache."""
    from zoo_core.hub import housekeeping

    chosen = housekeeping.choose(housekeeping.cached_models(_entries()), names)
    _say_freed(housekeeping.remove_models(chosen), chosen)


@command.command("prune")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
def prune(dry_run: bool) -> None:
    """Remove commits that no registry entry, branch or tag refers to, and the remains of interrupted downloads."""
    from zoo_core.hub import housekeeping

    models = housekeeping.cached_models(_entries())
    old, leftovers = housekeeping.superseded(models), housekeeping.abandoned_downloads(models)
    if dry_run:
        for line in [*(model.address for model in old), *map(str, leftovers)]:
            click.echo(printable(line, 1000))
        return
    freed = housekeeping.remove_files(leftovers)
    _say_freed(freed + housekeeping.remove_models(old), old)


@command.command("verify")
@click.argument("names", metavar="[NAME]...", nargs=-1, type=ModelName())
def verify(names: tuple[str, ...]) -> None:
    """Read every file of the models again (of all models by default). Damaged files are removed; the exit code is 1."""
    from zoo_core.hub import housekeeping

    entries = _entries()
    models = housekeeping.cached_models(entries)
    verdicts = [
        housekeeping.verify_model(model, entries) for model in (housekeeping.choose(models, names) if names else models)
    ]
    for verdict in verdicts:
        for problem in verdict.problems:
            click.echo(f"zoo: {printable(problem, 1000)}", err=True)
        summary = f"{len(verdict.problems)} damaged" if verdict.problems else f"{verdict.files} files verified"
        if verdict.unverifiable:
            summary += f"; without a digest: {', '.join(verdict.unverifiable)}"
        click.echo(f"{printable(verdict.model.address)}: {summary}")
    damaged = sum(bool(verdict.problems) for verdict in verdicts)
    if damaged:
        raise ZooError(f"{damaged} of {len(verdicts)} models were damaged; use zoo pull to download what is missing")


def _entries() -> Iterable[ModelEntry]:
    from zoo_core.catalog import registry

    report_problems(*registry().problems)
    return registry().values()


def _facts(model: CachedModel) -> dict[str, object]:
    return {
        "address": model.address,
        "repo": model.repo,
        "commit": model.commit,
        "folder": str(model.folder),
        "size": model.size,
        "references": list(model.references),
        "names": list(model.names),
    }


def _say_freed(freed: int, models: list[CachedModel]) -> None:
    from zoo_core.files.sizes import readable_size

    for model in models:
        click.echo(printable(model.address))
    click.echo(f"zoo: {readable_size(freed)} freed", err=True)
