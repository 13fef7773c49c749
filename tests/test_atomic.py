"""Files and folders are there whole or not at all, and what was there before is never lost."""

from pathlib import Path

import pytest

from zoo_core.errors import OutputError
from zoo_core.files.atomic import atomic_file, atomic_folder, write_bytes


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    (tmp_path / "a").write_text("old")
    with atomic_file(tmp_path / "a") as file:
        file.write(b"new")
        assert (tmp_path / "a").read_text() == "old"
    assert content(tmp_path) == {"a": "new"}


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "cache").write_text("shared")
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    write_bytes(tmp_path / "link", b"new")
    assert content(tmp_path) == {"cache": "shared", "link": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a").write_text("old")

    def fail():
        with atomic_file(tmp_path / "a") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert content(tmp_path) == {"a": "old"}


def test_where_there_is_no_folder_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match="a cannot be written: No such file or directory"):
        write_bytes(tmp_path / "nowhere" / "a", b"")


@pytest.mark.parametrize("durable", [True, False])
def test_a_folder_takes_the_place_of_an_older_one(tmp_path, durable):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")
    with atomic_folder(tmp_path / "run", durable=durable) as temporary:
        (temporary / "new").write_text("new")
        assert content(tmp_path / "run") == {"old": "old"}
    assert content(tmp_path) == {"run/new": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")

    def fail():
        with atomic_folder(tmp_path / "run") as temporary:
            (temporary / "new").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert content(tmp_path) == {"run/old": "old"}


def test_an_older_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """As on Windows while a file of the new folder is held open."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")
    rename = Path.rename

    def rename_only_the_old(path, target):
        if (path / "new").exists():
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_only_the_old)

    def write():
        with atomic_folder(tmp_path / "run") as temporary:
            (temporary / "new").write_text("new")

    with pytest.raises(OutputError, match="run cannot be written: Permission denied"):
        write()
    assert content(tmp_path) == {"run/old": "old"}
