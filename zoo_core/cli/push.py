"""`zoo push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_columns, echo_json, report_problems
from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.hub.plan import Plan
    from zoo_core.hub.push import Published
    from zoo_core.registries import ModelEntry


@click.command("push")
@click.argument("folder", required=False, type=options.UserPath())
@click.argument("repo", metavar="[USER/REPO]", required=False)
@click.option("--private", is_flag=True, help="Create a new repository as private.")
@click.option("--pr", "pull_request", is_flag=True, help="Open a pull request instead of changing the branch.")
@click.option("--tag", help="Tag the commit with this name.")
@click.option("--name", help="Name of the model in the registry.  [default: that of the repository]")
@click.option("--register", type=options.UserPath(), help="Add the model to this registry.yaml.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be sent, and send nothing; needs neither network nor login."
)
@click.option("--all", "everything", is_flag=True, help="Publish every bundled model.")
@click.option("--namespace", help="With --all: user or organization to publish under.")
@options.json("the entries")
def command(
    folder: Path | None,
    repo: str | None,
    private: bool,
    pull_request: bool,
    tag: str | None,
    name: str | None,
    register: Path | None,
    dry_run: bool,
    everything: bool,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Publish the model in FOLDER as USER/REPO on the Hub, and print its registry entry.

    The folder is checked as when it is loaded, and is never written to. Everything goes into one commit, with a model
    card.
    """
    from zoo_core.catalog import registry
    from zoo_core.hub import client
    from zoo_core.hub.errors import HubResource
    from zoo_core.hub.plan import make_plan
    from zoo_core.hub.push import publish
    from zoo_core.registries.editing import as_yaml

    pushes = _pushes(folder, repo, name, everything, namespace)
    report_problems(*registry().problems)
    if not dry_run:
        client.require_token(HubResource(pushes[0][1], act="write"))
    entries: list[ModelEntry] = []
    trials: list[Plan] = []
    for place, target, entry_name, known in pushes:
        plan = make_plan(place, target, name=entry_name, register=register, known=known, trial=dry_run)
        for note in plan.notes:
            click.echo(f"zoo: {note}", err=True)
        if dry_run:
            trials.append(plan)
            continue
        done = publish(plan, private=private or None, register=register, pull_request=pull_request, tag=tag)
        _report(plan, done)
        entries.append(done.entry)
    if dry_run:
        _show(trials, as_json)
    elif as_json:
        echo_json([entry.to_dict() for entry in entries])
    else:
        click.echo("".join(as_yaml(entry) for entry in entries), nl=False)


def _pushes(
    folder: Path | None, repo: str | None, name: str | None, everything: bool, namespace: str | None
) -> list[tuple[Path, str, str | None, ModelEntry | None]]:
    """What to publish: folder, repository, name in the registry, and the entry that is known already."""
    if not everything:
        if folder is None or repo is None:
            raise click.UsageError("give FOLDER and USER/REPO, or --all and --namespace")
        if namespace is not None:
            raise click.UsageError("--namespace needs --all")
        return [(folder, repo, name, None)]
    if folder is not None or name is not None:
        raise click.UsageError(
            "--all publishes every bundled model under its own name; give neither a folder nor --name"
        )
    if namespace is None:
        raise click.UsageError("--all needs --namespace")
    from zoo_core.catalog import registry
    from zoo_core.plugins import manager
    from zoo_core.registries.address import check_repository
    from zoo_core.registries.query import Query

    plugins = {info.registry_file.absolute() for info in manager().plugins if info.registry_file is not None}
    return [
        (entry.folder, check_repository(f"{namespace}/{entry.name}"), entry.name, entry)
        for entry in registry().select(Query(bundled=True))
        if entry.folder is not None and entry.source in plugins
    ]


def _show(plans: list[Plan], as_json: bool) -> None:
    """What would be published: files, entry and card."""
    from zoo_core.registries.editing import as_yaml

    for plan in plans:
        _say_left_out(plan)
    if as_json:
        echo_json([_as_fields(plan) for plan in plans])
        return
    for plan in plans:
        click.echo(f"hf://{plan.repo}, {_state(plan)}")
        echo_columns(
            [
                (_fate(plan, file), file, f"{content.facts.size:,}", content.facts.sha256)
                for file, content in plan.files.items()
            ]
        )
        click.echo(f"\n# the entry, to which the push adds the commit\n{as_yaml(plan.entry)}", nl=False)
        click.echo("\n# README.md")
        for line in _card(plan).splitlines():
            text = line.lstrip(" ")
            click.echo(" " * (len(line) - len(text)) + printable(text, 10_000))


def _as_fields(plan: Plan) -> dict[str, Any]:
    files = [
        {"name": file, "size": content.facts.size, "sha256": content.facts.sha256, "state": _fate(plan, file)}
        for file, content in plan.files.items()
    ]
    return {
        "repo": plan.repo,
        "head": plan.head,
        "not_compared": plan.not_compared,
        "files": files,
        "left_out": list(plan.left_out),
        "entry": plan.entry.to_dict(),
        "card": _card(plan),
    }


def _state(plan: Plan) -> str:
    if plan.not_compared is not None:
        return f"not compared with the Hub: {plan.not_compared}"
    if plan.head is None:
        return "a new repository"
    return f"on {plan.head[:12]}" if plan.head else "a repository without a commit"


def _fate(plan: Plan, file: str) -> str:
    if plan.not_compared is not None:
        return "unknown"
    return "send" if file in plan.changed else "there"


def _card(plan: Plan) -> str:
    from zoo_core.modelfolder import CARD

    return plan.files[CARD].read().decode()


def _report(plan: Plan, done: Published) -> None:
    count = len(done.changed)
    sent = f"{count} file{'' if count == 1 else 's'} in the commit {done.commit[:12]}" if count else "nothing to change"
    click.echo(f"zoo: {done.url}: {sent}", err=True)
    if done.pull_request:
        click.echo(f"zoo: pull request: {printable(done.pull_request)}", err=True)
    _say_left_out(plan)


def _say_left_out(plan: Plan) -> None:
    if plan.left_out:
        names = ", ".join(plan.left_out)
        click.echo(f"zoo: left out, because they are not part of a model: {printable(names, 300)}", err=True)
