"""Whether a model that a registry lists can be used here, and what to do where it cannot."""

from __future__ import annotations

from zoo_core.catalog import suggested_installation
from zoo_core.interfaces.names import same_name
from zoo_core.plugins import manager
from zoo_core.registries import ModelEntry


def why_unusable(entry: ModelEntry) -> str | None:
    """None where an installed plugin provides the entry's architecture, else what keeps it from being used."""
    found = manager()
    if same_name(entry.architecture) in found.architectures:
        return None
    info = found.unusable(entry.plugin) if entry.plugin else None
    if info is not None:
        return f"{info.distribution} is {info.status}: {info.problem}"
    installation = suggested_installation(entry)
    return f"needs: {installation}" if installation else f"needs the plugin {entry.plugin or 'that makes it'}"
