"""Push to Hubs of another make, which leave out what huggingface_hub's own functions need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo_core as zoo
from tests.hub import Hub, headers, status
from tests.hub.plain import PlainHub, plain_hub
from tests.hub_models import REPO, fails, succeeds

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = pytest.mark.plugins("zoo-vae")


@pytest.fixture
def plain(request: pytest.FixtureRequest, point_at) -> Iterator[PlainHub]:
    """A Hub with the quirks that the test names, as this process's Hub."""
    with plain_hub(*getattr(request, "param", ())) as hub:
        point_at(hub.url)
        yield hub


QUIRKS = [
    (),
    ("spa", "no preupload", "no validate-yaml", "no verify", "no tree", "forbids", "silent", "redirects"),
]
MORE = [("first commit", "lower case", "asks for headers"), ("page after commit",)]


@pytest.mark.parametrize(
    "plain", [*QUIRKS, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE)], indirect=True, ids=", ".join
)
def test_a_push_makes_the_repository_and_the_next_one_changes_nothing(plain: PlainHub, folder, command, tmp_path):
    pushed = ("push", folder, REPO, "--register", tmp_path / "team.yaml")
    succeeds(command(*pushed))
    entry = zoo.Registry.from_file(tmp_path / "team.yaml")["digits"]
    there = plain.repositories[REPO]
    assert entry.hub.revision == there.head
    for name in ("config.json", "model.safetensors", "samples.png"):
        assert there.files[name] == (folder / name).read_bytes()
    assert any("POST /alice/digits.git/info/lfs" in request for request in plain.requests)
    made = len(there.commits)
    told = command(*pushed)
    succeeds(told)
    assert "nothing to change" in told.stderr
    (folder / "samples.png").write_bytes((folder / "samples.png").read_bytes() + b"\0")
    succeeds(command(*pushed))
    assert len(there.commits) == made + 1
    assert zoo.Registry.from_file(tmp_path / "team.yaml")["digits"].hub.revision == there.head


XET = {
    "a web page": "<!doctype html>",
    "null": "null",
    "nothing in it": "{}",
    "no address": json.dumps({"accessToken": "x", "exp": 2_000_000_000, "casUrl": None}),
    "storage that cannot be reached": json.dumps(
        {"accessToken": "x", "exp": 2_000_000_000, "casUrl": "http://127.0.0.1:9"}
    ),
}


@pytest.mark.parametrize("answer", XET.values(), ids=XET)
def test_what_is_no_xet_is_not_taken_for_xet(hub: Hub, folder, command, answer):
    hub.fail(status(200, body=answer), path="*/xet-write-token/*", times=None)
    told = command("push", folder, REPO)
    succeeds(told)
    assert hub.requests("PUT", "/upload/*", "cdn")
    assert ("http://127.0.0.1:9 cannot be reached" in told.stderr) == ("127.0.0.1:9" in answer)


@pytest.mark.parametrize("plain", [("no tree", "no digests")], indirect=True)
def test_what_was_committed_is_registered_though_it_cannot_be_compared(plain: PlainHub, folder, command, tmp_path):
    succeeds(command("push", folder, REPO, "--register", tmp_path / "team.yaml"))
    assert zoo.Registry.from_file(tmp_path / "team.yaml")["digits"].hub.revision == plain.repositories[REPO].head
    fails(command("push", folder, REPO), "the Hub states no digests of its files, so they cannot be compared")


def test_a_website_that_is_no_hub_is_named(folder, command, point_at):
    with plain_hub("spa") as site:
        point_at(f"{site.url}/models")
        fails(command("push", folder, REPO), "as a Hub does, but with a web page; check the address in HF_ENDPOINT")


@pytest.mark.parametrize("plain", [("first commit",)], indirect=True)
def test_what_was_pushed_to_an_independent_hub_is_pulled_from_it(
    plain: PlainHub, folder, command, tmp_path, monkeypatch
):
    succeeds(command("push", folder, REPO, "--register", tmp_path / "team.yaml"))
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "team.yaml"))
    pulled = Path(succeeds(command("pull", "digits"))[0])
    assert (pulled / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_hub_with_its_own_codes_still_tells_a_missing_repository(hub: Hub, folder, command):
    """Next to the ones without codes: a 404 means that the repository is made, and the codes do not matter."""
    hub.fail(headers(remove=["X-Error-Code", "X-Error-Message"]), path=f"/api/models/{REPO}", times=None)
    succeeds(command("push", folder, REPO))
