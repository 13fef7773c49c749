"""Pull: right files or one clear line, whatever the network, the disk or a stranger does."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

import zoo_core as zoo
from tests.conftest import without_coverage
from tests.hub import Hub, cut, flip, hang, headers, lie, refuse, reset, resize, revision, slow, status
from tests.hub_models import (
    BUNDLED,
    REPO,
    ROOT,
    blobs,
    cache,
    entry_of,
    environment,
    fails,
    put,
    read,
    start,
    succeeds,
    use,
)
from zoo_core.errors import DigestError, HubError, ModelFolderError, UnreachableError, ZooError
from zoo_core.files import verified_digests
from zoo_core.hub import cache as hub_cache
from zoo_core.hub import client, retrying

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")

WEIGHTS = (BUNDLED / "model.safetensors").stat().st_size
DIGEST = hashlib.sha256((BUNDLED / "model.safetensors").read_bytes()).hexdigest()
DATA = {"method": "GET", "path": f"/cdn/*/{DIGEST}"}  # the content of the weights, which are under LFS
HEADS = {"method": "HEAD", "path": "*/model.safetensors"}


def snapshot(home: Path, entry: zoo.ModelEntry) -> Path:
    return cache(home) / "models--alice--digits" / "snapshots" / entry.hub.revision


def is_whole(folder: Path) -> bool:
    """Byte for byte what was published."""
    return read(folder) == read(BUNDLED)


# what pull does


def test_pull_prints_the_folder_with_the_entrys_files(hub: Hub, hub_home, pinned, command):
    assert succeeds(command("pull", "digits")) == [str(snapshot(hub_home, pinned))]
    assert is_whole(snapshot(hub_home, pinned))


def test_a_second_pull_asks_the_hub_for_nothing(hub: Hub, pinned, command):
    command("pull", "digits")
    hub.forget()
    succeeds(command("pull", "digits"))
    assert hub.requests() == []


def test_only_the_files_that_the_entry_lists_are_fetched(hub: Hub, hub_home, without_xet, tmp_path, monkeypatch):
    files = read(BUNDLED)
    extra = {"pytorch_model.bin": b"\x80\x04evil", "run.py": b"raise SystemExit", "sub/other.txt": b"x"}
    listed = {name: files[name] for name in ("config.json", "model.safetensors")}
    entry = entry_of(listed, put(hub, files | extra))
    use(entry, tmp_path / "team.yaml", monkeypatch)
    assert {path.name for path in zoo.pull("digits").iterdir()} == set(listed)
    assert len(hub.downloads()) == 2


def test_other_tools_of_the_hub_find_what_was_pulled(hub: Hub, hub_home, pinned):
    from huggingface_hub import hf_hub_download, scan_cache_dir

    folder = zoo.pull("digits")
    hub.stop()
    found = hf_hub_download(REPO, "model.safetensors", revision=pinned.hub.revision, local_files_only=True)
    assert Path(found) == folder / "model.safetensors"
    assert not scan_cache_dir(cache(hub_home)).warnings


def test_what_other_tools_fetched_is_used(hub: Hub, hub_home, pinned):
    from huggingface_hub import snapshot_download

    folder = snapshot_download(REPO, revision=pinned.hub.revision)
    hub.forget()
    assert zoo.pull("digits") == Path(folder)
    assert hub.requests() == []


@pytest.fixture
def three(hub: Hub, without_xet, tmp_path, monkeypatch) -> tuple[str, ...]:
    """The names of three models of a registry, each in a repository of its own."""
    files, names = read(BUNDLED), ("one", "two", "three")
    for name in names:
        use(
            entry_of(files, put(hub, files, f"alice/{name}"), f"alice/{name}", name),
            tmp_path / "team.yaml",
            monkeypatch,
        )
    return names


def test_several_models_are_printed_in_the_order_asked(hub: Hub, three, command):
    lines = succeeds(command("pull", "three", "one", "vae-mnist", "two"))
    assert [Path(line).parts[-3].rpartition("--")[2] for line in lines if "models--" in line] == ["three", "one", "two"]
    assert lines[2] == str(BUNDLED)


def test_several_models_are_pulled_at_once(hub: Hub, three):
    hub.fail(slow(20_000), **DATA, times=None)
    process = start("pull", *three)
    try:
        while len(bodies := hub.requests("GET", DATA["path"])) < len(three):
            assert process.poll() is None
            time.sleep(0.05)
        assert all(body.sent < WEIGHTS for body in bodies)  # the last began before the first had ended
    finally:
        process.kill()
        process.communicate()


def test_an_unknown_name_is_told_before_anything_is_downloaded(hub: Hub, pinned, command):
    fails(command("pull", "digits", "digitz"), "no model named 'digitz'")
    assert hub.requests() == []


def test_a_model_on_the_hub_is_loaded_by_name(pinned):
    assert zoo.load("digits", device="cpu").sample(2).equal(zoo.load("vae-mnist", device="cpu").sample(2))


def test_a_bundled_model_never_comes_from_the_hub(hub: Hub, command):
    assert succeeds(command("pull", "vae-mnist")) == [str(BUNDLED)]
    assert hub.requests() == []


def test_an_entry_without_digests_is_not_pulled(hub: Hub, tmp_path, monkeypatch, command):
    use(entry_of({}, "0" * 40), tmp_path / "team.yaml", monkeypatch)
    fails(command("pull", "digits"), "states no sha256 of config.json and model.safetensors")
    assert hub.requests() == []


# hf://user/repo[@revision]


@pytest.mark.parametrize("at", ["", "@main", "@v1"])
def test_an_address_needs_no_entry_and_what_vouches_for_it_is_said(hub: Hub, pinned, command, at):
    hub.api().create_tag(REPO, tag="v1")
    done = command("pull", f"hf://{REPO}{at}")
    assert is_whole(Path(succeeds(done)[0]))
    assert f"hf://{REPO}{at}: no registry vouches for it" in done.stderr


def test_an_address_at_a_commit_asks_the_hub_once(hub: Hub, pinned, command):
    address = f"hf://{REPO}@{pinned.hub.revision}"
    succeeds(command("pull", address))
    hub.forget()
    succeeds(command("pull", address))
    assert hub.requests() == []


def test_a_branch_is_asked_for_each_time(hub: Hub, hub_home, pinned, command):
    first = succeeds(command("pull", f"hf://{REPO}"))
    put(hub, {"README.md": b"# other\n"})
    second = succeeds(command("pull", f"hf://{REPO}"))
    assert first != second
    assert len([path for path in blobs(hub_home) if path.stat().st_size == WEIGHTS]) == 1  # shared by both


def test_an_address_is_loaded(pinned):
    assert zoo.load(f"hf://{REPO}", device="cpu").sample(1).shape == (1, 1, 28, 28)


def test_a_picture_of_an_address_is_called_by_its_repository_which_is_asked_once(
    hub: Hub, pinned, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    succeeds(command("sample", f"hf://{REPO}", "-n", "1"))
    assert (tmp_path / f"{REPO.partition('/')[2]}.png").is_file()
    assert len(hub.requests("GET", "/api/models/*")) == 1


@pytest.mark.parametrize(
    "text", ["hf://", "hf://a", "hf://a/b/c", "hf://a/b@", "hf://a/b@../x", "hf://a/b@x y", "hf://../b"]
)
def test_what_is_no_address_is_said(command, text):
    fails(command("pull", text), "is not a")


def test_a_repository_without_a_model_is_refused(hub: Hub, without_xet, command):
    put(hub, {"README.md": b"# nothing\n", "pytorch_model.bin": b"\x80\x04."})
    fails(command("pull", f"hf://{REPO}"), "is not a model of this zoo: it has no config.json and no model.safetensors")
    assert hub.downloads() == []


# what a stranger may have put there


def hostile(**changes: bytes) -> dict[str, bytes]:
    return read(BUNDLED) | {name.replace("_json", ".json"): content for name, content in changes.items()}


CONFIG = (BUNDLED / "config.json").read_bytes()
HOSTILE = {
    "a pickle under the name of the weights": ({"model.safetensors": b"\x80\x04\x95\x10\0\0\0\0\0\0cposix\nsystem\n"}, "is a pickle"),
    "a pickle's archive": ({"model.safetensors": b"PK\x03\x04" + bytes(400)}, "is a pickle"),
    "a header that claims 2 GB": ({"model.safetensors": (2 * 2**30).to_bytes(8, "little") + b"{" + bytes(500)}, "claims"),
    "weights that are cut off": ({"model.safetensors": (BUNDLED / "model.safetensors").read_bytes()[:-100]}, "cut off"),
    "a configuration of another library": ({"config.json": b'{"model_type": "bert", "architectures": []}'}, "config.json"),
    "a configuration that is no JSON": ({"config.json": b"{"}, "is not JSON"),
    "a configuration that is a link in git": ({"config.json": b"../../../../etc/passwd"}, "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_repository_is_refused_in_one_line(hub: Hub, without_xet, command, case):
    changes, reason = HOSTILE[case]
    put(hub, read(BUNDLED) | changes)
    fails(command("pull", f"hf://{REPO}"), reason)


@pytest.mark.plugins("zoo-dcgan")
def test_a_configuration_for_another_architecture_is_refused_when_loaded(hub: Hub, without_xet):
    put(hub, read(BUNDLED) | {"config.json": CONFIG.replace(b'"vae"', b'"dcgan"')})
    with pytest.raises(ZooError, match="the configuration does not fit the architecture dcgan"):
        zoo.load(f"hf://{REPO}", device="cpu")


def test_what_no_client_would_commit_is_ignored(hub: Hub, hub_home, without_xet, command, tmp_path):
    put(hub, read(BUNDLED))
    evil = {
        "../../../../escaped": b"x",
        "/etc/escaped": b"x",
        "zoo_core/__init__.py": b"raise SystemExit",
        "setup.py": b"!",
    }
    hub.plant(REPO, {**read(BUNDLED), **evil})
    assert is_whole(Path(succeeds(command("pull", f"hf://{REPO}"))[0]))
    assert not list(tmp_path.rglob("escaped"))
    assert not list(tmp_path.rglob("setup.py"))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil", "c:evil"])
def test_an_entry_cannot_name_a_file_outside(hub: Hub, pinned, command, tmp_path, name):
    text = (tmp_path / "team.yaml").read_text().replace("samples.png:", f"'{name}':")
    (tmp_path / "team.yaml").write_text(text)
    fails(command("pull", "digits"), "leaves the model's folder")
    assert hub.requests() == []


def test_a_link_in_the_cache_that_leaves_it_is_refused(hub_home, pinned, command, tmp_path):
    folder = Path(succeeds(command("pull", "digits"))[0])
    (tmp_path / "outside").write_bytes((folder / "config.json").read_bytes())
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "outside")
    fails(command("pull", "digits"), "is a link that leaves the cache")
    assert (tmp_path / "outside").exists()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_repository_that_was_moved_to_another_disk_is_used(hub: Hub, hub_home, pinned, command, tmp_path):
    succeeds(command("pull", "digits"))
    repository = cache(hub_home) / "models--alice--digits"
    shutil.move(repository, tmp_path / "larger")
    repository.symlink_to(tmp_path / "larger")
    hub.forget()
    succeeds(command("pull", "digits"))
    assert hub.requests() == []


def test_what_a_hub_says_cannot_move_the_cursor_or_hide_the_token(hub: Hub, pinned, command):
    hub.fail(status(400, message="\x1b[31mred hf_test hf_abcdefghij", body='{"error": "\\u001b[2J hf_test"}'), **HEADS)
    done = command("pull", "digits")
    fails(done, "refuses with 400")
    assert "\x1b" not in done.stderr
    assert "hf_test" not in done.stderr
    assert "hf_abcdefghij" not in done.stderr


# faults: right files after trying again, or one line and nothing half-written

MENDED = {
    "a body that is cut": [(cut(100_000), DATA)],
    "a body that is cut at its first byte": [(cut(0), DATA)],
    "a body that is reset": [(reset(300_000), DATA)],
    "a body that is reset three times": [(reset(300_000), DATA | {"times": 3})],
    "a small body that is reset": [(reset(10), {"method": "GET", "path": "*/config.json"})],
    "a connection that is refused": [(refuse(), HEADS)],
    "a download that is refused": [(refuse(), DATA)],
    "500 on asking": [(status(500), HEADS | {"times": 2})],
    "503 on asking": [(status(503), HEADS | {"times": 3})],
    "500 on downloading": [(status(500), DATA | {"times": 2})],
    "503 on downloading": [(status(503), DATA | {"times": 2})],
    "504 with Retry-After": [(status(504, retry_after=1), HEADS)],
    "429 with Retry-After on asking": [(status(429, retry_after=1), HEADS)],
    "429 with Retry-After on downloading": [(status(429, retry_after=1), DATA)],
    "408": [(status(408), HEADS)],
    "a body that is shorter than announced": [(resize(-1000), DATA)],
    "a body that is longer than announced": [(resize(1000), DATA)],
    "four of them": [(status(503), HEADS), (refuse(), HEADS), (cut(7), DATA), (reset(7), DATA)],
    "a slow body": [(slow(3_000_000), DATA)],
}  # fmt: skip


@pytest.mark.parametrize("case", MENDED)
def test_a_fault_that_passes_costs_time_only(hub: Hub, hub_home, pinned, command, case):
    numbers = [hub.fail(action, **where) for action, where in MENDED[case]]
    assert is_whole(Path(succeeds(command("pull", "digits"))[0]))
    assert all(hub.hits(number) for number in numbers)
    assert not [path for path in blobs(hub_home) if path.name.endswith(".incomplete")]


REFUSED = {
    "401 for the token": (status(401, message="Invalid credentials in Authorization header"), HEADS, "the token was refused"),
    "401 without a reason": (status(401), HEADS, "token"),
    "403": (status(403), HEADS, "no permission to read it"),
    "403 on downloading": (status(403), DATA, "refuses with 403"),
    "404 for the repository": (status(404, error="RepoNotFound"), HEADS, "there is no such repository"),
    "404 for the commit": (status(404, error="RevisionNotFound"), HEADS, "has no revision"),
    "404 for the file": (status(404, error="EntryNotFound"), HEADS, "model.safetensors: there is no such file"),
    "404 on downloading": (status(404), DATA, "refuses with 404"),
    "a gated repository": (status(403, error="GatedRepo"), HEADS, "is gated: request access at http://127.0.0.1"),
    "429 for an hour": (status(429, retry_after=3600), HEADS, "asks to wait 3600 s"),
    "500 for ever": (status(500), HEADS | {"times": None}, "the Hub answers 500"),
    "503 for ever": (status(503), DATA | {"times": None}, "answers 503"),
    "resets for ever": (reset(1000), DATA | {"times": None}, "the connection was reset"),
    "refusals for ever": (refuse(), HEADS | {"times": None}, "cannot be reached"),
    "a flipped bit": (flip(500_000), DATA, "sha256 is"),
    "a flipped bit in the header": (flip(9), DATA, "sha256 is"),
    "a size that is a lie": (lie(1), HEADS | {"times": None}, "but the registry states"),
    "bodies that are short for ever": (resize(-1), DATA | {"times": None}, "shorter or longer than it was announced"),
    "another commit": (headers(add={"X-Repo-Commit": "f" * 40}), HEADS, "serves the commit ffff"),
    "an ETag that is a path": (headers(add={"X-Linked-Etag": '"../../../evil"'}), HEADS, "which cannot be a file name"),
    "no commit": (headers(remove=["X-Repo-Commit"]), HEADS | {"times": None}, "as a Hub does; check the address in HF_ENDPOINT"),
    "no ETag": (headers(remove=["ETag", "X-Linked-Etag"]), HEADS | {"times": None}, "as a Hub does; check the address in HF_ENDPOINT"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_that_stays_is_one_line_and_leaves_nothing(hub: Hub, hub_home, pinned, command, case):
    action, where, reason = REFUSED[case]
    hub.fail(action, **where)
    fails(command("pull", "digits"), reason)
    folder = snapshot(hub_home, pinned)
    assert not (folder / "model.safetensors").exists()
    assert not [
        path for path in blobs(hub_home) if path.name.endswith(".incomplete") or path.stat().st_size >= WEIGHTS - 1000
    ]
    hub.heal()
    assert is_whole(Path(succeeds(command("pull", "digits"))[0]))


def test_a_file_of_another_revision_is_refused_whatever_the_hub_claims(
    hub: Hub, hub_home, without_xet, tmp_path, monkeypatch, command
):
    files = read(BUNDLED)
    other = put(hub, files | {"config.json": CONFIG + b" ", "model.safetensors": files["model.safetensors"][::-1]})
    entry = entry_of(files, put(hub, files))
    use(entry, tmp_path / "team.yaml", monkeypatch)
    for claim, reason in ((False, "serves the commit"), (True, "but the registry states")):
        hub.fail(revision(other, claim=claim), path=f"/{REPO}/resolve/*", times=None)
        fails(command("pull", "digits"), reason)
        hub.heal()
    assert is_whole(Path(succeeds(command("pull", "digits"))[0]))


def test_a_mismatch_names_both_digests_and_the_blob_is_gone(hub: Hub, hub_home, pinned, command):
    hub.fail(flip(500_000), **DATA, times=None)
    stated = pinned.files["model.safetensors"].sha256
    with pytest.raises(DigestError) as caught:
        zoo.pull("digits")
    assert caught.value.expected == stated
    assert len(caught.value.found) == 64
    assert caught.value.found != stated
    fails(command("pull", "digits"), stated, "it was removed from the cache")
    assert not [path for path in blobs(hub_home) if path.name == stated]


def test_what_is_waited_for_is_said(hub: Hub, pinned, command):
    hub.fail(status(503), **HEADS, times=2)
    hub.fail(reset(1000), **DATA)
    told = command("pull", "digits").stderr
    assert "model.safetensors: the Hub answers 503 (unavailable); trying again in 0.01 s (attempt 2 of 5)" in told
    assert "trying again in 0.02 s (attempt 3 of 5)" in told
    assert "the connection was reset (the storage http://127.0.0.1" in told


def test_as_long_as_is_asked_for_is_waited_and_said(hub: Hub, pinned, command, monkeypatch):
    waits = []
    monkeypatch.setattr(retrying, "pause", lambda seconds, stop: waits.append(seconds))
    hub.fail(status(429, retry_after=40), **DATA)
    told = command("pull", "digits").stderr
    assert "answers 429 (too many requests) and asks to wait 40 s; trying again in 40 s (attempt 2 of 5)" in told
    assert waits == [40]


def test_silence_ends(hub: Hub, pinned, command, monkeypatch):
    monkeypatch.setattr(client, "TIMEOUT", 0.5)
    hub.fail(hang(), **HEADS)
    told = command("pull", "digits")
    assert is_whole(Path(succeeds(told)[0]))
    assert "no answer in time; trying again" in told.stderr


@pytest.mark.slow
def test_silence_in_the_middle_of_a_body_ends(hub: Hub, pinned, command):
    hub.fail(hang(after=100_000), **DATA)
    assert is_whole(Path(succeeds(command("pull", "digits"))[0]))


def test_a_hub_that_is_down_is_one_line_with_its_address(hub: Hub, pinned, command):
    hub.stop()
    before = fails(command("pull", "digits"), f"{hub.url} cannot be reached")
    assert before
    assert all("trying again" in line for line in before)


def test_a_hub_that_is_down_leaves_what_was_pulled_from_a_branch(hub: Hub, pinned, command):
    folder = succeeds(command("pull", f"hf://{REPO}"))
    hub.stop()
    again = command("pull", f"hf://{REPO}")
    assert succeeds(again) == folder
    assert f"using the commit {pinned.hub.revision[:12]}, which was pulled before" in again.stderr
    assert "trying again" not in again.stderr


# who may


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "log in with `hf auth login`"),
        ("hf_other", "private and not for this token"),
        ("hf_wrongtoken", "the token"),
    ],
)
def test_a_private_repository_says_who_may(hub: Hub, pinned, zoo, token, reason):
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token="hf_test").update_repo_settings(REPO, private=True)
    env = environment()
    env.pop("HF_TOKEN")
    if token:
        env["HF_TOKEN"] = token
    done = zoo("pull", "digits", env=env)
    fails(done, reason)
    assert not token or token not in done.stderr


def test_a_gated_repository_says_where_to_ask(hub: Hub, pinned, zoo):
    hub.api().update_repo_settings(REPO, gated="manual")
    fails(zoo("pull", "digits", env=environment(HF_TOKEN="hf_other")), f"is gated: request access at {hub.url}/{REPO}")
    anonymous = environment()
    del anonymous["HF_TOKEN"]
    fails(zoo("pull", "digits", env=anonymous), f"request access at {hub.url}/{REPO}, and log in")


def test_a_repository_or_a_revision_that_is_gone_is_said(hub: Hub, pinned, command):
    fails(command("pull", f"hf://{REPO}@nothing"), f"hf://{REPO} has no revision nothing")
    hub.api().delete_repo(REPO)
    fails(command("pull", "digits"), f"hf://{REPO}@{pinned.hub.revision[:12]}", "there is no such repository")


def test_the_token_is_sent_to_the_hub_and_to_nobody_else(hub: Hub, pinned, command):
    succeeds(command("pull", "digits"))
    assert {request.token for request in hub.requests(side="hub")} == {"Bearer hf_test"}
    assert {request.token for request in hub.requests(side="cdn")} == {None}


# the cache is not trusted either


def damage(path: Path) -> None:
    """One bit, the same size, and the times of the file as they were."""
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
@pytest.mark.parametrize("address", ["digits", f"hf://{REPO}"])
def test_a_damaged_blob_is_refused_removed_and_fetched_anew(hub: Hub, hub_home, pinned, command, name, address):
    folder = Path(succeeds(command("pull", address))[0])
    damage((folder / name).resolve())
    fails(command("pull", address), "it was removed from the cache, pull again")
    assert not (folder / name).exists()
    hub.forget()
    assert is_whole(Path(succeeds(command("pull", address))[0]))
    assert len(hub.downloads()) == 1


def test_a_load_refuses_a_damaged_blob_too(hub_home, pinned):
    damage((zoo.pull("digits") / "model.safetensors").resolve())
    with pytest.raises(DigestError, match="removed from the cache"):
        zoo.load("digits", device="cpu")


def test_a_blob_that_was_cut_is_refused(hub_home, pinned, command):
    blob = (zoo.pull("digits") / "model.safetensors").resolve()
    os.truncate(blob, 1000)
    fails(command("pull", "digits"), f"has 1,000 bytes, but the registry states {WEIGHTS:,}")
    assert not blob.exists()


def test_a_second_load_reads_no_weights_to_verify_them(pinned, monkeypatch):
    zoo.pull("digits")
    monkeypatch.setattr(verified_digests, "file_sha256", lambda path: pytest.fail(f"{path} is read again"))
    zoo.pull("digits")
    zoo.pull(f"hf://{REPO}@{pinned.hub.revision}")


def test_a_change_within_the_clocks_tick_is_seen(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "stamps"
    for content in (b"one", b"two", b"six"):
        file.write_bytes(content)
        assert verified_digests.sha256_of(file, folder) == verified_digests.file_sha256(file)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"path": 1}'])
def test_a_damaged_stamp_costs_reading_the_file(tmp_path, content):
    file, folder = tmp_path / "file", tmp_path / "stamps"
    file.write_bytes(b"content")
    digest = verified_digests.sha256_of(file, folder)
    (stamp,) = folder.iterdir()
    stamp.write_bytes(content)
    assert verified_digests.sha256_of(file, folder) == digest


def test_stamps_that_cannot_be_written_are_no_failure(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "stamps").write_bytes(b"a file in the way")
    assert len(verified_digests.sha256_of(tmp_path / "file", tmp_path / "stamps")) == 64


# offline

NO_SOCKETS = """
import socket, sys
def refuse(*arguments, **options):
    raise SystemExit("a socket was opened")
