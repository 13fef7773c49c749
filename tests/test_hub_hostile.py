"""A Hub that lies, or somebody between it and the user: nothing outside the cache, no token elsewhere, bounded answers."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo_core as zoo
from tests.hostile_hub import COMMIT, ENOUGH, REPO, Exchange, HostileHub, git_sha1
from tests.hub.fixture import point_client
from tests.hub_models import BUNDLED, fails, read, succeeds, use
from zoo_core.errors import DigestError, HubError, ModelFolderError, UnreachableError, ZooError
from zoo_core.hub import client, redaction, requesting, rest, settings
from zoo_core.hub.errors import HubResource
from zoo_core.registries import FileFacts, HubLocation, ModelEntry

pytest_plugins = ["tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")
ADDRESS = f"hf://{REPO}"
TOKEN = "hf_secretsecret"
PASSWORD = "pass-word-4711"
FEW = 8 * 2**20  # bytes that sockets may hold besides what was read
FILES = {name: content for name, content in read(BUNDLED).items() if name in ("config.json", "model.safetensors")}
CONFIG, WEIGHTS = FILES["config.json"], FILES["model.safetensors"]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None) -> Iterator[HostileHub]:
    """A Hub with a model, of which everything may be changed."""
    yield from served(HostileHub(FILES), tmp_path, monkeypatch)


@pytest.fixture
def elsewhere() -> Iterator[HostileHub]:
    """Another host."""
    other = HostileHub(FILES)
    yield other
    other.close()


def served(hub: HostileHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileHub]:
    home = tmp_path / "home"
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    point_client(hub.url, home, monkeypatch)
    yield hub
    hub.close()


def left(tmp_path: Path) -> list[str]:
    """Every file under the test's folder, besides locks and what says that a pull was begun."""
    return [
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and ".lock" not in path.name
    ]


# what becomes a path has the form of what it should be

NOT_COMMITS = ["../../../evil", "..", "", "C" * 40, "c" * 39, "c" * 41, "c" * 40 + "\n", "c" * 39 + "é", 7, None, ["c"]]


@pytest.mark.parametrize("sha", NOT_COMMITS, ids=repr)
def test_a_commit_that_is_none_is_refused_and_writes_nothing(hostile: HostileHub, tmp_path, command, sha):
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(sha=sha)))
    fails(command("pull", ADDRESS), "alice/digits@main")
    fails(command("registry", "add", ADDRESS), "alice/digits@main")
    assert left(tmp_path) == []


def test_a_commit_in_the_header_of_a_file_is_compared_with_the_requested_one(hostile: HostileHub, tmp_path):
    for commit in ("../../../evil", "d" * 40):
        headers = hostile.file_headers("config.json") | {"X_Repo_Commit": commit}
        hostile.on("*", "*/config.json", lambda exchange, headers=headers: exchange.answer(CONFIG, **headers))
        with pytest.raises(HubError, match="serves the commit"):
            zoo.pull(ADDRESS)
    assert left(tmp_path) == []


@pytest.mark.parametrize("etag", ["../../evil", "/etc/evil", ".hidden", "a/b", "a\\b", "x" * 300])
def test_an_etag_that_is_a_path_names_no_file(hostile: HostileHub, tmp_path, etag):
    headers = hostile.file_headers("config.json") | {"ETag": f'"{etag}"'}
    hostile.on("*", "*/config.json", lambda exchange: exchange.answer(CONFIG, **headers))
    with pytest.raises(HubError, match="cannot be a file name"):
        zoo.pull(ADDRESS)
    assert left(tmp_path) == []


