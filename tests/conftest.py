"""What several tests share: throw-away plugin distributions, and the command in a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import hypothesis
import pytest

from tests import forkserver
from tests.builtin import require

# Workers of pytest-xdist share the cores: threads of theirs would wait for each other. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine may take any time over an example; speed is measured in benchmarks/. .ci/run asks for `thorough`.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None)
hypothesis.settings.load_profile("quick")

SLOW_TIMEOUT = 600  # seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests may take longer; tests marked `cuda` run only where there is a CUDA device."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `plugins` run only where those distributions are installed."""
    for mark in item.iter_markers("plugins"):
        require(*mark.args)


PEAK_MEMORY = '''
def peak_memory():
    """Of this process, in bytes. ru_maxrss also counts the process that forked this one; Linux has a better figure."""
    import resource, sys
    from pathlib import Path
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
'''


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded pictures are not left in the user's cache."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def without_coverage(environment: Mapping[str, str]) -> dict[str, str]:
    """Of a process that is not to be measured, since it may not write what was measured."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, for the whole run: workers of pytest-xdist wait for the first one to have filled it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with filelock.FileLock(f"{shared}.lock"):
        if not shared.exists():
            unfinished = tmp_path_factory.mktemp(name)
            make(unfinished)
            unfinished.rename(shared)
    return shared


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., list[str]]:
    """Run a script, which may call peak_memory(), in a process of its own; returns the lines that it prints."""

    def run(script: str, *arguments: object) -> list[str]:
        command = [sys.executable, "-c", PEAK_MEMORY + textwrap.dedent(script), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@dataclass
class Site:
    """A folder that holds throw-away distributions, as site-packages does."""

    folder: Path

    def add(self, distribution: str, source: str, **files: str) -> importlib.metadata.EntryPoint:
        """A distribution with one plugin module (`zoo-ring` has `zoo_ring`); returns its entry point."""
        module = distribution.replace("-", "_")
        package = self.folder / module
        package.mkdir()
        (package / "__init__.py").write_text(textwrap.dedent(source))
        for name, text in files.items():
            (package / f"{name}.py").write_text(textwrap.dedent(text))
        self.register(distribution)
        return self.entry_points()[distribution]

    def register(self, distribution: str) -> None:
        """What an installer writes down of a distribution whose module lies here."""
        module = distribution.replace("-", "_")
        metadata = self.folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[zoo.plugins]\n{distribution.removeprefix('zoo-')} = {module}\n")

    def entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        """By distribution, in the order of their names."""
        found = sorted(importlib.metadata.distributions(path=[str(self.folder)]), key=lambda d: d.name)
        return {distribution.name: next(iter(distribution.entry_points)) for distribution in found}

    def environment(self, **variables: str) -> dict[str, str]:
        """Of a process that sees these distributions beside the installed ones."""
        path = os.pathsep.join([str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return os.environ | {"PYTHONPATH": path} | variables


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def zoo(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, in a folder of its own, without the second that importing torch costs."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return forkserver.run("-m", "zoo_core", *arguments, **{"cwd": tmp_path, "timeout": 120} | options)

    return run


@pytest.fixture
def zoo_from_scratch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in a new interpreter: for what is imported, or where output goes."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zoo_core", *map(str, arguments)]
        options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120} | options
        return subprocess.run(command, check=False, **options)

    return run
