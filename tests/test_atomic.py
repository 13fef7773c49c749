"""Files and folders are there whole or not at all, and what was there before is never lost."""

import os
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


def test_a_link_stays_where_that_is_asked_for(tmp_path):
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "real").write_text("old")
    (tmp_path / "link").symlink_to(Path("team") / "real")
    write_bytes(tmp_path / "link", b"new", follow_link=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path) == {"team/real": "new", "link": "new"}
    (tmp_path / "loose").symlink_to(tmp_path / "team" / "nothing")
    write_bytes(tmp_path / "loose", b"made", follow_link=True)
    assert (tmp_path / "team" / "nothing").read_text() == "made"


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_what_is_replaced_keeps_its_mode_and_is_never_more_open_meanwhile(tmp_path, mode):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    with atomic_file(tmp_path / "a") as file:
        (temporary,) = tmp_path.glob(".a.*.tmp")
        assert temporary.stat().st_mode & 0o777 & ~mode == 0
        file.write(b"new")
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    assert content(tmp_path) == {"a": "new"}


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    write_bytes(tmp_path / "a", b"new")
    (tmp_path / "b").write_bytes(b"new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_replaced_keeps_its_owner_and_group(tmp_path):
    (tmp_path / "a").write_text("old")
    os.chown(tmp_path / "a", 12345, 23456)
    write_bytes(tmp_path / "a", b"new")
    facts = (tmp_path / "a").stat()
    assert (facts.st_uid, facts.st_gid) == (12345, 23456)


def test_a_file_of_another_owner_is_replaced_where_it_cannot_be_given_back(tmp_path, monkeypatch):
    def refused(*arguments):
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "a").write_text("old")
    facts = os.stat_result((*(tmp_path / "a").stat()[:4], 12345, 23456, *(tmp_path / "a").stat()[6:]))
    monkeypatch.setattr(Path, "lstat", lambda path: facts)
    monkeypatch.setattr(os, "chown", refused, raising=False)
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_text() == "new"


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


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_folder_keeps_the_mode_of_the_older_one(tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    with atomic_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("older", ["file", "link to a folder", "link to nothing"])
def test_a_folder_takes_the_place_of_what_is_no_folder_and_leaves_nothing_behind(tmp_path, older):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    if older == "file":
        (tmp_path / "run").write_text("old")
    else:
        (tmp_path / "run").symlink_to(tmp_path / ("elsewhere" if older == "link to a folder" else "nowhere"))
    with atomic_folder(tmp_path / "run") as temporary:
        (temporary / "new").write_text("new")
    assert content(tmp_path) == {"run/new": "new", "elsewhere/kept": "kept"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run"]


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
