"""The built-in plugins in the core's tests: any of them may be uninstalled, and what needs it is skipped then.

A test that names a bundled model, or needs one in another way, is marked `@pytest.mark.plugins("zoo-vae")`. One that
builds a network asks `architecture("vae")` for the classes instead of importing the plugin, and needs no mark.
"""

from __future__ import annotations

import importlib.metadata

import pytest

from zoo_core import Architecture
from zoo_core.plugins import manager
from zoo_core.registries.index import core_index

MODELS = {entry.name: str(entry.plugin) for entry in core_index().values()}
DIGITS = [entry.name for entry in core_index().values() if entry.dataset == "mnist"]
BUILT_IN = sorted(set(MODELS.values()))
every_bundled_model = [pytest.param(name, marks=pytest.mark.plugins(plugin)) for name, plugin in MODELS.items()]
every_model_of_digits = [param for param in every_bundled_model if param.values[0] in DIGITS]


def installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def bundled_here() -> list[str]:
    """The models that installed plugins bundle, in order."""
    return [name for name, plugin in MODELS.items() if installed(plugin)]


def require(*distributions: str) -> None:
    """Skip this test where one of them is not installed; one that is there and broken fails its tests."""
    missing = [name for name in distributions if not installed(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")


def architecture(name: str) -> Architecture:
    """A built-in architecture; the test that asks for it is skipped where its plugin is not installed."""
    owner = manager().owner_of_name(name)
    assert owner in BUILT_IN
    require(owner)
    return manager().architecture(name)
