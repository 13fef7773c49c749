"""The user's own registries: files, and copies of registries on the Hub. Looking one up opens no connection.

registries.txt          what `zoo registry add` added: one path or hf://user/repo[@revision] per line, and `#` remarks
registry.yaml           the user's own registry, which is read without being added, and registry.json
from-hub/*.yaml         the copies of registries on the Hub that `zoo registry update` makes, each with its commit
"""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import OutputError, RegistryError, ZooError, printable, well_formed
from zoo_core.files.atomic import write_bytes
from zoo_core.files.locks import locked_for_editing
from zoo_core.files.paths import user_path
from zoo_core.registries.address import SCHEME, parse_address

REGISTRY_VARIABLE = "ZOO_REGISTRY"


@dataclass(frozen=True)
class Source:
    """A registry that is read.

    Attributes:
        place: what the user calls it: a path, or hf://user/repo[@revision].
        file: the file to read: that path, or the copy of a registry on the Hub.
        given_by: ZOO_REGISTRY, `zoo registry add`, or the configuration folder.
    """

    place: str
    file: Path
    given_by: str

    @property
    def on_hub(self) -> bool:
        """Whether the file is a copy of a registry on the Hub."""
        return self.place.startswith(SCHEME)


def sources(configuration: Path) -> list[Source]:
    """List the user's registries in the order of precedence.

    First those in ZOO_REGISTRY, then registry.yaml and registry.json in the folder `configuration`, then those that
    were added.

    Raises:
        RegistryError: if an address is malformed, or registries.txt cannot be read.
    """
    named = [(item, REGISTRY_VARIABLE) for item in split_variable(os.environ.get(REGISTRY_VARIABLE, ""))]
    own = [configuration / name for name in ("registry.yaml", "registry.json")]
    named += [(str(file), "the configuration folder") for file in own if file.is_file()]
    named += [(item, "zoo registry add") for item in added(configuration)]
    by_file: dict[Path, Source] = {}
    for place, given_by in named:
        source = Source(place, file_of(place, configuration), given_by)
        by_file.setdefault(source.file, source)
    return list(by_file.values())


def split_variable(value: str) -> list[str]:
    """Split the value of ZOO_REGISTRY, whose items are separated as in PATH.

    Example:
        >>> split_variable(os.pathsep.join(["team.yaml", "hf://team/registry"]))  # the colon of hf:// does not separate
        ['team.yaml', 'hf://team/registry']
    """
    separator = re.escape(os.pathsep)
    parts = re.split(rf"(?<!\bhf){separator}|{separator}(?!//)", value)
    return [part.strip() for part in parts if part.strip()]


def file_of(place: str, configuration: Path) -> Path:
    """Return the file to read for a registry: the path itself, or the copy of a registry on the Hub.

    Raises:
        RegistryError: if the address is malformed.

    Example:
        >>> file_of("hf://team/registry@v2", Path("settings")).as_posix()
        'settings/from-hub/team%2Fregistry@v2.yaml'
    """
    if not place.startswith(SCHEME):
        return _path_of(place)
    try:
        address = parse_address(place)
    except ZooError as error:
        raise RegistryError(str(error)) from error
    return configuration / "from-hub" / f"{urllib.parse.quote(str(address).removeprefix(SCHEME), safe='@')}.yaml"


def _path_of(place: str) -> Path:
    try:
        return user_path(place)
    except ZooError as error:
        raise RegistryError(str(error)) from error


def read_files(configuration: Path) -> list[Path]:
    """List the files of the user's registries in the order of precedence.

    Raises:
        RegistryError: if one is on the Hub and was not copied yet.
    """
    known = sources(configuration)
    for source in known:
        if source.on_hub and not source.file.is_file():
            raise RegistryError(f"{printable(source.place)} has not been fetched yet: zoo registry update")
    return [source.file for source in known]


def added(configuration: Path) -> list[str]:
    """List the registries that `zoo registry add` added, in that order.

    Raises:
        RegistryError: if registries.txt cannot be read.
    """
    return [line.strip() for line in _lines(configuration) if line.strip() and not line.strip().startswith("#")]


def add(place: str, configuration: Path) -> None:
    """Add a registry after those that were added before.

    Raises:
        ZooError: if it was added already, or is a path that is no UTF-8, which registries.txt cannot hold.
        RegistryError: if registries.txt cannot be read.
        OutputError: if registries.txt cannot be written.
    """
    if place != well_formed(place):
        raise ZooError(f"{printable(place)}: the path of a registry must be in UTF-8; rename the file or its folder")
    with locked_for_editing(_list(configuration)):
        if place in added(configuration):
            raise ZooError(f"{printable(place)} was added already")
        _write(configuration, [*_lines(configuration), place])


def remove(place: str, configuration: Path) -> None:
    """Remove a registry that was added, and the copy of one on the Hub.

    Raises:
        ZooError: if it was not added.
        RegistryError: if registries.txt cannot be read.
        OutputError: if registries.txt cannot be written.
    """
    with locked_for_editing(_list(configuration)):
        if place not in added(configuration):
            raise ZooError(f"{printable(place)} was not added: zoo registry list shows what was")
        _write(configuration, [line for line in _lines(configuration) if line.strip() != place])
    if place.startswith(SCHEME):
        copy = file_of(place, configuration)
        for file in (copy, copy.with_suffix(".json")):  # the second one records the commit
            file.unlink(missing_ok=True)


def _lines(configuration: Path) -> list[str]:
    path = _list(configuration)
    try:
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"cannot be read: {printable(error, 120)}", file=path) from error


def _write(configuration: Path, lines: list[str]) -> None:
    try:
        configuration.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(configuration, error) from error
    write_bytes(_list(configuration), "".join(f"{line}\n" for line in lines).encode(), follow_link=True)


def _list(configuration: Path) -> Path:
    return configuration / "registries.txt"