class Refusing(socket.socket):
    __init__ = refuse
socket.socket, socket.create_connection, socket.getaddrinfo = Refusing, refuse, refuse
from zoo_core.cli import main
main(sys.argv[1:], prog_name="zoo")
"""


def offline(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NO_SOCKETS, *map(str, arguments)]
    env = environment(HF_HUB_OFFLINE="1", **variables)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_offline_the_cache_is_used_and_no_socket_opened(hub: Hub, pinned, command, tmp_path):
    folder = succeeds(command("pull", "digits", f"hf://{REPO}"))
    for name in ("digits", f"hf://{REPO}", f"hf://{REPO}@{pinned.hub.revision}"):
        assert succeeds(offline("pull", name)) == folder[:1]
    assert succeeds(offline("sample", "digits", "-n", 2, "-o", tmp_path / "a.png")) == [str(tmp_path / "a.png")]
    succeeds(offline("cache", "verify"))


def test_offline_what_is_not_there_is_one_line(hub: Hub, pinned, tmp_path):
    fails(offline("pull", "digits"), "model.safetensors", "are not in the cache, and HF_HUB_OFFLINE is set")
    fails(offline("pull", f"hf://{REPO}"), "it is not completely in the cache, and HF_HUB_OFFLINE")
    fails(offline("push", BUNDLED, "alice/new"), "HF_HUB_OFFLINE")
    fails(offline("search", "x"), "HF_HUB_OFFLINE")
    assert hub.requests() == []


def test_offline_a_damaged_blob_is_refused(pinned, command):
    damage((Path(succeeds(command("pull", "digits"))[0]) / "model.safetensors").resolve())
    fails(offline("pull", "digits"), "sha256 is")


# the disk


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_full_disk_is_one_line_and_leaves_nothing(hub: Hub, pinned, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=600k none "$1" && HF_HOME="$1" "$2" -m zoo_core pull digits; code=$?; '
        'find "$1" -name "*.incomplete" -o -type f -size +500k; mount -o remount,size=20m "$1" && '
        'HF_HOME="$1" "$2" -m zoo_core pull digits >&2 && exit $code'
    )
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), sys.executable]
    if subprocess.run([*unshare[:4], "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let its users mount")
    done = subprocess.run(unshare, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    full, folder = done.stderr.splitlines()
    assert full.startswith("zoo: the disk of ")
    assert "is full" in full
    assert folder.endswith(pinned.hub.revision)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_what_a_disk_refuses_is_one_line(hub: Hub, pinned, command, monkeypatch, error):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error), "/somewhere/blob")

    monkeypatch.setattr(hub_cache, "adopt", refuse)
    fails(command("pull", "digits"), os.strerror(error), "HF_HOME can name another")


def test_a_cache_that_cannot_be_made_is_one_line(hub: Hub, pinned, zoo, tmp_path):
    (tmp_path / "file").write_text("in the way")
    fails(zoo("pull", "digits", env=environment(HF_HOME=str(tmp_path / "file" / "home"))), "cannot be written")


AS_ANOTHER_USER = """
import os, pathlib, sys
from zoo_core.cli import main
def pull():
    try:
        main(["pull", "digits"], prog_name="zoo")
    except SystemExit as error:
        return error.code
