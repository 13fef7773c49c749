"""The core's own index, registry.yaml, and the files of the user's registries."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from zoo_core.registries import sources
from zoo_core.registries.registry import Registry


@functools.cache
def core_index() -> Registry:
    """The curated index: a checkout's own registry.yaml before the copy that a wheel carries."""
    package = Path(__file__).parent.parent
    checkout = package.parent / "registry.yaml"
    in_checkout = checkout.is_file() and _is_checkout(package.parent)
    return Registry.from_file(checkout if in_checkout else package / "registry.yaml")


def _is_checkout(folder: Path) -> bool:
    """Whether this is zoo-core's source, and not somebody's project into which zoo-core was installed."""
    project = folder / "pyproject.toml"
    return project.is_file() and 'name = "zoo-core"' in project.read_text(encoding="utf-8", errors="replace")


def user_files() -> list[Path]:
    """The user's registries: those of ZOO_REGISTRY, registry.yaml in the configuration folder, and those added.

    Raises:
        RegistryError: where one lies on the Hub and was never fetched.
    """
    return sources.read_files(configuration_folder())


def configuration_folder() -> Path:
    """Where the user's own settings lie on this system."""
    if sys.platform == "win32":
        return _expanded(os.environ.get("APPDATA") or "~/AppData/Roaming") / "zoo"
    if sys.platform == "darwin":
        return _expanded("~/Library/Application Support/zoo")
    return _expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "zoo"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user without a home, as in some containers: no such file lies there
        return Path(path)
