"""Data sets on the Hub: found by their id, and never mixed up with a folder of old in the cache of `datasets`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import Hub
from zoo_core.data.hub_rows import may_be_id

pytest_plugins = ["tests.hub.fixture"]

MNIST = Path(__file__).parent / "data" / "mnist"
OPEN = """
import json, sys
from zoo_core.data.opening import open_images
from zoo_core.errors import DataError
for source, split in json.loads(sys.argv[1]):
    try:
        pictures = open_images(source, split=split)
        data = pictures.decode((1, 28, 28))
        print(json.dumps([len(data), data.num_classes, data.fingerprint, pictures.notes[0]]))
    except DataError as error:
        print(json.dumps(str(error)))
"""
LEAVE_IN_CACHE = "import datasets; assert datasets.load_dataset('pics')['train'].num_rows == 512"


def run(code, *arguments, cwd, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_may_be_an_id():
    assert all(map(may_be_id, ("ylecun/mnist", "mnist", "a-b_c.d/e")))
    assert not any(map(may_be_id, ("a/b/c", "./a", "~/a", "a[1]", "a b", "/a", "a\\b", "", "ünï", ".", "..")))


@pytest.mark.slow  # `datasets` alone takes seconds to import
def test_a_data_set_is_read_and_a_folder_of_old_is_not(hub: Hub, without_xet: None, tmp_path: Path) -> None:
    api = hub.api()
    api.create_repo("alice/digits", repo_type="dataset")
    api.upload_folder(repo_id="alice/digits", folder_path=MNIST, repo_type="dataset")
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    offline = online | {"HF_HUB_OFFLINE": "1"}

    wanted = [
        ("alice/digits", "train"),
        ("alice/digits", "test"),
        ("alice/digits", "validation"),
        ("alice/no", "train"),
    ]
    train, test, no_split, no_set = run(OPEN, json.dumps(wanted), cwd=tmp_path, **online)
    assert train[:2] == [512, 10]
    assert train[3] == (
        "512 pictures in 10 classes (0, 1, 2, 3, 4, 5, 6, 7, …) from the data set alice/digits on the Hub; split train of "
        "train, test"
    )
    assert test[:2] == [128, 10]
    assert no_split == "the data set alice/digits on the Hub has no split 'validation'; its splits are train, test"
    assert no_set.startswith("there is no file or folder alice/no here; on the Hub: Dataset 'alice/no' doesn't exist")

    shutil.copytree(MNIST, tmp_path / "pics")
    run(LEAVE_IN_CACHE, cwd=tmp_path, **offline)
    shutil.rmtree(tmp_path / "pics")
    (gone,) = run(OPEN, json.dumps([("pics", "train")]), cwd=tmp_path, **online)
    assert gone.startswith("there is no file or folder pics here; on the Hub: Dataset 'pics' doesn't exist on the Hub")
    again, gone = run(OPEN, json.dumps([("alice/digits", "train"), ("pics", "train")]), cwd=tmp_path, **offline)
    assert again == train
    assert gone.startswith(
        "there is no file or folder pics here; the Hub cannot be asked for a data set of that name: "
    )
