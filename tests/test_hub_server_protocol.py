"""The Hub of the tests on the wire: ranges, redirects, hashes, and what it refuses of a client that is not to be trusted."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download

from tests.hub import ALICE, BOB, Hub, status
from tests.hub.client import ROOT

pytest_plugins = ["tests.hub.fixture"]
pytestmark = [
    pytest.mark.usefixtures("without_xet"),
]

REPO = "alice/pets"
WEIGHTS = bytes(range(256)) * 40
OID = hashlib.sha256(WEIGHTS).hexdigest()
CONFIG = b'{"latent": 64}\n'


@pytest.fixture
def http(hub: Hub) -> Iterator[httpx2.Client]:
    """alice's bare client, which follows nothing and retries nothing."""
    with httpx2.Client(base_url=hub.url, headers={"Authorization": f"Bearer {ALICE}"}, trust_env=False) as client:
        yield client


@pytest.fixture
def anybody() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def pushed(hub: Hub) -> str:
    api = hub.api()
    api.create_repo(REPO)
    files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    return api.create_commit(REPO, [CommitOperationAdd(*file) for file in files.items()], commit_message="Files").oid


def commit(http: httpx2.Client, *lines: dict[str, Any], revision: str = "main", **header: str) -> httpx2.Response:
    items = [{"key": "header", "value": {"summary": "x"} | header}, *lines]
    return http.post(f"/api/models/{REPO}/commit/{revision}", content="\n".join(map(json.dumps, items)))


def regular(path: str, content: bytes = b"x") -> dict[str, Any]:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}


def large(path: str, oid: str, size: int) -> dict[str, Any]:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": size}}


def batch(
    http: httpx2.Client, oid: str, size: int, transfers: tuple[str, ...] = ("basic", "multipart")
) -> dict[str, Any]:
    body = {
        "operation": "upload",
        "transfers": transfers,
        "objects": [{"oid": oid, "size": size}],
        "hash_algo": "sha256",
    }
    response = http.post(f"/{REPO}.git/info/lfs/objects/batch", json=body)
    assert response.status_code == 200
    return response.json()["objects"][0]


def head(hub: Hub) -> str | None:
    return hub.api().model_info(REPO).sha


# downloads


def test_regular_file_is_answered_in_place(http: httpx2.Client, pushed: str) -> None:
    response = http.get(f"/{REPO}/resolve/main/config.json")
    assert (response.status_code, response.content) == (200, CONFIG)
    assert response.headers["X-Repo-Commit"] == pushed
    assert response.headers["ETag"] == f'"{hashlib.sha1(b"blob 15" + bytes(1) + CONFIG).hexdigest()}"'
    assert http.head(f"/{REPO}/resolve/main/config.json").headers["Content-Length"] == "15"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_lfs_file_is_elsewhere(http: httpx2.Client, anybody: httpx2.Client, pushed: str, method: str) -> None:
    response = http.request(method, f"/{REPO}/resolve/{pushed}/model.safetensors")
    assert response.status_code == 302
    assert response.headers["X-Linked-Size"] == str(len(WEIGHTS))
    assert response.headers["X-Linked-ETag"] == f'"{OID}"'
    assert response.headers["X-Repo-Commit"] == pushed
    there = httpx2.URL(response.headers["Location"])
    assert there.port != http.base_url.port
    served = anybody.get(there)
    assert (served.content, served.headers["ETag"]) == (WEIGHTS, f'"{OID}"')


RANGES = {
    "bytes=0-0": (206, WEIGHTS[:1], "0-0"),
    "bytes=100-": (206, WEIGHTS[100:], f"100-{len(WEIGHTS) - 1}"),
    "bytes=-10": (206, WEIGHTS[-10:], f"{len(WEIGHTS) - 10}-{len(WEIGHTS) - 1}"),
    "bytes=10-19": (206, WEIGHTS[10:20], "10-19"),
}