def test_the_names_of_blobs_are_the_digests_of_their_content(hostile: HostileHub, tmp_path):
    headers = hostile.file_headers("config.json") | {"ETag": '"W-123"'}
    hostile.on("*", "*/config.json", lambda exchange: exchange.answer(CONFIG, **headers))
    folder = zoo.pull(ADDRESS)
    assert read(folder) == FILES
    blobs = {path.name for path in (folder.parent.parent / "blobs").iterdir()}
    assert blobs == {hashlib.sha256(CONFIG).hexdigest(), git_sha1(WEIGHTS)}


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "a/../config.json", "sub/config.json", ".git/config"])
def test_names_in_a_listing_are_looked_up_and_never_used(hostile: HostileHub, tmp_path, name):
    listed = [*hostile.info()["siblings"], {"rfilename": name, "size": 3, "blobId": git_sha1(b"bad")}]
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(siblings=listed)))
    assert read(zoo.pull(ADDRESS)) == FILES
    assert not [request for request in hostile.asked("*/resolve/*") if request.path.rpartition("/")[2] not in FILES]


@pytest.mark.parametrize("stated", [{"blobId": "../evil"}, {"blobId": 5}, {"size": -1}, {"size": "9"}, {"size": 1e300}, {"lfs": {"sha256": "..", "size": 3}}, {"size": True}], ids=repr)  # fmt: skip
def test_a_digest_or_a_size_that_is_none_is_refused(hostile: HostileHub, tmp_path, stated):
    listed = [sibling | stated for sibling in hostile.info()["siblings"]]
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(siblings=listed)))
    with pytest.raises(HubError, match="which is none"):
        zoo.pull(ADDRESS)
    assert left(tmp_path) == []


@pytest.mark.parametrize("info", ["[]", "null", "7", '"x"', "{", "", "[" * 100_000, '{"sha": "' + "c" * 40, '{"siblings": 7}', '{"siblings": [1]}', "\xff"])  # fmt: skip
def test_an_answer_of_another_form_is_one_line(hostile: HostileHub, command, info):
    hostile.on("GET", "/api/*", lambda exchange: exchange.answer(info.encode("latin-1")))
    fails(command("pull", ADDRESS), "as a Hub does", "check the address in HF_ENDPOINT")


# the token goes to the Hub alone


def tokens(*hubs: HostileHub) -> set[str | None]:
    return {request.headers.get("authorization") for hub in hubs for request in hub.requests}


def test_a_download_takes_the_token_to_no_address_that_the_hub_names(hostile: HostileHub, elsewhere: HostileHub):
    named = {
        "X_Xet_Hash": "a" * 64,
        "X_Xet_Refresh_Route": f"{elsewhere.url}/refresh",
        "Link": f'<{elsewhere.url}/auth>; rel="xet-auth", <{elsewhere.url}/next>; rel="next"',
        "Set_Cookie": "session=secret",
    }
    for name, content in FILES.items():
        headers = hostile.file_headers(name) | named
        hostile.on("*", f"*/{name}", lambda exchange, c=content, h=headers: exchange.answer(c, **h))
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(), **named))
    assert read(zoo.pull(ADDRESS)) == FILES
    assert tokens(hostile) == {f"Bearer {TOKEN}"}
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("described", [True, False])
def test_a_redirect_elsewhere_goes_without_token_and_cookies(
    hostile: HostileHub, elsewhere: HostileHub, status, described
):
    where = elsewhere.url.replace("http://", "http://user:password@")

    def redirect(exchange: Exchange) -> None:
        linked = {"X_Linked_Etag": f'"{git_sha1(CONFIG)}"', "X_Linked_Size": len(CONFIG)} if described else {}
        headers = hostile.file_headers("config.json") | linked
        exchange.answer(b"", status, Location=where + exchange.request.path, Set_Cookie="a=b; Path=/", **headers)

    hostile.on("*", "*/config.json", redirect)
    assert read(zoo.pull(ADDRESS)) == FILES
    assert elsewhere.requests
    assert tokens(elsewhere) == {None}
    assert not any("cookie" in request.headers for request in elsewhere.requests)


