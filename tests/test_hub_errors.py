"""Failures of the Hub: who is named, how often and how long is tried, and that every one is a line."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import httpx2
import huggingface_hub
import pytest

import zoo_core as zoo
from tests.hub import Hub, hang, headers, status
from tests.hub_models import REPO, fails, succeeds
from zoo_core.errors import HubError, UnreachableError
from zoo_core.hub import client, rest, retrying
from zoo_core.hub.errors import HubResource
from zoo_core.hub.retrying import ATTEMPTS, attempt

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")
PAGE = "<!doctype html><html><title>Sign in</title></html>"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr(retrying, "pause", lambda seconds, stop: made.append(seconds))
    return made


@pytest.fixture
def own_session() -> Iterator[None]:
    """A session that reads this test's environment, and goes with it."""
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


# waits

PUSHES = {
    "asking what is there": {"path": f"/api/models/{REPO}"},
    "creating": {"path": "/api/repos/create"},
    "checking the card": {"path": "/api/validate-yaml"},
    "asking for Xet": {"path": "*/xet-write-token/*"},
    "asking what goes where": {"path": "*/preupload/*"},
    "asking where to send": {"path": "*/objects/batch"},
    "sending": {"path": "/upload/*"},
    "verifying": {"path": "*/objects/verify"},
    "committing": {"path": "*/commit/main"},
}


@pytest.mark.parametrize("case", PUSHES)
@pytest.mark.parametrize("code", [429, pytest.param(503, marks=pytest.mark.slow)])
def test_no_request_of_a_push_is_made_more_than_five_times(hub: Hub, folder, command, waits, case, code):
    number = hub.fail(status(code), **PUSHES[case], times=None)
    before = fails(command("push", folder, REPO), f" answers {code} (")
    assert hub.hits(number) == ATTEMPTS * (
        3 if case in ("sending", "verifying") else 1
    )  # which is done for each of three files
    assert all("trying again in" in line for line in before)


def test_no_download_is_requested_more_often_than_is_said(hub: Hub, pinned, waits):
    weights = pinned.files["model.safetensors"].sha256
    number = hub.fail(status(429, retry_after=7), method="GET", path=f"/cdn/*/{weights}", times=None)
    with pytest.raises(HubError, match="answers 429"):
        zoo.pull("digits")
    assert (hub.hits(number), [wait for wait in waits if wait > 1]) == (ATTEMPTS, [7, 7, 7, 8])


def refuse_with(**stated: str) -> None:
    """Raise what huggingface_hub raises for a 429 with these headers."""
    answer = httpx2.Response(429, headers=stated, request=httpx2.Request("GET", "https://huggingface.co/api"))
    huggingface_hub.utils.hf_raise_for_status(answer)


SOON = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)


@pytest.mark.parametrize(
    ("stated", "first"),
    [("17", 17.0), ("0", 1.0), (format_datetime(SOON, usegmt=True), None), ("hf_secret", 1.0), ("-5", 1.0), ("", 1.0)],
)
def test_a_hub_that_says_when_to_come_back_is_heeded(waits, stated, first):
    answers = iter([lambda: refuse_with(**{"retry-after": stated}), lambda: "done"])
    assert attempt(HubResource(REPO), lambda: next(answers)()) == "done"
    assert waits == [first] if first is not None else 1 <= waits[0] <= 30


@pytest.mark.parametrize("stated", ["61", "3600", "999999999"])
def test_a_hub_that_wants_more_patience_is_quoted_and_not_waited_for(waits, stated):
    with pytest.raises(HubError, match=f"asks to wait {float(stated):g} s".replace("+", r"\+")):
        attempt(HubResource(REPO), lambda: refuse_with(**{"retry-after": stated}))
    assert waits == []


def test_what_a_hub_says_of_waiting_is_shown_as_a_number_only(waits):
    with pytest.raises(HubError) as refused:
        attempt(HubResource(REPO), lambda: refuse_with(**{"retry-after": "hf_abcdefghijk"}))
    assert "hf_abc" not in str(refused.value)


def test_the_waits_for_one_request_end_together(waits):
    made = []

    def request() -> None:
        made.append(1)
        refuse_with(**{"retry-after": "50"})

    with pytest.raises(HubError, match="answers 429"):
        attempt(HubResource(REPO), request)
    assert waits == [50, 50]
    assert len(made) == 3


def test_time_without_an_answer_is_waiting_too(waits, monkeypatch):
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(retrying.time, "monotonic", lambda: next(clock))

    def request() -> None:
        raise httpx2.ReadTimeout("", request=httpx2.Request("POST", "https://huggingface.co/api"))

    with pytest.raises(UnreachableError, match="no answer in time"):
        attempt(HubResource(REPO), request)
    assert waits == [1.0, 2.0]


def test_silence_of_the_hub_ends_after_five_attempts(hub: Hub, folder, command, waits, monkeypatch):
    monkeypatch.setattr(client, "TIMEOUT", 0.05)
    number = hub.fail(hang(), path=f"/api/models/{REPO}", times=None)
    fails(command("push", folder, REPO), f"{hub.url} cannot be reached (no answer in time)")
    assert hub.hits(number) == ATTEMPTS
    assert waits == [0.01, 0.02, 0.04, 0.08]


