"""`zoo registry`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_columns, echo_json
from zoo_core.errors import RegistryError, ZooError, printable
from zoo_core.files.paths import user_path


@click.group("registry")
def command() -> None:
    """Manage registries: your own, and those of your team on the Hub."""


@command.command("check")
@click.argument("file", type=options.UserPath())
def check(file: Path) -> None:
    """Check a registry FILE: its format, and every file of the bundled models that it names."""
    from zoo_core.modelfolder import inspect, verify_files
    from zoo_core.registries import Registry

    models = Registry.from_file(file)
    for entry in models.values():
        if entry.folder is None:
            continue
        if not entry.folder.is_dir():
            raise RegistryError(f"there is no folder {entry.folder}", file=file, field=f"models.{entry.name}.bundled")
        verify_files(entry.folder, entry.files)
        inspect(entry.folder)
    click.echo(f"{printable(file)}: {_count(len(models))}, no problems")


@command.command("add")
@click.argument("place", metavar="FILE|hf://USER/REPO[@REVISION]")
def add(place: str) -> None:
    """Start reading a registry, after those that are already read.

    On the Hub, a registry is a registry.yaml in a repository. It is copied now, and again by `zoo registry update`.
    """
    from zoo_core.files.folders import configuration_folder
    from zoo_core.registries import Registry, sources

    folder = configuration_folder()
    place = _canonical(place)
    if place in sources.added(folder):
        raise ZooError(f"{printable(place)} was added already")
    file = sources.file_of(place, folder)
    if place.startswith("hf://"):
        _update(place, file)
    else:
        click.echo(f"{printable(place)}: {_count(len(Registry.from_file(file)))}")
    sources.add(place, folder)


@command.command("remove")
@click.argument("place", metavar="FILE|hf://USER/REPO[@REVISION]")
def remove(place: str) -> None:
    """Stop reading a registry that was added."""
    from zoo_core.files.folders import configuration_folder
    from zoo_core.registries import sources

    sources.remove(_canonical(place), configuration_folder())


@command.command("list")
@options.json("the registries")
def list_(as_json: bool) -> None:
    """List the registries in the order in which they are read. A name belongs to the first registry that has it."""
    from zoo_core.files.folders import configuration_folder
    from zoo_core.plugins import manager
    from zoo_core.registries import sources
    from zoo_core.registries.index import core_index

    rows = [("the core's index", _count(len(core_index())), "zoo-core")]
    rows += [
        (str(info.registry_file), _state(info.registry_file), info.distribution)
        for info in manager().plugins
        if info.status == "ok" and info.registry_file is not None
    ]
    rows += [
        (source.place, _state(source.file, on_hub=source.on_hub), source.given_by)
        for source in sources.sources(configuration_folder())
    ]
    if as_json:
        echo_json([dict(zip(("place", "state", "given_by"), row, strict=True)) for row in rows])
    else:
        echo_columns(rows)


@command.command("update")
def update() -> None:
    """Copy the registries on the Hub again. If that fails, the last copy stays."""
    from zoo_core.files.folders import configuration_folder
    from zoo_core.registries import sources

    on_hub = [source for source in sources.sources(configuration_folder()) if source.on_hub]
    if not on_hub:
        click.echo("zoo: no registry on the Hub was added; use zoo registry add hf://user/repo", err=True)
    failed = sum(not _updates(source.place, source.file) for source in on_hub)
    if failed:
        raise ZooError(f"{failed} of {len(on_hub)} could not be updated")


def _updates(place: str, file: Path) -> bool:
    """Update one registry; report why if that fails."""
    try:
        _update(place, file)
    except ZooError as error:
        click.echo(f"zoo: {printable(error, 1000)}", err=True)
        return False
    return True


def _canonical(place: str) -> str:
    """A place as it is recorded: an absolute path, or an address in its canonical form."""
    if not place.startswith("hf://"):
        return str(user_path(place).absolute())
    from zoo_core.registries.address import parse_address

    return str(parse_address(place))


def _update(place: str, file: Path) -> None:
    from zoo_core.hub.remote_registries import update_copy

    models, commit = update_copy(place, file)
    click.echo(f"{printable(place)}: {_count(len(models))} at commit {commit[:12]}")


def _state(file: Path, *, on_hub: bool = False) -> str:
    from zoo_core.registries import Registry

    if on_hub and not file.is_file():
        return "not fetched yet: zoo registry update"
    try:
        return _count(len(Registry.from_file(file)))
    except RegistryError as error:
        return f"cannot be read: {error.problem}"


def _count(number: int) -> str:
    return f"{number} model{'' if number == 1 else 's'}"