def test_a_redirect_within_the_hub_keeps_the_token(hostile: HostileHub):
    moved = f"/api/models/{REPO}/revision/main"
    hostile.on("GET", moved, lambda exchange: exchange.answer(b"", 307, Location="/api/models/alice/digits"))
    zoo.pull(ADDRESS)
    assert tokens(hostile) == {f"Bearer {TOKEN}"}


def test_the_next_page_of_a_search_does_not_get_the_token(hostile: HostileHub, elsewhere: HostileHub, command):
    link = f'<{elsewhere.url}/api/models?cursor=1>; rel="next"'
    hostile.on("GET", "/api/models", lambda exchange: exchange.json([], Link=link))
    command("search", "x")
    assert f"Bearer {TOKEN}" in tokens(hostile)
    assert tokens(elsewhere) <= {None}


def test_the_commands_session_sends_the_token_nowhere_else(hostile: HostileHub, elsewhere: HostileHub, command):
    from huggingface_hub import get_session

    command("list")  # from now on the process is the command's
    client.prepare_request()
    for hub in (hostile, elsewhere):  # as huggingface_hub does with an address that an LFS answer names
        get_session().get(f"{hub.url}/verify", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (tokens(hostile), tokens(elsewhere)) == ({f"Bearer {TOKEN}"}, {None})


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://hub.example.org/a", True),
        ("https://hub.example.org:443/a", True),
        ("HTTPS://HUB.example.org/a", True),
        ("http://hub.example.org/a", False),
        ("https://hub.example.org:8443/a", False),
        ("https://hub.example.org.evil.org/a", False),
        ("https://hub.example.org@evil.org/a", False),
        ("https://evil.org/https://hub.example.org", False),
        ("https://cdn.hub.example.org/a", False),
    ],
)
def test_the_hub_is_its_scheme_host_and_port(monkeypatch, url, same):
    monkeypatch.setattr(settings, "endpoint", lambda: "https://hub.example.org")
    assert settings.is_the_hub(url) is same


# answers are bounded


def refused_and_bounded(hostile: HostileHub, path: str, *parts: str) -> None:
    """The pull is one line, and of what `path` sends no more is taken than sockets hold."""
    with pytest.raises(ZooError) as caught:
        zoo.pull(ADDRESS)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)
    assert max(request.sent for request in hostile.asked(path)) < FEW


def test_a_file_without_end_stops_at_its_stated_size(hostile: HostileHub, tmp_path):
    headers = hostile.file_headers("config.json")
    hostile.on("GET", "*/config.json", lambda exchange: exchange.endless(b"x" * 65536, **headers))
    refused_and_bounded(hostile, "*/config.json", "shorter or longer than it was announced")
    assert left(tmp_path) == []


def test_a_file_that_nobody_states_a_size_of_is_bounded_too(hostile: HostileHub, monkeypatch):
    monkeypatch.setattr("zoo_core.hub.downloading.UNSTATED", 2**20)
    siblings = [{"rfilename": name} for name in FILES]
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(siblings=siblings)))
    hostile.on("GET", "*/tree/*", lambda exchange: exchange.answer(b"", 404))
    headers = hostile.file_headers("config.json")
    hostile.on("HEAD", "*/config.json", lambda exchange: exchange.start(**headers))
    hostile.on("GET", "*/config.json", lambda exchange: exchange.endless(b"x" * 65536, **headers))
    refused_and_bounded(hostile, "*/config.json", "shorter or longer")


@pytest.mark.parametrize("name", ["config.json", "README.md", "training.yaml"])
def test_a_small_file_that_is_stated_to_be_large_is_not_downloaded(hostile: HostileHub, name):
    sibling = {"rfilename": name, "size": 2**30, "blobId": "a" * 40}
    listed = [each for each in hostile.info()["siblings"] if each["rfilename"] != name]
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(siblings=[*listed, sibling])))
    refused_and_bounded(hostile, "*", "has 1,073,741,824 bytes, more than")
    assert not hostile.asked(f"*/{name}")