@pytest.mark.parametrize(("asked", "expected"), RANGES.items(), ids=RANGES)
def test_ranges(http: httpx2.Client, pushed: str, asked: str, expected: tuple[int, bytes, str]) -> None:
    response = http.get(f"/{REPO}/resolve/main/model.safetensors", headers={"Range": asked}, follow_redirects=True)
    status, content, span = expected
    assert (response.status_code, response.content) == (status, content)
    assert response.headers["Content-Range"] == f"bytes {span}/{len(WEIGHTS)}"


def test_ranges_of_regular_files_and_beyond_the_end(http: httpx2.Client, pushed: str) -> None:
    path = f"/{REPO}/resolve/main/config.json"
    assert http.get(path, headers={"Range": "bytes=2-7"}).content == CONFIG[2:8]
    assert http.get(path, headers={"Range": "bytes=99-"}).status_code == 416


def test_cdn_takes_no_token_and_no_other_signature(http: httpx2.Client, anybody: httpx2.Client, pushed: str) -> None:
    location = http.get(f"/{REPO}/resolve/main/model.safetensors").headers["Location"]
    assert anybody.get(location, headers={"Authorization": f"Bearer {ALICE}"}).status_code == 400
    assert anybody.get(location.partition("?")[0]).status_code == 403
    assert anybody.get(location.replace(OID, "0" * 64)).status_code == 403


def test_hub_and_cdn_serve_their_own_paths(http: httpx2.Client, anybody: httpx2.Client, pushed: str) -> None:
    cdn = httpx2.URL(http.get(f"/{REPO}/resolve/main/model.safetensors").headers["Location"])
    assert http.get(cdn.raw_path.decode()).status_code == 404
    assert anybody.get(cdn.join(f"/{REPO}/resolve/main/config.json")).status_code == 404


def test_raw_gives_the_pointer(http: httpx2.Client, pushed: str) -> None:
    text = http.get(f"/{REPO}/raw/main/model.safetensors").text
    assert text == f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(WEIGHTS)}\n"


