"""`zoo registry`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.errors import printable


@click.group("registry")
def command() -> None:
    """Work with registry files."""


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a registry FILE: its form, and the bundled models that it names, file by file."""
    from zoo_core.errors import RegistryError
    from zoo_core.modelfolder import inspect, verify
    from zoo_core.registries import Registry

    models = Registry.from_file(file)
    for entry in models.values():
        if entry.folder is None:
            continue
        if not entry.folder.is_dir():
            raise RegistryError(f"there is no folder {entry.folder}", file=file, field=f"models.{entry.name}.bundled")
        verify(entry.folder, entry.files)
        inspect(entry.folder)
    click.echo(f"{printable(file)}: {len(models)} model{'' if len(models) == 1 else 's'}, all well")