def test_compressed_files_are_decompressed_up_to_their_size(hostile: HostileHub):
    bomb = gzip.compress(bytes(ENOUGH))
    headers = hostile.file_headers("config.json")
    hostile.on("GET", "*/config.json", lambda exchange: exchange.answer(bomb, Content_Encoding="gzip", **headers))
    refused_and_bounded(hostile, "*/config.json", "shorter or longer")
    for packed, coding in ((gzip.compress(CONFIG), "gzip"), (zlib.compress(CONFIG), "deflate")):
        hostile.on("GET", "*/config.json", lambda e, p=packed, c=coding: e.answer(p, Content_Encoding=c, **headers))
        assert read(zoo.pull(ADDRESS)) == FILES


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 500])
def test_a_coding_that_was_not_requested_is_refused(hostile: HostileHub, coding):
    headers = hostile.file_headers("config.json")
    hostile.on("GET", "*/config.json", lambda exchange: exchange.answer(CONFIG, Content_Encoding=coding, **headers))
    refused_and_bounded(hostile, "*/config.json", "which was not requested")


def test_what_is_not_compressed_as_it_says_is_refused(hostile: HostileHub):
    headers = hostile.file_headers("config.json")
    hostile.on("GET", "*/config.json", lambda exchange: exchange.answer(CONFIG, Content_Encoding="gzip", **headers))
    refused_and_bounded(hostile, "*/config.json", "is not gzip")


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_of_the_api_without_end_is_refused(hostile: HostileHub, monkeypatch, packed):
    monkeypatch.setattr(rest, "MAX_BYTES", 2**20)
    if packed:
        bomb = gzip.compress(b'{"siblings": [' + b"1," * 2**23)
        hostile.on("GET", "/api/*", lambda exchange: exchange.answer(bomb, Content_Encoding="gzip"))
    else:
        hostile.on("GET", "/api/*", lambda exchange: exchange.endless(b"[" * 65536))
    refused_and_bounded(hostile, "/api/*", "sends more than 1,048,576 bytes")


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a_refusal_without_end_is_one_line(hostile: HostileHub, status):
    hostile.on("GET", "/api/*", lambda exchange: exchange.endless(b"no " * 20_000, status))
    refused_and_bounded(hostile, "/api/*", str(status))


def test_headers_without_end_are_refused(hostile: HostileHub):
    hostile.on("GET", "/api/*", lambda e: (e.write(b"HTTP/1.1 200 OK\r\n"), e.body(b"A: b\r\n" * 10_000, times=1000)))
    refused_and_bounded(hostile, "/api/*", "cannot be reached")


def test_redirects_without_end_are_refused(hostile: HostileHub):
    hostile.on("GET", "/api/*", lambda exchange: exchange.answer(b"", 302, Location=exchange.request.path + "x"))
    refused_and_bounded(hostile, "/api/*", "redirects more than 5 times")
    assert len(hostile.requests) == 6


@pytest.mark.parametrize("place", ["ftp://a/b", "file:///etc/passwd", "http://[::1", "http://a:99999/", "http://a b/", "javascript:alert(1)", "http://a\u00ad.org/"])  # fmt: skip
def test_a_redirect_to_what_is_no_address_is_one_line(hostile: HostileHub, place):
    hostile.on("GET", "/api/*", lambda exchange: exchange.answer(b"", 302, Location=place))
    refused_and_bounded(hostile, "/api/*", "redirects to")


def test_pages_without_end_are_refused(hostile: HostileHub, monkeypatch):
    monkeypatch.setattr(rest, "MAX_PAGES", 4)
    hostile.on("GET", "/api/*/revision/*", lambda e: e.json(hostile.info(siblings=[{"rfilename": n} for n in FILES])))
    hostile.on("GET", "/api/*/tree/*", lambda e: e.json([], Link=f'<{e.request.path}x>; rel="next"'))
    refused_and_bounded(hostile, "/api/*", "more than 4 pages")
    hostile.on("GET", "/api/*/tree/*", lambda e: e.json([], Link='</api/models/alice/digits/tree/x>; rel="next"'))
    refused_and_bounded(hostile, "/api/*", "comes back to a page")