def test_quoted_revisions_and_paths(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    hub.api().create_branch(REPO, branch="try/this")
    done = commit(http, regular("a b/ü%2F.txt", b"odd"), revision="try%2Fthis")
    assert done.status_code == 200
    response = http.get(f"/{REPO}/resolve/try%2Fthis/a%20b/%C3%BC%252F.txt")
    assert (response.status_code, response.content) == (200, b"odd")


def test_errors_say_what_is_missing(http: httpx2.Client, anybody: httpx2.Client, hub: Hub, pushed: str) -> None:
    cases = {
        f"/{REPO}/resolve/main/missing": (404, "EntryNotFound", pushed),
        f"/{REPO}/resolve/missing/config.json": (404, "RevisionNotFound", None),
        "/alice/missing/resolve/main/config.json": (404, "RepoNotFound", None),
    }
    for path, expected in cases.items():
        for response in (http.get(path), http.head(path)):
            headers = response.headers
            assert (response.status_code, headers["X-Error-Code"], headers.get("X-Repo-Commit")) == expected
            assert headers["X-Error-Message"]
    nobody = anybody.get(f"{hub.url}/alice/missing/resolve/main/config.json")
    assert (nobody.status_code, nobody.headers["X-Error-Code"]) == (401, "RepoNotFound")


# uploads


def test_upload_of_other_content_is_refused(http: httpx2.Client, anybody: httpx2.Client, hub: Hub, pushed: str) -> None:
    content = b"\0" * 1000
    oid = hashlib.sha256(content).hexdigest()
    upload = batch(http, oid, len(content))["actions"]["upload"]["href"]
    for wrong in (b"\0" * 999 + b"\1", b"\0" * 999, b"\0" * 1001, b""):
        assert anybody.put(upload, content=wrong).status_code == 400
    assert commit(http, large("new.bin", oid, len(content))).status_code == 400
    assert head(hub) == pushed
    assert anybody.put(upload, content=content).status_code == 200
    assert commit(http, large("new.bin", oid, len(content))).status_code == 200


def test_upload_of_another_size_than_announced_is_refused(
    http: httpx2.Client, anybody: httpx2.Client, pushed: str
) -> None:
    content = b"\0" * 1000
    upload = batch(http, hashlib.sha256(content).hexdigest(), 999)["actions"]["upload"]["href"]
    assert anybody.put(upload, content=content).status_code == 400


def test_verify_knows_what_arrived(http: httpx2.Client, anybody: httpx2.Client, pushed: str) -> None:
    content = b"\0" * 1000
    oid = hashlib.sha256(content).hexdigest()
    actions = batch(http, oid, len(content))["actions"]
    verify = actions["verify"]["href"]
    assert http.post(verify, json={"oid": oid, "size": 1000}).status_code == 404
    anybody.put(actions["upload"]["href"], content=content)
    assert http.post(verify, json={"oid": oid, "size": 1000}).status_code == 200
    assert http.post(verify, json={"oid": oid, "size": 999}).status_code == 422
    assert anybody.post(verify, json={"oid": oid, "size": 1000}).status_code == 401
    assert "actions" not in batch(http, oid, len(content))


def test_parts_must_be_whole_and_in_order(http: httpx2.Client, anybody: httpx2.Client, hub: Hub, pushed: str) -> None:
    hub.settings(multipart_above=1000, part=400)
    content = bytes(range(250)) * 4
    oid = hashlib.sha256(content).hexdigest()
    upload = batch(http, oid, len(content))["actions"]["upload"]
    addresses = [upload["header"][name] for name in sorted(upload["header"]) if name.isdigit()]
    etags = [anybody.put(a, content=content[n * 400 : n * 400 + 400]).headers["ETag"] for n, a in enumerate(addresses)]
    parts = [{"partNumber": n, "etag": etag} for n, etag in enumerate(etags, 1)]
    wrong = [
        parts[:2],
        parts[::-1],
        [*parts, {"partNumber": 4, "etag": '"0"'}],
        [parts[0] | {"etag": '"0"'}, *parts[1:]],
    ]
    for some in wrong:
        assert anybody.post(upload["href"], json={"oid": oid, "parts": some}).status_code == 400
    assert anybody.post(upload["href"], json={"oid": oid, "parts": parts}).status_code == 200
    assert commit(http, large("new.bin", oid, len(content))).status_code == 200


def test_client_that_knows_no_parts_gets_one_address(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    hub.settings(multipart_above=10, part=4)
    assert "header" not in batch(http, "0" * 64, 1000, transfers=("basic",))["actions"]["upload"]


def test_object_of_another_repository_is_not_taken(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    """Or whoever knows a hash could read a private file."""
    bob = hub.api(BOB)
    bob.create_repo("bob/copy")
    lines = [{"key": "header", "value": {"summary": "x"}}, large("stolen.bin", OID, len(WEIGHTS))]
    headers = {"Authorization": f"Bearer {BOB}"}
    response = http.post("/api/models/bob/copy/commit/main", content="\n".join(map(json.dumps, lines)), headers=headers)
    assert response.status_code == 400


# commits


PATHS = ["../evil", "/etc/evil", "a/../b", "a//b", ".git/config", "a/.", "back\\slash", "line\nbreak", ""]


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_leave_the_repository_are_refused(http: httpx2.Client, hub: Hub, pushed: str, path: str) -> None:
    assert commit(http, regular(path)).status_code == 400
    assert head(hub) == pushed


def test_file_cannot_stand_where_a_folder_is(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    assert commit(http, regular("config.json/inside")).status_code == 400
    assert commit(http, regular("a/b"), regular("a")).status_code == 400
    assert head(hub) == pushed


def test_commit_of_a_missing_object_is_refused_as_a_whole(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    response = commit(http, regular("fine.txt"), large("new.bin", "0" * 64, 10))
    assert response.status_code == 400
    assert "does not exist" in response.json()["error"]
    assert commit(http, large("new.bin", OID, len(WEIGHTS) + 1)).status_code == 400
    assert head(hub) == pushed


def test_damaged_commits_are_refused(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    damaged = [
        {"key": "nonsense", "value": {"path": "a"}},
        {"key": "file", "value": {"path": "a", "content": "!!", "encoding": "base64"}},
        {"key": "file", "value": {"content": ""}},
        {"key": "lfsFile", "value": {"path": "a", "algo": "md5", "oid": OID, "size": 1}},
        {"value": {}},
    ]
    for line in damaged:
        assert commit(http, line).status_code == 400
    assert http.post(f"/api/models/{REPO}/commit/main", content=b'{"key": "hea').status_code == 400
    assert commit(http, regular("a"), summary="").status_code == 400
    for body in ({}, {"files": 1}, []):
        assert http.post(f"/{REPO}.git/info/lfs/objects/batch", json=body).status_code == 400
    assert head(hub) == pushed


def test_parent_must_be_the_head(http: httpx2.Client, hub: Hub, pushed: str) -> None:
    first = commit(http, regular("a"), parentCommit=pushed)
    assert first.status_code == 200
    assert commit(http, regular("b"), parentCommit=pushed).status_code == 412
    assert head(hub) == first.json()["commitOid"]


def test_of_two_commits_on_one_parent_one_succeeds(hub: Hub, pushed: str) -> None:
    script = f"""
import sys
from huggingface_hub import HfApi
api = HfApi()
sys.stdin.readline()
try:
    api.upload_file(repo_id={REPO!r}, path_or_fileobj=sys.argv[1].encode(), path_in_repo="race.txt", parent_commit={pushed!r})
    print("done")
except Exception as error:
    print(error.response.status_code)
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert sorted(racer.communicate(timeout=60)[0].strip() for racer in racers) == ["412", "done"]


# what tests alone may


def test_planted_files_are_served_under_any_name(hub: Hub, pushed: str) -> None:
    sha = hub.plant(REPO, {"../evil.txt": b"out", "weights.pkl": WEIGHTS}, lfs=["weights.pkl"])
    assert head(hub) == sha
    files = {entry.path: entry for entry in hub.api().list_repo_tree(REPO, recursive=True)}
    assert "../evil.txt" in files
    assert files["weights.pkl"].lfs.sha256 == OID


def test_log_keeps_headers_and_status_without_admin_requests(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    hub.forget()
    http.get(f"/{REPO}/resolve/main/config.json?download=true", headers={"X-Odd": "yes"})
    (entry,) = hub.requests()
    assert (entry.method, entry.path, entry.query) == ("GET", f"/{REPO}/resolve/main/config.json", "download=true")
    assert (entry.side, entry.status, entry.sent, entry.fault) == ("hub", 200, len(CONFIG), None)
    assert (entry.headers["x-odd"], entry.token) == ("yes", f"Bearer {ALICE}")


def test_admin_answers_for_a_fault_that_it_does_not_know(http: httpx2.Client) -> None:
    assert http.post("/_hub/faults", json={"action": {"action": "explode"}}).status_code == 422


def test_reset_leaves_nothing(hub: Hub, pushed: str) -> None:
    hub.fail(status(500))
    hub.reset()
    assert list(hub.api().list_models()) == []
    assert [entry.path for entry in hub.requests()] == ["/api/models"]
    assert [path for path in hub.folder.rglob("*") if path.is_file()] == []


# the command


def test_command_prints_its_address_and_listens(tmp_path: Path, anybody: httpx2.Client) -> None:
    command = [sys.executable, "-m", "tests.hub", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("http://127.0.0.1:")
            assert anybody.get(line.strip() + "/api/models").json() == []
        finally:
            process.terminate()
        assert process.stdout.read() == ""


def test_killed_upload_leaves_nothing_behind(hub: Hub, http: httpx2.Client, pushed: str) -> None:
    """A client that dies in mid-upload: what had arrived is no object, and the next upload starts afresh."""
    content = b"\0" * 100_000
    oid = hashlib.sha256(content).hexdigest()
    upload = httpx2.URL(batch(http, oid, len(content))["actions"]["upload"]["href"])
    with socket.create_connection((upload.host, upload.port)) as connection:
        request = f"PUT {upload.raw_path.decode()} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(request.encode() + content[:50_000])
    api: HfApi = hub.api()
    api.create_commit(REPO, [CommitOperationAdd("new.bin", content)], commit_message="Again")
    assert Path(hf_hub_download(REPO, "new.bin", endpoint=hub.url)).read_bytes() == content
    assert not list(hub.folder.rglob(".incoming-*"))
