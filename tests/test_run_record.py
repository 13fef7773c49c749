"""run.json, the record of a training run, and what is refused in place of one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zoo_core.errors import ModelFolderError
from zoo_core.modelfolder.run_record import MAX_RUN_BYTES, read_run_record

GOOD = {
    "architecture": "dcgan",
    "model": {"size": 32},
    "settings": {"steps": 7, "seed": 3, "batch_size": 5, "own": [1, 2]},
    "processes": 1,
    "data": {"name": "mnist", "samples": 10, "notes": ["a"], "sha256": "0" * 64},
    "finished": True,
    "from a newer version": 1,
}


def test_a_record_is_returned_as_it_was_written(tmp_path: Path):
    (tmp_path / "run.json").write_text(json.dumps(GOOD))
    assert read_run_record(tmp_path) == GOOD


def test_a_folder_without_a_record_is_no_error(tmp_path: Path):
    assert read_run_record(tmp_path) is None
    assert read_run_record(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON"),
        (b"\xff{}", "is not UTF-8"),
        (b"[]", "is not the record of a training run"),
        (b"{}", "missing required field `settings`"),
        (b'{"settings": {"steps": NaN}}', "NaN, which is not JSON"),
        (b'{"settings": {}, "settings": {}}', "has the key 'settings' twice"),
        (b'{"settings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (json.dumps(GOOD | {"data": 1}).encode(), r"`\$.data`"),
        (json.dumps(GOOD | {"data": {"name": 1}}).encode(), r"`\$.data.name`"),
        (json.dumps(GOOD | {"settings": {"steps": 2**70, "seed": 0, "batch_size": 1}}).encode(), "settings.steps"),
        (json.dumps(GOOD | {"settings": {"steps": 1, "seed": "0", "batch_size": 1}}).encode(), "settings.seed"),
        (json.dumps(GOOD | {"finished": "yes"}).encode(), "finished"),
        (json.dumps(GOOD | {"model_step": 0}).encode(), "model_step"),
        (json.dumps(GOOD | {"changes": [{"step": 1}]}).encode(), "missing required field `settings`"),
        (json.dumps(GOOD | {"changes": [{"step": 1, "settings": {"betas": [0, 1]}}]}).encode(), "changes"),
        (b" " * (MAX_RUN_BYTES + 1), "is larger than"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line_that_names_the_file(tmp_path: Path, content: bytes, problem: str):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ModelFolderError, match=problem) as refused:
        read_run_record(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / "run.json"))
    assert "\n" not in str(refused.value)
    assert "remove it" in str(refused.value)


def test_only_a_regular_file_is_read(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(GOOD))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "run.json").symlink_to(elsewhere)
    (tmp_path / "folder" / "run.json").mkdir(parents=True)
    with pytest.raises(ModelFolderError, match="is a link"):
        read_run_record(tmp_path / "linked")
    with pytest.raises(ModelFolderError, match="is not a regular file"):
        read_run_record(tmp_path / "folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(ModelFolderError, match="is not a regular file"):
        read_run_record(tmp_path)
