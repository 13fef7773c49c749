"""The pytest fixtures: a real server process and an environment that points at it.

`hub` is what a test asks for; `hub_home` is its HF_HOME, `without_xet` the switch that uploads by huggingface_hub need,
`hub_process` the process that all tests share (each finds it empty).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .client import ALICE, Hub


@pytest.fixture(scope="session")
def hub_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One process for all tests: starting it takes longer than most of them."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    hub.stop()


@pytest.fixture
def hub_home(tmp_path: Path) -> Path:
    """HF_HOME of this test."""
    return tmp_path / "hf_home"


@pytest.fixture
def hub(hub_process: Hub, hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that runs, and HF_ENDPOINT, HF_HOME and HF_TOKEN (alice's) set, for processes and for this one."""
    if not hub_process.running:
        hub_process.start()
    hub_process.reset()
    # Before the environment is changed: it would keep it beyond this test. A command that ran in this process has set up
    # the session for itself.
    importlib.import_module("huggingface_hub").close_session()
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    for name, value in hub_process.environment(hub_home, ALICE).items():
        if name.startswith("HF_"):
            monkeypatch.setenv(name, value)
    point_client(hub_process.url, hub_home, monkeypatch)
    yield hub_process
    if hub_process.running:
        hub_process.heal()


@pytest.fixture
def point_at(hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What makes another address this process's Hub, with alice's token."""

    def point(url: str) -> None:
        importlib.import_module("huggingface_hub")  # before the environment is changed, as in `hub`
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_HOME", str(hub_home))
        monkeypatch.setenv("HF_TOKEN", ALICE)
        point_client(url, hub_home, monkeypatch)

    return point


@pytest.fixture
def without_xet(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_DISABLE_XET for this process and its children: with Xet on, the official client never falls back to LFS."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")


def point_client(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub, which read the environment at its import, use this Hub and this HF_HOME."""
    from huggingface_hub import constants, hf_api

    paths = {"HF_HUB_CACHE": "hub", "HUGGINGFACE_HUB_CACHE": "hub", "HF_ASSETS_CACHE": "assets", "HF_XET_CACHE": "xet"}
    paths |= {"HF_HOME": "", "HF_TOKEN_PATH": "token", "HF_STORED_TOKENS_PATH": "stored_tokens"}
    paths |= {"AGENT_HARNESSES_PATH": ".agent_harnesses.json", "CHECK_FOR_UPDATE_DONE_PATH": ".check_for_update_done"}
    values = {name: str(home / below) for name, below in paths.items()}
    values |= {"ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}"}
    for name, value in values.items():
        if hasattr(constants, name):
            monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(hf_api.api, "endpoint", url)
