"""A large download is hashed while it is written, and comes out as if it had been read afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import zoo_core as zoo
from tests.hub import Hub, cut, flip, reset, status
from tests.hub_models import BUNDLED, entry_of, fails, put, succeeds, use
from zoo_core.hub import stamps
from zoo_core.hub.fetch import Job, _counter
from zoo_core.hub.follow import Follower

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
SIZE = 45_000_000


def weights() -> bytes:
    """A safetensors file of one large tensor, no two parts of which are the same."""
    data = b"".join(number.to_bytes(8, "little") for number in range(SIZE // 8))
    header = json.dumps({"t": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {"config.json": (BUNDLED / "config.json").read_bytes(), "model.safetensors": weights()}


@pytest.fixture
def large(hub: Hub, without_xet, files, tmp_path, monkeypatch) -> zoo.ModelEntry:
    entry = entry_of(files, put(hub, files))
    use(entry, tmp_path / "team.yaml", monkeypatch)
    return entry


@pytest.fixture
def never_read_again(monkeypatch):
    def refuse(path: Path) -> str:
        assert path.stat().st_size < SIZE, "the weights were read again"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(stamps, "file_sha256", refuse)


DATA = {"method": "GET", "side": "cdn"}


@pytest.mark.parametrize("fault", [None, cut(25_000_000), cut(12_345_678), reset(25_000_000), status(503)], ids=str)
@pytest.mark.plugins("zoo-vae")
def test_no_byte_is_read_twice(hub: Hub, large, files, command, never_read_again, fault):
    if fault is not None:
        hub.fail(fault, **DATA)
    folder = Path(succeeds(command("pull", "digits"))[0])
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize("at", [0, 5_000_000, 10_485_760, 25_000_000, SIZE - 1])
@pytest.mark.plugins("zoo-vae")
def test_a_flipped_bit_is_seen_wherever_it_is(hub: Hub, large, files, command, at):
    hub.fail(flip(at), **DATA)
    fails(command("pull", "digits"), "sha256 is", large.files["model.safetensors"].sha256)
    folder = Path(succeeds(command("pull", "digits"))[0])
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


def follow(folder: Path, content: bytes) -> Follower:
    """A follower of a file that was written whole."""
    (folder / "x.1.incomplete").write_bytes(content)
    follower = Follower(folder, "x")
    follower.begin()
    follower.written(len(content))
    return follower


@pytest.mark.parametrize("size", [0, 1, 2**20, 3 * 2**20 + 1])
def test_the_digest_is_the_files(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    follower = follow(tmp_path, content)
    (tmp_path / "x.1.incomplete").rename(tmp_path / "x")
    assert follower.sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    follower.close()


def test_what_was_written_after_it_was_told_is_hashed_too(tmp_path):
    follower = follow(tmp_path, b"a" * 2**21)
    with (tmp_path / "x.1.incomplete").open("ab") as file:
        file.write(b"b" * 5)
    assert follower.sha256_of(tmp_path / "x.1.incomplete") == hashlib.sha256(b"a" * 2**21 + b"b" * 5).hexdigest()
    follower.close()


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    """Where a Hub answers a request for the rest with all of it, huggingface_hub counts back and starts over."""
    follower = follow(tmp_path, b"a" * 2**22)
    count = _counter("x", None, Job(), follower)(disable=True)
    count.update(2**22)
    count.update(-(2**22))
    (tmp_path / "x.1.incomplete").write_bytes(b"b" * 2**22)
    count.update(2**22)
    assert follower.sha256_of(tmp_path / "x.1.incomplete") is None
    follower.close()


def test_another_file_gets_no_digest(tmp_path):
    follower = follow(tmp_path, b"a" * 2**21)
    (tmp_path / "other").write_bytes(b"a" * 2**21)
    assert follower.sha256_of(tmp_path / "other") is None
    assert follower.sha256_of(tmp_path / "nothing") is None
    follower.close()


def test_a_file_that_is_not_there_is_not_followed(tmp_path):
    follower = Follower(tmp_path, "x")
    follower.begin()
    follower.written(10)
    assert follower.sha256_of(tmp_path / "x") is None
    follower.close()
