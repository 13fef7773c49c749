"""`zoo registry`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.messages import echo_columns, echo_json
from zoo_core.errors import RegistryError, ZooError, printable
from zoo_core.files.paths import user_path

if TYPE_CHECKING:
    from zoo_core.registries.differences import Differences

_NAMED = 20  # models that are new, by name


@click.group("registry")
def command() -> None:
    """Manage registries: your own, and those of your team on the Hub."""


@command.command("check")
@click.argument("file", type=options.UserPath())
def check(file: Path) -> None:
    """Check a registry FILE: its format, and every file of the bundled models that it names."""
    from zoo_core.files.strict_yaml import read_text
    from zoo_core.modelfolder import inspect, verify_files
    from zoo_core.registries.reading import read_entries

    count, bundled = 0, []
    for read in read_entries(read_text(file), file):  # the file itself, whatever an index says
        count += 1
        if read.entry.bundled is not None:
            bundled.append(read.entry)
    for entry in bundled:
        folder = file.absolute().parent.resolve() / str(entry.bundled)
        if not folder.is_dir():
            raise RegistryError(f"there is no folder {folder}", file=file, field=f"models.{entry.name}.bundled")
        verify_files(folder, entry.files)
        inspect(folder)
    click.echo(f"{printable(file)}: {_count(count)}, no problems")


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
    _check_file(place)
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


@command.command("schema")
@click.option(
    "--training",
    is_flag=False,
    flag_value="",
    metavar="[ARCHITECTURE]",
    help="Print the schema of training files: for all architectures, or with the settings of this one.",
)
def schema(training: str | None) -> None:
    """Print the JSON Schema of registry files, by which an editor checks them and completes their fields."""
    from zoo_core.registries.schema import registry_schema, training_schema

    if training is None:
        echo_json(registry_schema())
    elif not training:
        echo_json(training_schema())
    else:
        from zoo_core.plugins import manager

        architecture = manager().architecture(training)
        trainer = architecture.trainer_class()
        if trainer is None:
            raise ZooError(f"{architecture.name} cannot be trained: its plugin has no trainer for it")
        options = architecture.generator_class().Options
        echo_json(training_schema(trainer.Settings, architecture.config_class(), options))


@command.command("update")
@click.option(
    "--allow-older", is_flag=True, help="Take a commit that does not follow the one that was copied last, too."
)
def update(allow_older: bool) -> None:
    """Copy the registries on the Hub again, and list the models whose digests changed.

    If a registry cannot be copied, is not valid, or its commit does not follow the one that was copied last, the last
    copy stays.
    """
    from zoo_core.files.folders import configuration_folder
    from zoo_core.registries import sources

    on_hub = [source for source in sources.sources(configuration_folder()) if source.on_hub]
    if not on_hub:
        click.echo("zoo: no registry on the Hub was added; use zoo registry add hf://user/repo", err=True)
    failed = sum(not _updates(source.place, source.file, allow_older) for source in on_hub)
    if failed:
        raise ZooError(f"{failed} of {len(on_hub)} could not be updated")


def _updates(place: str, file: Path, allow_older: bool) -> bool:
    """Update one registry; report why if that fails."""
    try:
        _update(place, file, allow_older)
    except ZooError as error:
        click.echo(f"zoo: {printable(error, 1000)}", err=True)
        return False
    return True


def _canonical(place: str) -> str:
    """A place as it is recorded: an absolute path, or an address in its canonical form."""
    from zoo_core.registries.address import check_place, parse_address

    if not check_place(place).startswith("hf://"):
        return str(user_path(place).absolute())
    return str(parse_address(place))


def _check_file(place: str) -> None:
    """Raise ZooError where a place is neither a file nor an address; says what is taken."""
    path = Path(place)
    if place.startswith("hf://") or path.is_file():
        return
    problem = "is a folder; give the registry.yaml in it" if path.is_dir() else "there is no such file"
    raise ZooError(f"{printable(place)}: {problem}; a repository on the Hub is written hf://user/repo")


def _update(place: str, file: Path, allow_older: bool = False) -> None:
    from zoo_core.hub.remote_registries import update_copy

    updated = update_copy(place, file, allow_older=allow_older)
    click.echo(f"{printable(place)}: {_count(updated.models)} at commit {updated.commit[:12]}")
    if updated.differences is not None:
        _show(updated.differences)


def _show(found: Differences) -> None:
    """A line for each file with another digest and each model that is gone, and how many models came."""
    for file in found.changed:
        digests = " -> ".join(digest[:12] if digest else "not named" for digest in (file.before, file.after))
        click.echo(f"  changed: {file.model}, {printable(file.file)}: {digests}")
    for name in found.removed:
        click.echo(f"  removed: {name}")
    if found.added:
        names = ", ".join(found.added[:_NAMED])
        more = f" and {len(found.added) - _NAMED:,} more" if len(found.added) > _NAMED else ""
        click.echo(f"  added: {names}{more}")


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
