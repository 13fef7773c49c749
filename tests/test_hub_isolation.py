"""A program that uses huggingface_hub for other work finds it as it was after anything that zoo_core did."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hub import Hub, slow
from tests.hub_models import BUNDLED, REPO, environment

pytest_plugins = ["tests.hub.fixture", "tests.hub_fixtures"]
pytestmark = [pytest.mark.plugins("zoo-vae"), pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")]

PROGRAM = """
import logging, os, signal, sys, threading, time, warnings
from pathlib import Path

import huggingface_hub.hf_api, huggingface_hub.file_download
import ruamel.yaml, torch  # importing either changes the warnings filters
from huggingface_hub import constants, get_session, utils

import zoo_core as zoo

action, folder = sys.argv[1:3]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background ignores it
watched = []  # what the process shares as other threads see it while zoo_core works
finished = threading.Event()


def state():
    loggers = [logging.getLogger(name) for name in (None, "huggingface_hub", "huggingface_hub.utils._http", "zoo_core")]
    return {
        "session": id(get_session()),
        "timeout": repr(get_session().timeout),
        "hooks": repr(get_session().event_hooks),
        "closed": get_session().is_closed,
        "factory": id(utils._http._GLOBAL_CLIENT_FACTORY),
        "constants": {name: value for name, value in vars(constants).items() if name.isupper()},
        "bars": utils.are_progress_bars_disabled(),
        "environment": dict(os.environ),
        "loggers": [(log.name, [id(each) for each in log.handlers], log.propagate, log.level) for log in loggers],
        "filters": [tuple(map(str, each)) for each in warnings.filters],
    }


def act():
    try:
        if action == "push":
            zoo.push(folder, "alice/isolated")
        elif action == "pull":
            zoo.pull("digits")
        elif action == "load":
            zoo.load("hf://alice/digits", device="cpu")
        elif action == "list":
            print(len(zoo.list_models()) and len(zoo.registry()))
        elif action == "interrupted pull":
            threading.Thread(target=interrupt, daemon=True).start()
            zoo.pull("digits")
        print("done")
    except zoo.ZooError as error:
        print(f"failed: {error}")
    except KeyboardInterrupt:
        print("interrupted")


def interrupt():
    while not list(Path(constants.HF_HUB_CACHE).glob("models--*/blobs/*.incomplete")):
        time.sleep(0.01)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def watch():
    while not finished.wait(0.002):
        watched.append(state())


before = state()
act()
after_main = state()
action = "list" if action == "interrupted pull" else action  # only the main thread can be interrupted
watcher = threading.Thread(target=watch)
watcher.start()
worker = threading.Thread(target=act)
worker.start()
worker.join()
finished.set()
watcher.join()
for name, now in [("main", after_main), ("thread", state()), *(("meanwhile", each) for each in watched)]:
    changed = [key for key in before if before[key] != now[key]]
    if changed:
        sys.exit(f"{name}: {[(key, before[key], now[key]) for key in changed]}")
"""


def run(action: str, **variables: str) -> list[str]:
    """What each of two calls did, the second in a thread; fails where one changed what the process shares."""
    env = environment(**variables)
    env.pop("HF_HUB_DISABLE_XET", None)  # the state in which a push has to find out for itself
    command = [sys.executable, "-c", PROGRAM, action, str(BUNDLED)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("action", ["push", "pull", "load", "list"])
def test_a_call_leaves_what_the_process_shares_as_it_was(hub: Hub, pinned, action):
    assert run(action)[-1] == "done"


@pytest.mark.parametrize("action", ["push", "pull", "load"])
def test_a_call_that_fails_leaves_it_too(hub: Hub, pinned, action):
    hub.api().delete_repo(REPO)
    for line in run(action, HF_TOKEN="hf_wrongtoken"):
        assert line.startswith("failed: ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_it_too(hub: Hub, pinned):
    hub.fail(slow(300_000), method="GET", path="/cdn/*", times=None)
    assert run("interrupted pull")[0] == "interrupted"


def test_a_hub_without_xet_gets_the_files_though_no_switch_was_set(hub: Hub, pinned):
    run("push")
    names = set(hub.api().list_repo_files("alice/isolated"))
    assert {path.name for path in BUNDLED.iterdir()} <= names
