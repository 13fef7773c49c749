"""The environment: what launchers say in variables, users without a name or a home, folders that cannot be written."""

import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from zoo_core.cli import main
from zoo_core.errors import HubError, ProcessError
from zoo_core.files.folders import cache_folder, is_writable
from zoo_core.hub import settings
from zoo_core.runtime.environment import first_process, local_rank, name_compiler_cache, process_count


@pytest.mark.parametrize("value", ["", " ", None])
def test_without_a_launcher_there_is_one_process(monkeypatch, value):
    for variable in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert (process_count(), first_process(), local_rank()) == (1, True, 0)


def test_a_launcher_numbers_its_processes(monkeypatch):
    for variable, value in {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(variable, value)
    assert (process_count(), first_process(), local_rank()) == (8, False, 1)


@pytest.mark.parametrize(
    ("variable", "ask", "least"),
    [("WORLD_SIZE", process_count, 1), ("RANK", first_process, 0), ("LOCAL_RANK", local_rank, 0)],
)
@pytest.mark.parametrize("value", ["four", "-1", "1.5", "²", "1e3", "0x2"])
def test_nonsense_is_one_line_that_names_the_variable(monkeypatch, variable, ask, least, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProcessError, match=rf"{variable} is '.*', not a whole number from {least}; unset it") as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_no_process_at_all_is_nonsense_too(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(ProcessError, match="WORLD_SIZE is '0'"):
        process_count()


# users without a name or a home, folders that cannot be written


@pytest.fixture
def nobody(monkeypatch):
    """A user whom the system does not know, as in a container that was started with --user."""
    pwd = pytest.importorskip("pwd")

    def unknown(user):
        raise KeyError(f"uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("ZOO_CACHE", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def unwritable(monkeypatch):
    """Caches below a file, where not even root can make a folder."""
    for variable in ("HOME", "HF_HOME", "ZOO_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, f"{os.devnull}/{variable}")
    return Path(os.devnull)


def problems():
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    return [line for line in result.stdout.splitlines() if line.startswith("problem: ")]


@pytest.mark.skipif(os.name != "posix", reason="the device NUL is no file that a folder could not be made in")
def test_the_doctor_says_of_each_folder_that_cannot_be_written_what_happens_and_what_to_set(unwritable):
    found = "\n".join(problems())
    for name, remedy in {
        "cache": "set ZOO_CACHE=",
        "HF_HOME": "set HF_HOME=",
        "configuration": "ZOO_REGISTRY=",
    }.items():
        assert any(f"({name}) cannot be written: " in line and remedy in line for line in found.splitlines()), found


def test_the_doctor_says_what_a_user_without_a_home_cannot_do(nobody):
    assert any("no home folder" in line and "set HF_HOME=FOLDER" in line for line in problems())


def test_the_doctor_says_that_there_is_no_folder_for_temporary_files(monkeypatch):
    def no_folder():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)
    assert any("set TMPDIR=FOLDER" in line for line in problems())


def test_a_user_without_a_home_has_a_cache_of_their_own_and_none_for_the_hub(nobody, monkeypatch):
    assert cache_folder() == Path(tempfile.gettempdir()) / f"zoo-{os.getuid()}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")
    with pytest.raises(HubError, match=r"no home folder; set HF_HOME=FOLDER$"):
        settings.cache_folder()


def test_the_compiler_of_a_user_without_a_name_has_a_cache(nobody, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    name_compiler_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("USER", "me")
    name_compiler_cache()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    monkeypatch.delenv("USER")
    name_compiler_cache()
    folder = os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
    assert folder == str(Path(tempfile.gettempdir(), f"torchinductor_uid_{os.getuid()}"))


def test_a_folder_is_writable_where_its_nearest_parent_is(tmp_path):
    (tmp_path / "file").touch()
    assert is_writable(tmp_path / "new" / "newer")
    assert not is_writable(tmp_path / "file" / "new")


@pytest.mark.skipif(os.name != "posix", reason="Windows does not remove a folder that a process is in")
def test_a_working_folder_that_was_removed_is_one_line(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = CliRunner().invoke(main, ["list"])
    assert (result.exit_code, result.stderr) == (1, "zoo: the working folder no longer exists; cd to another one\n")