def test_a_page_elsewhere_is_refused(hostile: HostileHub, elsewhere: HostileHub):
    hostile.on("GET", "/api/*/revision/*", lambda e: e.json(hostile.info(siblings=[{"rfilename": n} for n in FILES])))
    hostile.on("GET", "/api/*/tree/*", lambda e: e.json([], Link=f'<{elsewhere.url}/next>; rel="next"'))
    refused_and_bounded(hostile, "/api/*", "which is not the Hub")
    assert elsewhere.requests == []


# too slow


def test_a_body_that_drips_is_given_up(hostile: HostileHub, monkeypatch):
    monkeypatch.setattr(requesting, "WINDOW", 0.05)
    headers = hostile.file_headers("config.json")

    def drip(exchange: Exchange) -> None:
        exchange.start(Content_Length=len(CONFIG), **headers)
        for byte in CONFIG:
            exchange.body(bytes([byte]))
            if exchange.server.ended.wait(0.02):
                return

    hostile.on("GET", "*/config.json", drip)
    refused_and_bounded(hostile, "*/config.json", "fewer than 1,000 a second", "ZOO_HUB_MIN_SPEED")
    assert len([request for request in hostile.asked("*/config.json") if request.method == "GET"]) == 1


def test_headers_that_drip_are_given_up(hostile: HostileHub, monkeypatch):
    monkeypatch.setattr(requesting, "PATIENCE", 0.02)

    def drip(exchange: Exchange) -> None:
        while not exchange.server.ended.wait(0.02):
            exchange.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    hostile.on("GET", "/api/*", drip)
    refused_and_bounded(hostile, "/api/*", "has not begun to answer after 0.2 s")


def test_speed_is_measured_over_a_window_and_can_be_chosen(monkeypatch):
    now = 0.0
    monkeypatch.setenv(settings.SPEED_VARIABLE, "100")
    pace = requesting.Pace(HubResource(REPO), clock=lambda: now)
    pace.count(1)
    now = requesting.WINDOW
    pace.count(100 * 30)  # fast enough over the whole window
    now *= 2
    with pytest.raises(UnreachableError, match="2,999 bytes arrived in 30 s, fewer than 100 a second"):
        pace.count(100 * 30 - 1)
    monkeypatch.setenv(settings.SPEED_VARIABLE, "0")
    pace = requesting.Pace(HubResource(REPO), clock=lambda: now)
    now *= 100
    pace.count(0)
    monkeypatch.setenv(settings.SPEED_VARIABLE, "fast")
    with pytest.raises(ZooError, match=r"ZOO_HUB_MIN_SPEED: 'fast' is not a number of bytes a second"):
        settings.slowest()


# a file is the one of the commit


@pytest.mark.parametrize("name", FILES)
def test_another_file_is_refused_though_its_own_answers_agree(hostile: HostileHub, tmp_path, name):
    other = FILES[name][:-1] + bytes([FILES[name][-1] ^ 1])
    headers = {"X_Repo_Commit": COMMIT, "ETag": f'"{git_sha1(other)}"'}
    hostile.on("*", f"*/{name}", lambda exchange: exchange.answer(other, **headers))
    with pytest.raises(ModelFolderError, match=f"git's sha1 is {git_sha1(other)}, but the Hub states"):
        zoo.pull(ADDRESS)
    hostile.on("*", f"*/{name}", lambda exchange: exchange.answer(other, **hostile.file_headers(name)))
    with pytest.raises(ModelFolderError, match="removed from the cache"):
        zoo.pull(ADDRESS)
    assert not [path for path in left(tmp_path) if path.endswith((name, git_sha1(other), ".incomplete"))]


