"""Hooks: what a plugin can provide, the whole plugin contract on one screen.

A plugin is a module that an entry point of the group `zoo.plugins` names. It implements any of these
hooks with `@zoo_core.hookimpl`, imports nothing heavy at its top level, and may declare
`zoo_api = 1`, the version of this contract that it was written for.

Example:
    >>> from zoo_core import Architecture, hookimpl
    >>> @hookimpl
    ... def zoo_architectures():
    ...     return [
    ...         Architecture(
    ...             name="ring",
    ...             summary="Points on a ring",
    ...             config="zoo_ring.model:RingConfig",
    ...             generator="zoo_ring.model:Ring",
    ...         )
    ...     ]
    >>> [architecture.name for architecture in zoo_architectures()]
    ['ring']
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from zoo_core.interfaces import Architecture, FeatureExtractor, Kind

API_VERSION = 1
ENTRY_POINT_GROUP = "zoo.plugins"
PROJECT_NAME = "zoo"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


@hookspec
def zoo_architectures() -> Iterable[Architecture]:  # type: ignore[empty-body]
    """Return the architectures that this plugin provides."""


@hookspec
def zoo_registry() -> Path | str | None:
    """Return the path of a registry.yaml that this plugin ships, or None."""


@hookspec
def zoo_metrics() -> Iterable[FeatureExtractor]:  # type: ignore[empty-body]
    """Return the feature extractors that this plugin provides, for `zoo eval --extractor NAME`."""


@hookspec
def zoo_kinds() -> Iterable[Kind]:  # type: ignore[empty-body]
    """Return the kinds of samples that this plugin provides, beside image, audio, text and tensor."""


@hookspec
def zoo_commands(cli: click.Group) -> None:
    """Add commands to `cli`, a group of the plugin's own that is merged into `zoo`.

    It is called only for help, for completion, or for a command that the core does not know. A command
    whose name the core or another plugin uses is refused.
    """
