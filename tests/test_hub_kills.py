"""SIGKILL at random moments of a pull and of a push of 45 MB.

The command is forked from a process that has imported torch, so that the moments fall into its work.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests import forkserver
from tests.builtin import architecture
from tests.hub import Hub
from tests.hub_models import BUNDLED, blobs, entry_of, put, read, use
from zoo_core.catalog import registry
from zoo_core.hub import housekeeping

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = [
    pytest.mark.plugins("zoo-vae", "zoo-vanilla-gan"),
    pytest.mark.slow,
]
KILLS = 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 45 MB."""
    gan = architecture("vanilla_gan")
    folder = tmp_path_factory.mktemp("large") / "large"
    gan.generator_class()(gan.config_class()(generator_widths=(2048, 4000))).save(folder)
    assert (folder / "model.safetensors").stat().st_size > 40e6
    return folder


def duration(*arguments: object) -> float:
    """Seconds that the command takes when nobody kills it."""
    begin = time.monotonic()
    done = forkserver.run("-m", "zoo_core", *arguments)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - begin


def kill_after(seconds: float, *arguments: object) -> bool:
    """Start the command, kill it after so many seconds; whether it was still at work."""
    words = ["-m", "zoo_core", *map(str, arguments)]
    with Path(os.devnull).open("r+b") as nothing, forkserver.Process(words, [nothing] * 3) as process:
        time.sleep(seconds)
        process.kill()
        return process.wait(60) == -signal.SIGKILL


def test_a_pull_that_is_killed_leaves_nothing_that_is_taken_for_whole(
    hub: Hub, hub_home, without_xet, large, tmp_path, monkeypatch
):
    files = read(large)
    entry = entry_of(files, put(hub, files))
    use(entry, tmp_path / "team.yaml", monkeypatch)
    duration("pull", "digits")  # the first is the slowest: the Hub and the disk have read nothing before
    shutil.rmtree(hub_home)
    longest = duration("pull", "digits")
    shutil.rmtree(hub_home)
    moments, killed = random.Random(7), 0
    for _ in range(KILLS):
        killed += kill_after(moments.uniform(0, longest), "pull", "digits")
        entries = list(registry().values())
        for model in housekeeping.cached_models(entries):
            assert housekeeping.verify_model(model, entries).problems == ()
        snapshot = hub_home / "hub" / "models--alice--digits" / "snapshots" / entry.hub.revision
        for name in files:
            assert not (snapshot / name).exists() or (snapshot / name).read_bytes() == files[name]
        if all((snapshot / name).exists() for name in files):
            shutil.rmtree(hub_home)
    assert killed >= KILLS / 4  # most, unless the machine was slow when it was measured
    duration("pull", "digits")
    assert {name: (snapshot / name).read_bytes() for name in files} == files
    for path in blobs(hub_home):  # what the kills left is known, and removed when it is old
        assert path.name.endswith(".incomplete") or path.stat().st_size in {len(content) for content in files.values()}


def test_a_push_that_is_killed_leaves_the_old_commit_or_the_new_one(hub: Hub, without_xet, large, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_XET")  # the switch is for this test's own commits
    old = {name: content for name, content in read(BUNDLED).items() if name != "README.md"}
    new = {name: hashlib.sha256(content).hexdigest() for name, content in read(large).items()}
    duration("push", large, "alice/first")  # the slowest: the Hub and the disk have read nothing before
    longest = duration("push", large, "alice/measured")
    moments, killed = random.Random(8), 0
    for number in range(KILLS):
        repo = f"alice/kill-{number}"
        before = put(hub, old, repo)
        killed += kill_after(moments.uniform(longest / 4, longest), "push", large, repo)
        api = hub.api()
        info = api.model_info(repo, files_metadata=True)
        there = {sibling.rfilename for sibling in info.siblings} - {".gitattributes"}
        assert info.sha == before or there == old.keys() | new.keys() | {"README.md"}
        duration("push", large, repo)
        last = api.model_info(repo, files_metadata=True)
        weights = next(sibling for sibling in last.siblings if sibling.rfilename == "model.safetensors")
        assert weights.lfs.sha256 == new["model.safetensors"]
        assert len(api.list_repo_commits(repo)) == 3
        api.delete_repo(repo)
    assert killed >= KILLS / 4  # most, unless the machine was slow when it was measured