def test_another_file_under_lfs_is_refused(hostile: HostileHub):
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    pointer = {"rfilename": "model.safetensors", "size": len(WEIGHTS), "blobId": "a" * 40}
    listed = [hostile.info()["siblings"][0], pointer | {"lfs": {"sha256": digest, "size": len(WEIGHTS)}}]
    hostile.on("GET", "/api/*", lambda exchange: exchange.json(hostile.info(siblings=listed)))
    other = hashlib.sha256(WEIGHTS[::-1]).hexdigest()
    headers = {"X_Repo_Commit": COMMIT, "ETag": f'"{other}"'}
    hostile.on("*", "*/model.safetensors", lambda exchange: exchange.answer(WEIGHTS[::-1], **headers))
    with pytest.raises(DigestError, match=f"sha256 is {other}, but the Hub states {digest}"):
        zoo.pull(ADDRESS)


def test_what_the_listing_stated_is_remembered(hostile: HostileHub, monkeypatch):
    folder = zoo.pull(f"{ADDRESS}@{COMMIT}")
    blob = (folder / "config.json").resolve()
    changed = CONFIG.replace(b"1", b"2", 1)
    other = blob.with_name(git_sha1(changed))  # a whole blob with the right name, and not the one of the commit
    other.write_bytes(changed)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(other)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelFolderError, match=f"but the Hub states {git_sha1(CONFIG)}"):
        zoo.pull(f"{ADDRESS}@{COMMIT}")


def test_a_hub_that_states_no_digests_with_its_description_is_asked_for_the_tree(hostile: HostileHub, command):
    siblings = [{"rfilename": name} for name in FILES]
    hostile.on("GET", "/api/*/revision/*", lambda exchange: exchange.json(hostile.info(siblings=siblings)))
    done = command("pull", ADDRESS)
    assert read(Path(succeeds(done)[0])) == FILES
    assert "compared with the digests that the Hub itself states" in done.stderr
    assert "except" not in done.stderr


def test_files_of_which_nothing_is_stated_are_named(hostile: HostileHub, command):
    siblings = [{"rfilename": name} for name in FILES]
    hostile.on("GET", "/api/*/revision/*", lambda exchange: exchange.json(hostile.info(siblings=siblings)))
    hostile.on("GET", "/api/*/tree/*", lambda exchange: exchange.answer(b"<html>", 404))
    done = command("pull", ADDRESS)
    assert read(Path(succeeds(done)[0])) == FILES
    assert "except for config.json, model.safetensors, of which it states none" in done.stderr


def test_a_registry_is_the_one_of_the_requested_commit(hostile: HostileHub, command):
    hostile.files["registry.yaml"] = b"version: 1\nmodels: {}\n"
    fails(command("registry", "add", f"{ADDRESS}@{'d' * 40}"), f"the Hub serves the commit {COMMIT} instead")
    changed = hostile.files["registry.yaml"][::-1]
    hostile.on("GET", "*/resolve/*", lambda exchange: exchange.answer(changed, **hostile.file_headers("registry.yaml")))
    fails(command("registry", "add", ADDRESS), "registry.yaml: git's sha1 is", "but the Hub states")
    hostile.on("GET", "*/resolve/*", lambda exchange: exchange.endless(b"#" * 65536))
    fails(command("registry", "add", ADDRESS), "sends more than")
    assert sum(request.sent for request in hostile.asked("*/resolve/*")) < FEW


# only files of a model


def test_other_files_of_an_entry_are_named_and_not_fetched(hostile: HostileHub, tmp_path, monkeypatch, command):
    others = {"evil.py": b"raise SystemExit", ".git/config": b"[core]", "sub/model.safetensors": b"x", "a.pkl": b"\x80"}
    hostile.files |= others
    facts = {n: FileFacts(sha256=hashlib.sha256(c).hexdigest(), size=len(c)) for n, c in hostile.files.items()}
    hub = HubLocation(repo=REPO, revision=COMMIT)
    entry = ModelEntry(name="digits", architecture="vae", plugin="zoo-vae", files=facts, hub=hub)
    use(entry, tmp_path / "team.yaml", monkeypatch)
    done = command("pull", "digits")
    assert read(Path(succeeds(done)[0])) == FILES
    assert "digits: not fetched, for they are no files of a model: " in done.stderr
    assert all(name in done.stderr for name in others)
    assert not [request for name in others for request in hostile.asked(f"*/{name}")]


