"""Without one of the built-in plugins, or all of them, the zoo and the core's tests work."""

import re
import subprocess

import pytest

from tests.builtin import BUILT_IN, MODELS, installed
from tests.environments import Environment
from tests.hub.client import ROOT
from tests.test_cli import fails_in_one_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(installed, BUILT_IN)), reason="a built-in plugin is already missing"),
]
# What is quick and lists, loads, samples and walks: all of tests/ takes minutes.
REPRESENTATIVE = ["test_models", "test_interfaces", "test_plugins_check"]


@pytest.fixture(scope="module", params=[*([name] for name in BUILT_IN), BUILT_IN], ids="+".join)
def missing(request):
    """The distributions that are missing."""
    return request.param


@pytest.fixture(scope="module")
def environment(missing, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("uninstalled") / "venv", without=missing)


def test_its_module_cannot_be_imported_and_the_others_can(environment, missing):
    for name in BUILT_IN:
        done = environment.shell(f"python -c 'import {name.replace('-', '_')}'")
        assert (done.returncode == 0) == (name not in missing), done.stderr
        assert ("ModuleNotFoundError" in done.stderr) == (name in missing)


def test_every_model_is_listed_and_those_of_the_others_work(environment, missing):
    listed = environment.zoo("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(MODELS)
    assert {line.split()[0] for line in listed.stdout.splitlines() if "[needs: " in line} == {
        name for name, plugin in MODELS.items() if plugin in missing
    }
    first_of = {plugin: name for name, plugin in reversed(MODELS.items()) if plugin not in missing}
    for name in first_of.values():
        assert environment.zoo("info", name).returncode == 0
        sampled = environment.zoo("sample", name, "-n", 4, "-o", f"{name}.png")
        assert (sampled.returncode, sampled.stdout) == (0, f"{name}.png\n"), sampled.stderr


def test_what_is_missing_is_named(environment, missing):
    for plugin, name in {plugin: name for name, plugin in MODELS.items()}.items():
        if plugin in missing:
            told = environment.zoo("info", name)
            assert (told.returncode, told.stderr) == (0, "")
            assert [line for line in told.stdout.splitlines() if f"pip install {plugin}" in line]
            assert fails_in_one_line(environment.zoo("sample", name), f"pip install {plugin}")


def test_the_cores_tests_are_collected_and_pass(environment, missing):
    """All are collected, and the representative ones run."""
    command = [environment.folder / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        [*map(str, command), "-k", " or ".join(REPRESENTATIVE)],
        cwd=ROOT, env=environment.variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{missing[0]} not installed" in done.stdout or f"{missing[0]} and " in done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)
