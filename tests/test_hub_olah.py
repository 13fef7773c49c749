"""A mirror of another make between zoo and the Hub: olah, where it is installed (see CONTRIBUTING.md)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub
from tests.hub.client import ROOT
from tests.hub_models import REPO, fails, put, read, succeeds

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
OLAH = shutil.which("olah-cli", path=os.environ.get("ZOO_OLAH", str(ROOT / "tests" / "hub" / "olah" / "bin")))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.plugins("zoo-vae"),
    pytest.mark.skipif(OLAH is None, reason="there is no olah: see CONTRIBUTING.md"),
]


@pytest.fixture
def mirror(hub: Hub, without_xet: None, tmp_path: Path, point_at) -> Iterator[str]:
    """The address of a mirror of the Hub, which is this process's Hub."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here, there = f"127.0.0.1:{port}", hub.url.removeprefix("http://")
    options = {"--host": "127.0.0.1", "--port": str(port), "--repos-path": "mirrored", "--log-path": "logs"}
    options |= {"--hf-scheme": "http", "--hf-netloc": there, "--hf-lfs-netloc": there}
    options |= {"--mirror-scheme": "http", "--mirror-netloc": here, "--mirror-lfs-netloc": here}
    command = [str(OLAH), *(word for pair in options.items() for word in pair)]
    with (tmp_path / "olah.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    try:
        while not _listens(port):
            assert process.poll() is None, (tmp_path / "olah.txt").read_text()
            time.sleep(0.1)
        yield f"http://{here}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_a_model_is_pulled_through_a_mirror_and_not_pushed_through_it(hub: Hub, mirror, folder, command, point_at):
    commit = put(hub, read(folder))
    hub.plant("alice/digits", {"unrelated.txt": b"x"})
    point_at(mirror)
    for address in (f"hf://{REPO}@{commit}", f"hf://{REPO}"):
        pulled = Path(succeeds(command("pull", address))[0])
        assert read(pulled)["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    (folder / "samples.png").write_bytes((folder / "samples.png").read_bytes() + b"\0")
    fails(command("push", folder, REPO), "shows it, but takes nothing: a mirror that is read only, perhaps")
    lines = succeeds(command("push", folder, REPO, "--dry-run"))
    assert {tuple(line.split()[:2]) for line in lines[1:7]} >= {("there", "model.safetensors"), ("send", "samples.png")}
