"""The user's own registries: files, and copies of registries that lie on the Hub. Look-ups open no connection.

registries.txt          what `zoo registry add` added: a path or hf://user/repo[@revision] a line
registry.yaml           the user's own, read without being added
from-hub/*.yaml         the copies that `zoo registry update` made of registries on the Hub
"""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from zoo_core.errors import OutputError, RegistryError, ZooError, printable
from zoo_core.files.atomic import write_bytes
from zoo_core.registries.address import SCHEME, parse_address

REGISTRY_VARIABLE = "ZOO_REGISTRY"


@dataclass(frozen=True)
class Source:
    """A registry that is read.

    Attributes:
        place: what the user calls it: a path, or hf://user/repo[@revision].
        file: what is read: that path, or the copy of what lies on the Hub.
        given_by: ZOO_REGISTRY, `zoo registry add`, or the configuration folder.
    """

    place: str
    file: Path
    given_by: str

    @property
    def on_hub(self) -> bool:
        """Whether the file is a copy."""
        return self.place.startswith(SCHEME)


def sources(configuration: Path) -> list[Source]:
    """The user's registries in their order: ZOO_REGISTRY, registry.yaml in the folder, then those that were added.

    Raises:
        RegistryError: where one is no address, or registries.txt cannot be read.
    """
    named = [(item, REGISTRY_VARIABLE) for item in split_variable(os.environ.get(REGISTRY_VARIABLE, ""))]
    own = configuration / "registry.yaml"
    if own.is_file():
        named.append((str(own), "the configuration folder"))
    named += [(item, "zoo registry add") for item in added(configuration)]
    found: dict[Path, Source] = {}
    for place, given_by in named:
        source = Source(place, file_of(place, configuration), given_by)
        found.setdefault(source.file, source)
    return list(found.values())


def split_variable(value: str) -> list[str]:
    """The registries of ZOO_REGISTRY, separated as in PATH; the colon of hf:// separates nothing."""
    separator = re.escape(os.pathsep)
    parts = re.split(rf"(?<!\bhf){separator}|{separator}(?!//)", value)
    return [part.strip() for part in parts if part.strip()]


def file_of(place: str, configuration: Path) -> Path:
    """The file to read for a registry. Raises RegistryError for an address that is none."""
    if not place.startswith(SCHEME):
        try:
            return Path(place).expanduser()
        except RuntimeError:  # a user without a home, as in some containers: no such file lies there
            return Path(place)
    try:
        address = parse_address(place)
    except ZooError as error:
        raise RegistryError(str(error)) from error
    return configuration / "from-hub" / f"{urllib.parse.quote(str(address).removeprefix(SCHEME), safe='@')}.yaml"


def read_files(configuration: Path) -> list[Path]:
    """The files of the user's registries, in their order.

    Raises:
        RegistryError: where one lies on the Hub and there is no copy yet.
    """
    found = sources(configuration)
    for source in found:
        if source.on_hub and not source.file.is_file():
            raise RegistryError(f"{printable(source.place)} was not fetched yet: zoo registry update")
    return [source.file for source in found]


def added(configuration: Path) -> list[str]:
    """What `zoo registry add` added, in that order. Raises RegistryError where the list cannot be read."""
    path = _list(configuration)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"cannot be read: {printable(error, 120)}", file=path) from error
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def add(place: str, configuration: Path) -> None:
    """Add a registry at the end. Raises ZooError where it is there, OutputError where the list cannot be written."""
    places = added(configuration)
    if place in places:
        raise ZooError(f"{printable(place)} was added already")
    _write(configuration, [*places, place])


def remove(place: str, configuration: Path) -> None:
    """Take an added registry out again, and its copy. Raises ZooError where it is not there."""
    places = added(configuration)
    if place not in places:
        raise ZooError(f"{printable(place)} was not added: zoo registry list shows what was")
    _write(configuration, [item for item in places if item != place])
    if place.startswith(SCHEME):
        file_of(place, configuration).unlink(missing_ok=True)


def _write(configuration: Path, places: list[str]) -> None:
    try:
        configuration.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.unwritable(configuration, error) from error
    write_bytes(_list(configuration), "".join(f"{place}\n" for place in places).encode())


def _list(configuration: Path) -> Path:
    return configuration / "registries.txt"