def test_a_commit_that_takes_long_gives_a_sign_of_life(hub: Hub, folder, command, monkeypatch):
    monkeypatch.setattr(rest, "SIGN_OF_LIFE", 0.05)
    monkeypatch.setattr(client, "TIMEOUT", 0.05 + 10)
    hub.fail(hang(0.3), method="POST", path="*/commit/main")
    told = command("push", folder, REPO)
    succeeds(told)
    assert f"hf://{REPO}: no answer for 0.05 s; waiting for up to 100 s" in told.stderr


# blame


def test_storage_that_cannot_be_reached_is_not_called_the_hub(hub: Hub, pinned, command, waits, monkeypatch):
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    nowhere = f"http://127.0.0.1:{free_port()}"
    hub.fail(headers(add={"Location": f"{nowhere}/file"}), path="*/model.safetensors", times=None)
    fails(command("pull", "digits"), f"the storage {nowhere} cannot be reached (Connection refused)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_proxy_that_cannot_be_reached_is_not_called_the_hub(
    hub: Hub, folder, command, waits, monkeypatch, own_session
):
    proxy = f"127.0.0.1:{free_port()}"
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{proxy}")
    monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy}")
    done = command("push", folder, REPO)
    fails(done, f"the proxy http://{proxy} does not connect to {hub.url} (Connection refused)", "NO_PROXY")
    assert "secret" not in done.stderr


@pytest.fixture
def unknown_certificate(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose certificate nobody has signed but itself."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_certificate_is_named_and_not_tried_again(unknown_certificate, folder, command, waits, own_session, point_at):
    point_at(unknown_certificate)
    fails(command("push", folder, REPO), f"{unknown_certificate}: its certificate is not accepted (", "SSL_CERT_FILE")
    assert waits == []


def test_https_where_there_is_none_is_said_and_not_tried_again(hub: Hub, folder, command, waits, own_session, point_at):
    point_at(hub.url.replace("http://", "https://"))
    fails(command("push", folder, REPO), "no encrypted connection can be made (", "check the address in HF_ENDPOINT")
    assert waits == []


BAD_ADDRESSES = [
    "http://127.0.0.1:99999",
    "http://127.0.0.1:eighty",
    "hub.example.org",
    "ftp://127.0.0.1",
    "http://[::1",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
@pytest.mark.parametrize("action", ["push", "pull", "search"])
def test_an_address_that_is_none_is_a_line(address, action, folder, command, waits, own_session, point_at):
    point_at(address)
    arguments = {"push": (folder, REPO), "pull": (f"hf://{REPO}",), "search": ("digits",)}[action]
    done = command(action, *arguments)
    fails(done, "HF_ENDPOINT")
    assert "Error" not in done.stderr
    assert waits == []


@pytest.mark.parametrize("action", ["push", "pull", "search", "registry"])
def test_a_web_page_is_called_a_web_page(hub: Hub, folder, command, action):
    hub.fail(status(200, body=PAGE), path="/api/*", times=None)
    arguments = {"push": (folder, REPO), "pull": (f"hf://{REPO}",), "search": ("digits",)}
    arguments["registry"] = ("add", f"hf://{REPO}")
    fails(command(action, *arguments[action]), "with a web page; check the address in HF_ENDPOINT, and whether a proxy")


ODD = {"cardData": ["x"], "downloads": "many", "gated": {}, "siblings": 7, "tags": None, "lastModified": 3}


@pytest.mark.parametrize(
    "body",
    ["null", "7", '"x"', "[1, 2]", "{}", "[[]]", '{"sha": "../../x", "id": 3}', '{"sha": 7}', "[" * 2000, "\xff"],
)
@pytest.mark.parametrize("action", ["push", "pull", "search"])
def test_answers_of_an_odd_form_are_a_line(hub: Hub, folder, command, action, body):
    hub.fail(status(200, body=body), path="/api/models*", times=None)
    arguments = {"push": (folder, REPO), "pull": (f"hf://{REPO}",), "search": ("digits",)}[action]
    done = command(action, *arguments)
    fails(done, "hf://" if action == "pull" else "")
    for name in ("Error:", "Error(", "Traceback", "object has no attribute", "NoneType"):
        assert name not in done.stderr


def test_search_results_of_an_odd_form_are_left_out_or_shown_as_they_are(hub: Hub, command):
    models = [{"id": "a/b", **ODD}, {"modelId": "c/d"}, {"id": 7}, {"id": "e/f", "cardData": {"zoo": 3, "license": []}}]
    hub.fail(status(200, body=json.dumps(models)), path="/api/models")
    assert [line.split()[0] for line in succeeds(command("search"))] == ["hf://a/b", "hf://c/d", "hf://e/f"]


@pytest.mark.parametrize("path", [f"/api/models/{REPO}", "*/preupload/*", "*/commit/main", "/api/repos/create"])
@pytest.mark.parametrize("message", ["Invalid credentials in Authorization header", "Please log in", None])
def test_a_401_in_spite_of_a_token_says_that_it_was_refused(hub: Hub, folder, command, path, message):
    hub.fail(status(401, message=message), path=path, times=None)
    fails(command("push", folder, REPO), "the token was refused")
