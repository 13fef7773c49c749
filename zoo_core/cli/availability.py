"""Whether a model of a registry can be used here, and what to do if not."""

from __future__ import annotations

from zoo_core.catalog import suggested_installation
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins import manager
from zoo_core.registries import ModelEntry


def why_unusable(entry: ModelEntry) -> str | None:
    """None if an installed plugin provides the architecture of the entry, else the reason why it cannot be used."""
    found = manager()
    if canonical_name(entry.architecture) in found.architectures:
        return None
    info = found.unusable(entry.plugin) if entry.plugin else None
    if info is not None:
        return f"{info.distribution} is {info.status}: {info.problem}"
    installation = suggested_installation(entry)
    return f"needs: {installation}" if installation else f"needs the plugin {entry.plugin or 'that makes it'}"