assert pull() == 0  # also imports all that another user may not be allowed to read
os.seteuid(65534)
assert pull() == 0
os.seteuid(0)
for blob in pathlib.Path(sys.argv[1]).glob("hub/models--*/blobs/*"):
    blob.unlink()
os.seteuid(65534)
sys.exit(pull())
"""


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="becomes another user")
def test_another_users_cache_is_read_and_not_written(hub: Hub, pinned, tmp_path):
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        home, registry = Path(open_to_all) / "home", shutil.copy(tmp_path / "team.yaml", open_to_all)
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, str(home)],
            env=without_coverage(environment(HF_HOME=str(home), ZOO_REGISTRY=str(registry))),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert len(set(done.stdout.splitlines())) == 1
        assert "cannot be written: Permission denied; HF_HOME can name another folder" in done.stderr.splitlines()[-1]
        assert done.stderr.count("\n") == 1


# what is shown


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
def test_a_terminal_gets_a_bar_and_messages_and_a_pipe_gets_messages_alone(hub: Hub, pinned, zoo):
    import pty

    hub.fail(slow(1_200_000), **DATA)
    hub.fail(status(503), **HEADS)
    parent, child = pty.openpty()
    process = start("pull", "digits", stderr=child, env=environment(TERM="xterm-256color", COLUMNS="100"))
    os.close(child)
    shown = b""
    while piece := _read(parent):
        shown += piece
    os.close(parent)
    folder, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert folder.strip().endswith(pinned.hub.revision)
    assert b"alice/digits/model.safetensors" in shown
    assert "━".encode() in shown
    assert b"trying again in 1 s" in shown
    succeeds(zoo("cache", "remove", "digits"))
    hub.fail(slow(2_000_000), **DATA)
    assert zoo("pull", "digits").stderr == ""


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


# several at once, and kills


def test_two_processes_that_pull_one_model_download_it_once(hub: Hub, hub_home, pinned):
    hub.fail(hang(), **DATA)
    processes = [start_and_wait_for_the_weights(hub)]
    processes += [start("pull", "digits") for _ in range(2)]
    for process in processes[1:]:
        assert "waiting for another process: it pulls hf://alice/digits" in process.stderr.readline()
    hub.heal()
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    assert {out.strip() for out, _ in told} == {str(snapshot(hub_home, pinned))}
    assert len(hub.downloads()) == len(pinned.files)


def start_and_wait_for_the_weights(hub: Hub, **options: object) -> subprocess.Popen[str]:
    """A pull that is at the weights."""
    process = start("pull", "digits", **options)
    while not hub.requests(**DATA):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_a_kill_of_the_one_lets_the_other_go_on(hub: Hub, hub_home, pinned):
    hub.fail(hang(after=300_000), **DATA)
    first = start_and_wait_for_the_weights(hub)
    second = start("pull", "digits")
    assert "waiting for another process" in second.stderr.readline()
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert is_whole(Path(out.strip()))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_a_pull_at_once(hub: Hub, hub_home, pinned):
    hub.fail(slow(WEIGHTS // 60), **DATA, times=None)
    handle = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    process = start_and_wait_for_the_weights(hub, **handle)
    while not hub.requests(**DATA)[0].sent:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == "zoo: interrupted"
    (download,) = hub.requests(**DATA)  # it tried no second time,
    assert download.sent < WEIGHTS  # and did not wait for the rest, which takes a minute
    assert not [path for path in blobs(hub_home) if path.name.endswith(".incomplete")]


def test_a_snapshot_that_is_not_whole_is_not_taken_for_one(hub: Hub, hub_home, pinned, command):
    folder = Path(succeeds(command("pull", f"hf://{REPO}"))[0])
    (folder / "samples.png").unlink()
    assert is_whole(Path(succeeds(command("pull", "digits"))[0]))
    shutil.rmtree(folder)
    fails(offline("pull", f"hf://{REPO}"), "not completely in the cache")


# in a library


def test_errors_carry_what_a_program_needs(hub: Hub, pinned, impatient):
    hub.fail(status(503), **HEADS, times=None)
    with pytest.raises(UnreachableError) as caught:
        zoo.pull("digits")
    assert caught.value.status == 503
    hub.heal()
    hub.fail(status(404, error="RepoNotFound"), **HEADS)
    with pytest.raises(HubError) as caught:
        zoo.pull("digits")
    assert caught.value.missing
    hub.fail(flip(3), **DATA, times=None)
    with pytest.raises(ModelFolderError):
        zoo.pull("digits")


def test_importing_the_hub_imports_no_client():
    names = [path.stem for path in (Path(client.__file__).parent).glob("*.py")]
    program = f"""
        import importlib, sys
        for name in {names!r}:
            importlib.import_module("zoo_core.hub" + ("" if name == "__init__" else "." + name))
        import zoo_core.registries.editing, zoo_core.registries.sources
        print(sorted({{"torch", "huggingface_hub", "ruamel", "ruamel.yaml", "httpx2"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
