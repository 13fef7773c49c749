"""examples/ holds plugins as strangers write them: they keep the contract, and use public names alone."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from tests import forkserver
from tests.conftest import Site
from zoo_core.scaffold import Scaffold

ROOT = Path(__file__).parent.parent
REALNVP = ROOT / "examples" / "zoo-realnvp"


@pytest.fixture
def realnvp(tmp_path):
    """The environment of a process that has zoo-realnvp installed."""
    folder = tmp_path / "zoo-realnvp"
    shutil.copytree(REALNVP, folder, ignore=shutil.ignore_patterns("*cache*", "*.egg-info"))
    site = Site(folder)
    site.register("zoo-realnvp")
    return site.environment()


@pytest.mark.slow
def test_realnvp_passes_its_tests_trains_by_the_command_and_knows_its_likelihood(realnvp, zoo, tmp_path):
    options = {"cwd": tmp_path, "env": realnvp}
    tested = forkserver.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "zoo-realnvp", **options)
    assert tested.returncode == 0, tested.stdout
    settings = ["--set", "model.width=8", "--set", "model.couplings=2", "--steps", 100, "--set", "sample_every=0"]
    data = ROOT / "tests" / "data" / "mnist"
    trained = zoo("train", "realnvp", "--data", data, "--out", "runs/first", *settings, env=realnvp)
    assert trained.returncode == 0, trained.stderr
    figures = [json.loads(line) for line in (tmp_path / "runs" / "first" / "log.jsonl").read_text().splitlines()]
    course = [line["loss"] for line in figures if "loss" in line]
    assert course[-1] < course[0] < 8  # bits a pixel; 8 is what a byte takes
    assert zoo("sample", "./runs/first", "-n", 4, "-o", "samples.png", env=realnvp).stdout == "samples.png\n"
    (code,) = re.findall(r"^```python\n(.*?)^```", (REALNVP / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    closed = "\nassert bits.shape == (16,)\nassert (flow(z) - x).abs().max() < 1e-3"
    done = forkserver.run("-c", code + closed, **options)
    assert done.returncode == 0, done.stderr


def test_realnvp_uses_public_names_alone():
    public = {"zoo_core", "zoo_core.losses", "zoo_core.conditioning", "zoo_core.testing"}
    imported = {
        node.module
        for file in REALNVP.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo_core")
    }
    assert "zoo_core" in imported
    assert imported <= public


def test_realnvp_is_made_with_the_scaffold():
    """What the scaffold writes and its author had no reason to change is as it writes it."""
    files = Scaffold(name="zoo-realnvp", kind="generator").files()
    for name in ("LICENSE", ".gitignore", ".github/workflows/ci.yml"):
        assert (REALNVP / name).read_text() == files[name], name
    assert all((REALNVP / name).exists() for name in files)
