"""The fixtures of the tests of pull, push and the cache, beside those of `tests.hub.fixture`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.hub import Hub
from tests.hub_models import BUNDLED, entry_of, put, read, use
from zoo_core import catalog
from zoo_core.cli import main
from zoo_core.hub import pull as fetch
from zoo_core.hub import retrying
from zoo_core.registries import ModelEntry


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No registry of the machine's user, and nothing that an earlier test read or was told."""
    monkeypatch.setattr(fetch, "_warned", set())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    catalog.registry.cache_clear()
    yield
    catalog.registry.cache_clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, the waits between attempts are short; how many there are stays as it is."""
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.01)


@pytest.fixture
def command(impatient: None) -> Callable[..., Result]:
    """The command in this process, without the seconds that starting one costs."""

    def run(*arguments: object) -> Result:
        catalog.registry.cache_clear()
        return CliRunner().invoke(main, list(map(str, arguments)))

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder of the test's own."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "digits"))


@pytest.fixture
def pinned(hub: Hub, without_xet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelEntry:
    """The model `digits` of a registry, on the Hub at a commit."""
    files = read(BUNDLED)
    entry = entry_of(files, put(hub, files))
    use(entry, tmp_path / "team.yaml", monkeypatch)
    return entry
