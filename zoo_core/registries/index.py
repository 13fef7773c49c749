"""The core's own index, registry.yaml, and the files of the user's registries."""

from __future__ import annotations

import functools
from pathlib import Path

from zoo_core.files.folders import configuration_folder
from zoo_core.registries import sources
from zoo_core.registries.registry import Registry


@functools.cache
def core_index() -> Registry:
    """Read the curated index: in a checkout its own registry.yaml, otherwise the copy in the wheel.

    Example:
        >>> core_index()["dcgan-mnist"].plugin
        'zoo-dcgan'
    """
    package = Path(__file__).parent.parent
    checkout = package.parent / "registry.yaml"
    in_checkout = checkout.is_file() and _is_checkout(package.parent)
    return Registry.from_file(checkout if in_checkout else package / "registry.yaml")


def _is_checkout(folder: Path) -> bool:
    """Return whether this is zoo-core's source, and not a project into which zoo-core was installed."""
    import tomllib  # an installed core does not need it

    try:
        with (folder / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file).get("project")
    except (OSError, ValueError):  # no file, or not TOML
        return False
    return isinstance(project, dict) and project.get("name") == "zoo-core"


def user_files() -> list[Path]:
    """List the files of the user's registries: in ZOO_REGISTRY, in the configuration folder, and those that were added.

    Raises:
        RegistryError: if one is on the Hub and was never fetched.
    """
    return sources.read_files(configuration_folder())
