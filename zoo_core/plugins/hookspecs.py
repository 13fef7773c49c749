"""What a plugin can tell the zoo: the whole plugin contract on one screen.

A plugin is a module named by an entry point of the group `zoo.plugins`. It implements any of these
hooks with `@zoo_core.hookimpl`, imports nothing heavy at its top level, and may declare
`zoo_api = 1`, the version of this contract it was written for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from zoo_core.interfaces import Architecture, FeatureExtractor

API_VERSION = 1
ENTRY_POINT_GROUP = "zoo.plugins"
PROJECT_NAME = "zoo"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


@hookspec
def zoo_architectures() -> Iterable[Architecture]:  # type: ignore[empty-body]
    """The architectures that this plugin provides."""


@hookspec
def zoo_registry() -> Path | str | None:
    """The path of a registry.yaml that this plugin ships, or None."""


@hookspec
def zoo_metrics() -> Iterable[FeatureExtractor]:  # type: ignore[empty-body]
    """The feature extractors that this plugin provides, for `zoo eval --extractor NAME`."""


@hookspec
def zoo_commands(cli: click.Group) -> None:
    """Add commands to `cli`, a group of the plugin's own that is merged into `zoo`.

    Called only for help, for completion, or for a command that the core does not know. A command
    whose name the core or another plugin has is refused.
    """
