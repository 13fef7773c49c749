"""Results of the static checks on installed plugins, which `zoo plugins check` shows."""

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
from zoo_core.testing.architecture_under_test import ArchitectureUnderTest
from zoo_core.testing.static import STATIC_CHECKS


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of an architecture.

    Attributes:
        plugin: the plugin.
        architecture, check: their names; None for a plugin that is broken or disabled as a whole.
        state: the result.
        reason: what is broken, or why the check does not apply or the plugin is disabled; None for "kept".
    """

    plugin: PluginInfo
    architecture: str | None
    check: str | None
    state: Literal["kept", "broken", "does not apply", "disabled"]
    reason: str | None = None


def check_installed(manager: PluginManager, name: str | None = None) -> list[CheckResult]:
    """Check every installed plugin, or what is called `name`: an entry point, a distribution or an architecture.

    Raises:
        PluginError: if nothing has that name.
    """
    results = [result for info in manager.plugins for result in _of_plugin(info, name)]
    if name is not None and not results:
        raise PluginError(f"no installed plugin or architecture is called {printable(name, 80)!r}; zoo plugins list")
    return results


def _of_plugin(info: PluginInfo, name: str | None) -> Iterator[CheckResult]:
    whole = name is None or canonical_name(name) in (
        canonical_name(info.entry_point),
        canonical_name(info.distribution),
    )
    if whole and info.status != "ok":
        yield CheckResult(info, None, None, "disabled" if info.status == "disabled" else "broken", info.problem)
        return
    for architecture in info.architectures:
        if whole or (info.status == "ok" and name and canonical_name(name) == canonical_name(architecture.name)):
            yield from _of_architecture(info, architecture)


def _of_architecture(info: PluginInfo, architecture: Architecture) -> Iterator[CheckResult]:
    tested = ArchitectureUnderTest(architecture, info.module)
    for check in STATIC_CHECKS:
        state, reason = "kept", None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not a result of the command
                check(tested)
        except SkipTest as error:
            state, reason = "does not apply", str(error)
        except ZooError as error:
            state, reason = "broken", str(error)
        except Exception as error:  # a plugin's code may fail in any way
            state, reason = "broken", f"{type(error).__name__}: {error}"
        yield CheckResult(info, architecture.name, check.__name__, state, reason)  # type: ignore[arg-type]
