"""The static part of the contract, run on installed plugins: what `zoo plugins check` shows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from unittest import SkipTest

from zoo_core.errors import PluginError, ZooError, printable
from zoo_core.interfaces import Architecture
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins import PluginInfo, PluginManager
from zoo_core.testing.static import STATIC_CHECKS
from zoo_core.testing.subject import Subject


@dataclass(frozen=True)
class Verdict:
    """What one check found of an architecture; or, where architecture and check are None, of a whole plugin.

    `reason` says what is broken, or why the check does not apply or the plugin is disabled.
    """

    plugin: PluginInfo
    architecture: str | None
    check: str | None
    state: Literal["kept", "broken", "does not apply", "disabled"]
    reason: str | None = None


def verdicts(manager: PluginManager, name: str | None = None) -> list[Verdict]:
    """Of every installed plugin, or of the one whose entry point, distribution or architecture is called `name`.

    Raises:
        PluginError: where nothing has that name.
    """
    found = [verdict for info in manager.plugins for verdict in _of_plugin(info, name)]
    if name is not None and not found:
        raise PluginError(f"no installed plugin or architecture is called {printable(name, 80)!r}; zoo plugins list")
    return found


def _of_plugin(info: PluginInfo, name: str | None) -> Iterator[Verdict]:
    whole = name is None or canonical_name(name) in (
        canonical_name(info.entry_point),
        canonical_name(info.distribution),
    )
    if whole and info.status != "ok":
        yield Verdict(info, None, None, "disabled" if info.status == "disabled" else "broken", info.problem)
        return
    for architecture in info.architectures:
        if whole or (info.status == "ok" and name and canonical_name(name) == canonical_name(architecture.name)):
            yield from _of_architecture(info, architecture)


def _of_architecture(info: PluginInfo, architecture: Architecture) -> Iterator[Verdict]:
    subject = Subject(architecture, info.module)
    for check in STATIC_CHECKS:
        state, reason = "kept", None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # a plugin's printing is no result of the command
                check(subject)
        except SkipTest as error:
            state, reason = "does not apply", str(error)
        except ZooError as error:
            state, reason = "broken", str(error)
        except Exception as error:  # a plugin's code may fail in any way
            state, reason = "broken", f"{type(error).__name__}: {error}"
        yield Verdict(info, architecture.name, check.__name__, state, reason)  # type: ignore[arg-type]
