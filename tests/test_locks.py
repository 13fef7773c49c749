"""Locks between processes, and the folders that they and the user's settings are in."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from zoo_core.errors import OutputError, ZooError
from zoo_core.files.folders import cache_folder, configuration_folder
from zoo_core.files.locks import locked, locked_for_editing
from zoo_core.registries import sources

HOLD = """
import sys
from pathlib import Path
from zoo_core.files.locks import locked
with locked(Path(sys.argv[1]), "it counts"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock `tmp_path / "lock"` until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def let_go_when_told(caplog, end):
    """Call `end` in a thread as soon as this process says that it waits."""

    class Waiting(logging.Handler):
        def emit(self, record):
            threading.Thread(target=end).start()

    caplog.handler.setLevel(logging.WARNING)
    handler = Waiting()
    logging.getLogger("zoo_core").addHandler(handler)
    return handler


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_lock_is_waited_for_and_free_when_its_holder_ends_or_is_killed(tmp_path, holder, caplog, end):
    handler = let_go_when_told(caplog, holder.stdin.close if end == "close" else holder.kill)
    try:
        with locked(tmp_path / "lock", "it counts"):
            assert holder.wait(timeout=60) == (0 if end == "close" else -9)
    finally:
        logging.getLogger("zoo_core").removeHandler(handler)
    assert [record.message for record in caplog.records] == ["waiting for another process: it counts"]


def test_a_lock_is_free_after_an_error_in_the_block(tmp_path):
    with pytest.raises(ValueError, match="no luck"), locked(tmp_path / "lock", "it counts"):
        raise ValueError("no luck")
    with locked(tmp_path / "lock", "it counts"):
        pass


COUNT = """
import sys
from pathlib import Path
from zoo_core.files.atomic import write_bytes
from zoo_core.files.locks import locked_for_editing
file = Path(sys.argv[1])
for _ in range(50):
    with locked_for_editing(file):
        write_bytes(file, str(int(file.read_text()) + 1).encode())
"""


def test_two_processes_that_edit_one_file_under_two_names_lose_nothing(tmp_path):
    (tmp_path / "count").write_text("0")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "folder").symlink_to(tmp_path)
    names = [tmp_path / "count", tmp_path / "link" / "folder" / "count"]
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(name)]) for name in names]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert (tmp_path / "count").read_text() == "100"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["count"]


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OutputError, match=r"cache/locks/.*\.lock cannot be written: .*; set ZOO_CACHE to a folder"):  # noqa: SIM117
        with locked_for_editing(tmp_path / "registry.yaml"):
            raise AssertionError("the block must not run")


def test_an_error_in_the_block_is_not_blamed_on_the_cache(tmp_path):
    with pytest.raises(FileNotFoundError), locked_for_editing(tmp_path / "registry.yaml"):
        (tmp_path / "nowhere" / "file").read_text()


# The user's registries


ADD_AND_REMOVE = """
import sys
from pathlib import Path
from zoo_core.registries import sources
folder, mine = Path(sys.argv[1]), sys.argv[2]
for number in range(20):
    sources.add(f"/{mine}/{number}.yaml", folder)
    if number % 2:
        sources.remove(f"/{mine}/{number}.yaml", folder)
"""


def test_registries_that_are_added_and_removed_at_once_are_all_recorded(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", ADD_AND_REMOVE, str(tmp_path / "zoo"), name]) for name in "abc"
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    expected = {f"/{name}/{number}.yaml" for name in "abc" for number in range(0, 20, 2)}
    assert set(sources.added(tmp_path / "zoo")) == expected
    assert len(sources.added(tmp_path / "zoo")) == len(expected)


def test_remarks_mode_and_link_of_the_list_stay_when_it_is_edited(tmp_path):
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "registries.txt"
    real.write_text("# ours\n\n/a.yaml\n  /b.yaml\n")
    real.chmod(0o600)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "registries.txt").symlink_to(real)
    sources.add("/c.yaml", tmp_path / "zoo")
    sources.remove("/b.yaml", tmp_path / "zoo")
    assert (tmp_path / "zoo" / "registries.txt").is_symlink()
    assert real.read_text() == "# ours\n\n/a.yaml\n/c.yaml\n"
    assert real.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZooError, match=r"/a\.yaml was added already"):
        sources.add("/a.yaml", tmp_path / "zoo")


def test_a_registry_whose_path_is_no_utf8_is_refused_in_one_line(tmp_path):
    with pytest.raises(ZooError, match=r"r\\xe9\.yaml: the path of a registry must be in UTF-8; rename"):
        sources.add(os.fsdecode(b"/r\xe9.yaml") if os.name == "posix" else "/r\udce9.yaml", tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


# Folders


@pytest.fixture
def homeless(monkeypatch):
    """A user without a home directory, as in some containers."""
    for variable in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "ZOO_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


@pytest.mark.skipif(sys.platform != "linux", reason="platformdirs knows the folders of other systems")
def test_a_user_without_a_home_gets_no_folder_named_after_the_tilde(homeless):
    assert configuration_folder() == Path("/etc/xdg/zoo")
    assert cache_folder().parent == Path(tempfile.gettempdir())
    assert cache_folder().name.startswith("zoo-")


def test_a_tilde_in_the_name_of_the_cache_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", "~/cache")
    assert cache_folder() == tmp_path / "cache"


def test_a_tilde_in_the_name_of_the_cache_of_a_user_without_a_home(homeless, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", "~/cache")
    assert cache_folder().parent == Path(tempfile.gettempdir())
    assert cache_folder().name.startswith("zoo-")
