"""Each fault happens as it is described, to the requests that it is set for and to no other."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tests.hub import (
    Action,
    Hub,
    cut,
    flip,
    hang,
    headers,
    lie,
    lose,
    refuse,
    reset,
    resize,
    revision,
    slow,
    status,
)

pytest_plugins = ["tests.hub.fixture"]
pytestmark = [
    pytest.mark.usefixtures("without_xet"),
]

REPO = "alice/pets"
WEIGHTS = bytes(range(256)) * 4000
CONFIG = b'{"latent": 64}\n'
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
PLACES = {
    "regular": ("/alice/pets/resolve/main/config.json", CONFIG),
    "lfs": ("/alice/pets/resolve/main/model.safetensors", WEIGHTS),
}
anywhere = pytest.mark.parametrize(("path", "content"), PLACES.values(), ids=PLACES)


@pytest.fixture
def pushed(hub: Hub) -> str:
    api = hub.api()
    api.create_repo(REPO)
    done = api.create_commit(REPO, [CommitOperationAdd(*file) for file in FILES.items()], commit_message="Files")
    hub.forget()
    return done.oid


@pytest.fixture
def http(hub: Hub) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.url, trust_env=False, follow_redirects=True, timeout=5) as client:
        yield client


def fail_content(hub: Hub, path: str, action: Action) -> int:
    """Where the bytes come from: the Hub itself, or its CDN."""
    return hub.fail(action, method="GET", **({"side": "cdn"} if "model" in path else {"path": path}))


def received(http: httpx2.Client, path: str) -> tuple[bytes, Exception | None]:
    """What arrived, and the error that ended it."""
    got = bytearray()
    try:
        with http.stream("GET", path) as response:
            for piece in response.iter_raw():
                got += piece
    except httpx2.TransportError as error:
        return bytes(got), error
    return bytes(got), None


# bodies


@anywhere
@pytest.mark.parametrize("after", [0, 7])
def test_cut(hub: Hub, http: httpx2.Client, pushed: str, path: str, content: bytes, after: int) -> None:
    fail_content(hub, path, cut(after=after))
    got, error = received(http, path)
    assert isinstance(error, httpx2.RemoteProtocolError)
    assert got == content[:after]
    assert received(http, path) == (content, None)


def test_cut_beyond_the_first_piece(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    path = PLACES["lfs"][0]
    fail_content(hub, path, cut(after=700_001))
    assert len(received(http, path)[0]) == 700_001


def test_cut_after_the_end_changes_nothing(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    fail_content(hub, PLACES["lfs"][0], cut(after=len(WEIGHTS)))
    assert received(http, PLACES["lfs"][0]) == (WEIGHTS, None)


@anywhere
def test_reset(hub: Hub, http: httpx2.Client, pushed: str, path: str, content: bytes) -> None:
    fail_content(hub, path, reset(after=5))
    got, error = received(http, path)
    assert isinstance(error, httpx2.ReadError)
    assert got == content[:5]
    assert received(http, path) == (content, None)


@anywhere
def test_flip(hub: Hub, http: httpx2.Client, pushed: str, path: str, content: bytes) -> None:
    fail_content(hub, path, flip(at=9))
    got, error = received(http, path)
    assert error is None
    assert [n for n in range(len(content)) if got[n] != content[n]] == [9]
    assert got[9] ^ content[9] == 1


@anywhere
@pytest.mark.parametrize("by", [3, -3])
def test_resize(hub: Hub, http: httpx2.Client, pushed: str, path: str, content: bytes, by: int) -> None:
    fail_content(hub, path, resize(by=by))
    got, error = received(http, path)
    assert error is None
    assert got == (content + b"\0" * 3 if by > 0 else content[:-3])


def test_hang_before_the_answer(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(hang(), path="*/config.json")
    with pytest.raises(httpx2.ReadTimeout):
        http.get(PLACES["regular"][0], timeout=0.3)
    assert hub.requests(path="*/config.json")[0].status is None


@anywhere
def test_hang_in_the_body_goes_on(hub: Hub, http: httpx2.Client, pushed: str, path: str, content: bytes) -> None:
    fail_content(hub, path, hang(seconds=0.2, after=4))
    with http.stream("GET", path) as response:
        pieces = response.iter_raw()
        assert next(pieces) == content[:4]
        assert b"".join(pieces) == content[4:]


def test_healing_lets_go_of_what_hangs(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(hang(after=3), path="*/config.json")
    with http.stream("GET", PLACES["regular"][0]) as response:
        pieces = response.iter_raw()
        assert next(pieces) == CONFIG[:3]
        hub.heal()
        assert b"".join(pieces) == CONFIG[3:]


def test_slow(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(slow(rate=len(WEIGHTS) // 60), side="cdn")
    with http.stream("GET", PLACES["lfs"][0], follow_redirects=True) as response:
        pieces = response.iter_raw()
        first = next(pieces)
        assert hub.requests(side="cdn")[0].sent < len(WEIGHTS)  # of a minute, the rest is still to come
        hub.heal()
        assert first + b"".join(pieces) == WEIGHTS


# answers


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
def test_status(hub: Hub, http: httpx2.Client, pushed: str, code: int) -> None:
    hub.fail(status(code), path="*/config.json", times=2)
    answers = [http.request(method, PLACES["regular"][0]) for method in ("GET", "HEAD", "GET")]
    assert [answer.status_code for answer in answers] == [code, code, 200]
    assert answers[0].json()["error"] == answers[0].headers["X-Error-Message"]


def test_status_with_retry_after(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(status(429, retry_after=7))
    assert http.get("/api/models").headers["Retry-After"] == "7"


def test_status_with_any_body(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(status(502, body="<html>Bad gateway"))
    answer = http.get("/api/models")
    assert (answer.status_code, answer.text) == (502, "<html>Bad gateway")


CODES = {
    "RepoNotFound": (404, RepositoryNotFoundError),
    "EntryNotFound": (404, EntryNotFoundError),
    "GatedRepo": (403, GatedRepoError),
    None: (403, HfHubHTTPError),
}


@pytest.mark.parametrize(("code", "expected"), CODES.items(), ids=map(str, CODES))
def test_status_with_a_code_is_the_clients_exception(
    hub: Hub, pushed: str, code: str | None, expected: tuple[int, type[Exception]]
) -> None:
    hub.fail(status(expected[0], error=code), method="HEAD")
    with pytest.raises(expected[1]):
        hub.api().get_hf_file_metadata(url=f"{hub.url}/{REPO}/resolve/main/config.json")


def test_refuse(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(refuse(), path="*/config.json")
    with pytest.raises(httpx2.RemoteProtocolError):
        http.get(PLACES["regular"][0])


def test_refuse_takes_the_request_before_it_ends(hub: Hub, pushed: str) -> None:
    """Over bytes that nobody read, the connection would end in a reset instead."""
    number = hub.fail(refuse(), method="POST", path="*/commit/*")
    url = httpx2.URL(hub.url)
    with socket.create_connection((url.host, url.port), timeout=5) as client:
        client.sendall(f"POST /api/models/{REPO}/commit/main HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n".encode())
        while not hub.hits(number):
            pass
        for byte in (b"a", b"b", b"c"):
            client.sendall(byte)
        assert client.recv(1) == b""


@pytest.mark.parametrize("code", [None, 503])
def test_lose_carries_out_the_commit(hub: Hub, http: httpx2.Client, pushed: str, code: int | None) -> None:
    hub.fail(lose(status=code), method="POST", path="*/commit/*")
    with pytest.raises((httpx2.RemoteProtocolError, HfHubHTTPError)):
        hub.api().create_commit(REPO, [CommitOperationAdd("new.txt", b"new")], commit_message="Lost")
    assert hub.api().list_repo_commits(REPO)[0].title == "Lost"


@pytest.mark.parametrize("action", [status(503), refuse()])
def test_what_is_refused_is_not_carried_out(hub: Hub, http: httpx2.Client, pushed: str, action: Action) -> None:
    hub.fail(action, method="POST", path="*/commit/*")
    with pytest.raises((httpx2.RemoteProtocolError, HfHubHTTPError)):
        hub.api().create_commit(REPO, [CommitOperationAdd("new.txt", b"new")], commit_message="Refused")
    assert hub.api().model_info(REPO).sha == pushed


def test_cut_upload_is_no_upload(hub: Hub, pushed: str) -> None:
    hub.fail(refuse(), method="PUT", side="cdn", times=None)
    content = b"\0" * 1000
    with httpx2.Client(trust_env=False) as client:
        oid = hashlib.sha256(content).hexdigest()
        body = {"operation": "upload", "objects": [{"oid": oid, "size": 1000}]}
        token = {"Authorization": "Bearer hf_test"}
        answer = client.post(f"{hub.url}/{REPO}.git/info/lfs/objects/batch", json=body, headers=token).json()
        with pytest.raises(httpx2.RemoteProtocolError):
            client.put(answer["objects"][0]["actions"]["upload"]["href"], content=content)
        again = client.post(f"{hub.url}/{REPO}.git/info/lfs/objects/batch", json=body, headers=token).json()
        assert "actions" in again["objects"][0]


# what is told


def test_lie_about_sizes_in_headers(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(lie(by=5), method="HEAD", times=2)
    assert http.head(PLACES["regular"][0]).headers["Content-Length"] == str(len(CONFIG) + 5)
    told = http.head(PLACES["lfs"][0], follow_redirects=False)
    assert told.headers["X-Linked-Size"] == str(len(WEIGHTS) + 5)
    assert http.head(PLACES["regular"][0]).headers["Content-Length"] == str(len(CONFIG))


def test_lie_about_sizes_in_trees(hub: Hub, pushed: str) -> None:
    hub.fail(lie(by=-5), path="*/tree/*")
    api = hub.api()
    sizes = [{entry.path: entry.size for entry in api.list_repo_tree(REPO)}["config.json"] for _ in range(2)]
    assert sizes == [len(CONFIG) - 5, len(CONFIG)]


def test_the_client_notices_a_size(hub: Hub, pushed: str) -> None:
    hub.fail(lie(by=5), method="HEAD", path="*/model.safetensors")
    with pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download(REPO, "model.safetensors", endpoint=hub.url)


@pytest.fixture
def older(hub: Hub, pushed: str) -> str:
    """The commit before one that changed both files, keeping their sizes."""
    changed = {name: content.replace(b"6", b"7") for name, content in FILES.items()}
    operations = [CommitOperationAdd(*file) for file in changed.items()]
    assert hub.api().create_commit(REPO, operations, commit_message="Other").oid != pushed
    return pushed


@anywhere
def test_another_revision_says_so(hub: Hub, http: httpx2.Client, older: str, path: str, content: bytes) -> None:
    hub.fail(revision(older), path=path)
    answer = http.get(path, follow_redirects=False)
    assert answer.headers["X-Repo-Commit"] == older
    hub.fail(revision(older), path=path)
    assert http.get(path).content == content
    assert http.get(path).content != content


@anywhere
def test_another_revision_claims_to_be_the_one(
    hub: Hub, http: httpx2.Client, older: str, path: str, content: bytes
) -> None:
    newest = hub.api().model_info(REPO).sha
    hub.fail(revision(older, claim=True), path=path, times=2)
    assert http.get(path, follow_redirects=False).headers["X-Repo-Commit"] == newest
    assert http.get(path).content == content


def test_another_revision_in_info_and_trees(hub: Hub, older: str) -> None:
    api = hub.api()
    first = api.list_repo_commits(REPO)[-1].commit_id
    hub.fail(revision(first), path="*/revision/*")
    hub.fail(revision(first, claim=True), path="*/revision/*")
    hub.fail(revision(first), path="*/tree/*")
    newest = api.model_info(REPO).sha
    assert [api.model_info(REPO, revision="main").sha for _ in range(3)] == [first, newest, newest]
    assert api.list_repo_files(REPO) == [".gitattributes"]


def test_headers_that_are_missing_or_wrong(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(headers(remove=["X-Repo-Commit"], add={"ETag": '"0"', "X-New": "1"}), method="HEAD")
    told = http.head(PLACES["regular"][0]).headers
    assert "X-Repo-Commit" not in told
    assert (told["ETag"], told["X-New"]) == ('"0"', "1")


# which requests


def test_faults_take_turns(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    first = hub.fail(status(503), method="GET", path="*/resolve/*", times=2, skip=1)
    second = hub.fail(status(500), path="/api/*", times=None)
    codes = [http.get(PLACES["regular"][0]).status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    assert [http.get("/api/models").status_code for _ in range(3)] == [500] * 3
    assert (hub.hits(first), hub.hits(second)) == (2, 3)
    hub.heal()
    assert http.get("/api/models").status_code == 200


def test_the_log_names_the_fault(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.fail(cut(after=7), path="*/config.json")
    received(http, PLACES["regular"][0])
    (entry,) = hub.requests(path="*/config.json")
    assert (entry.fault, entry.status, entry.sent) == ("cut", 200, 7)


def test_faults_over_http_alone(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    """As the package's documentation writes them."""
    body = {"method": "GET", "path": "*/resolve/*", "times": 1, "action": {"action": "cut", "after": 4}}
    assert http.post("/_hub/faults", content=json.dumps(body)).status_code == 200
    assert received(http, PLACES["regular"][0])[0] == CONFIG[:4]
    (fault,) = http.get("/_hub/faults").json()
    assert (fault["hits"], fault["action"]) == (1, {"action": "cut", "after": 4})
    assert http.delete("/_hub/faults").status_code == 200
    plant = {"repository": REPO, "files": {"planted.txt": base64.b64encode(b"x").decode()}}
    assert http.post("/_hub/commit", json=plant).status_code == 200
    assert hub.api().file_exists(REPO, "planted.txt")


# what the official client makes of them


def test_client_resumes_after_a_cut(hub: Hub, pushed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps whole pieces of 10 MiB, and begins again with the one that was cut."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 250_000)
    hub.fail(cut(after=600_000), side="cdn")
    assert Path(hf_hub_download(REPO, "model.safetensors", endpoint=hub.url)).read_bytes() == WEIGHTS
    assert [entry.headers.get("range") for entry in hub.downloads()] == [None, "bytes=500000-"]


def test_client_takes_a_flipped_byte(hub: Hub, pushed: str) -> None:
    """Why whoever downloads has to compare the hash."""
    hub.fail(flip(at=1000), side="cdn")
    assert Path(hf_hub_download(REPO, "model.safetensors", endpoint=hub.url)).read_bytes() != WEIGHTS


def test_client_waits_for_a_busy_cdn(hub: Hub, pushed: str) -> None:
    hub.fail(status(429, retry_after=1), side="cdn")
    snapshot_download(REPO, endpoint=hub.url)
    assert sorted(entry.status for entry in hub.requests("GET", side="cdn")) == [200, 429]
