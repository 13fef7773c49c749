"""Files that are replaced together, and SIGKILL at any moment of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo_core.errors import OutputError
from zoo_core.modelfolder.replacing import complete_replacement, replace_files

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
NAMES = ("model.safetensors", "config.json")

KILLED_BEFORE = """
import os, signal, sys
from pathlib import Path
from zoo_core.modelfolder.replacing import replace_files

left = int(sys.argv[2])


def counted(change):
    def wrapper(path, *arguments, **options):
        global left
        if path.parent == Path(sys.argv[1]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return change(path, *arguments, **options)

    return wrapper


for name in ("open", "replace", "unlink"):
    setattr(Path, name, counted(getattr(Path, name)))
replace_files(Path(sys.argv[1]), {"model.safetensors": b"new" * 9, "config.json": b"new"}, last="config.json")
"""

FOREVER = """
import itertools, sys
from pathlib import Path
from zoo_core.modelfolder.replacing import replace_files

print("ready", flush=True)
for letter in itertools.cycle([b"a", b"b"]):
    replace_files(
        Path(sys.argv[1]), {"model.safetensors": letter * 100_000, "config.json": letter * 10}, last="config.json"
    )
"""


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"old" * 9)
    (folder / "config.json").write_bytes(b"old")
    (folder / "README.md").write_bytes(b"mine")
    (folder / ".config.json.mine.tmp").write_bytes(b"no writer calls its file so")
    return folder


OTHERS = {"README.md", ".config.json.mine.tmp"}


def letters(folder: Path) -> set[bytes]:
    """The different bytes of both files: one version is one set."""
    return {(folder / name).read_bytes()[:3] for name in NAMES}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_kill_before_any_change_of_the_folder_leaves_the_old_files_or_the_new_ones(folder: Path):
    versions, code, step = [], -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        step += 1
        replace_files(folder, {"model.safetensors": b"old" * 9, "config.json": b"old"}, last="config.json")
        assert names(folder) == {*NAMES, *OTHERS}  # nothing of the last kill is left
        code = subprocess.run([sys.executable, "-c", KILLED_BEFORE, str(folder), str(step)], check=False).returncode
        complete_replacement(folder, last="config.json")
        (version,) = letters(folder)
        versions.append(version)
    assert code == 0
    assert versions == sorted(versions, reverse=True)  # once the new files count, they do so after every later kill
    assert {versions[0], versions[-1]} == {b"old", b"new"}
    assert step > 6


def kill_at_random(folder: Path, count: int) -> None:
    moments = random.Random(3)
    for _ in range(count):
        process = subprocess.Popen([sys.executable, "-c", FOREVER, str(folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        complete_replacement(folder, last="config.json")
        assert len({(folder / name).read_bytes()[:1] for name in NAMES}) == 1
    replace_files(folder, dict.fromkeys(NAMES, b"c"), last="config.json")
    assert names(folder) == {*NAMES, *OTHERS}


def test_kills_at_random_moments_mix_nothing_and_leave_nothing(folder: Path):
    kill_at_random(folder, 5)


@pytest.mark.slow
def test_many_kills_at_random_moments_mix_nothing_and_leave_nothing(folder: Path):
    kill_at_random(folder, 100)


def test_a_reader_waits_for_a_writer_that_is_at_work(folder: Path):
    process = subprocess.Popen([sys.executable, "-c", FOREVER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        for _ in range(200):
            complete_replacement(folder, last="config.json")
        assert process.poll() is None  # no file was taken from under it
    finally:
        process.kill()
        process.communicate()


def test_what_cannot_be_replaced_leaves_the_old_files(folder: Path):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        replace_files(folder, dict.fromkeys(NAMES, b"new"), last="config.json")
    assert (folder / "config.json").read_bytes() == b"old"
    assert names(folder) == {*NAMES, *OTHERS}


def test_a_failure_after_the_first_replacement_is_completed_by_the_next_reader(folder: Path, monkeypatch):
    replace = Path.replace

    def fail_on_config(path: Path, target: Path) -> Path:
        if target.name == "config.json":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", fail_on_config)
        with pytest.raises(OutputError, match="Input/output error"):
            replace_files(folder, {"model.safetensors": b"new" * 9, "config.json": b"new"}, last="config.json")
    complete_replacement(folder, last="config.json")
    assert letters(folder) == {b"new"}
    assert names(folder) == {*NAMES, *OTHERS}