# secrets


@pytest.mark.parametrize("status", [400, 403, 429, 503])
def test_a_token_that_a_hub_repeats_is_on_no_screen(hostile: HostileHub, command, status):
    told = {"Retry_After": TOKEN, "X_Error_Message": f"Authorization: Bearer {TOKEN}", "X_Error_Code": TOKEN}
    hostile.on("*", "/api/*", lambda e: e.answer(json.dumps({"error": f"no {TOKEN}"}).encode(), status, **told))
    done = command("pull", ADDRESS)
    fails(done)
    assert TOKEN not in done.stderr
    hostile.on("*", "/api/*", lambda e: e.answer(b"", 302, Location=f"ftp://x/{TOKEN}"))
    done = command("pull", ADDRESS)
    fails(done)
    assert TOKEN not in done.stderr


@pytest.fixture
def with_password(hostile: HostileHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostileHub:
    """HF_ENDPOINT has a password in it."""
    url = hostile.url.replace("http://", f"http://me:{PASSWORD}@")
    monkeypatch.setenv("HF_ENDPOINT", url)
    point_client(url, tmp_path / "home", monkeypatch)
    return hostile


def test_no_traceback_shows_a_secret(with_password: HostileHub, command, capsys):
    with_password.on("*", "/api/*", lambda e: e.answer(json.dumps({"error": f"no {TOKEN}"}).encode(), 400))
    done = command("--debug", "pull", ADDRESS)
    sys.excepthook(*done.exc_info)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "refuses with 400" in shown
    assert TOKEN not in shown
    assert PASSWORD not in shown


def test_a_password_in_the_address_of_the_hub_is_on_no_screen(with_password: HostileHub, command):
    with_password.on("*", "/api/*", lambda exchange: exchange.answer(b"", 400))
    for arguments in (("pull", ADDRESS), ("search", "x"), ("doctor",)):
        assert PASSWORD not in command(*arguments).output
    with_password.close()
    done = command("pull", ADDRESS)
    assert "cannot be reached" in done.stderr
    assert PASSWORD not in done.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/x?sig=abc", "https://***@host/x"),
        ("socks5://me:secret@host:1", "socks5://***@host:1"),
        ("http://me@host", "http://***@host"),
        ("hf_abcdefghijkl", "***"),
        ("Authorization: Bearer abc.def-123", "Authorization: ***"),
        ("{'authorization': 'Basic bWU6c2VjcmV0'}", "{'authorization': '***'}"),
        ("hf://alice/digits@v1", "hf://alice/digits@v1"),
        ("a basic failure of the bearer", "a basic failure of the bearer"),
    ],
)
def test_redaction(text, shown):
    assert redaction.redacted(text) == shown


@pytest.mark.parametrize("form", ["p%40ss/wörd", "p@ss/wörd", "p%40ss%2Fw%C3%B6rd", "bWU6cEBzcy93w7ZyZA=="])
def test_a_password_of_a_proxy_is_cut_out_in_every_form(monkeypatch, form):
    monkeypatch.setenv("https_proxy", "http://me:p%40ss/wörd@proxy:3128")
    assert redaction.redacted(f"<{form}>") == "<***>"


def test_what_answers_late_is_closed(hostile: HostileHub, monkeypatch):
    released = threading.Event()
    closed = threading.Event()

    class Late:
        def close(self) -> None:
            closed.set()

    def send() -> Late:
        released.wait(5)
        return Late()

    with pytest.raises(UnreachableError, match="has not begun to answer"):
        requesting.within(0.01, HubResource(REPO), send)
    released.set()
    assert closed.wait(5)
