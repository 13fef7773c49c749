"""examples/ holds plugins as strangers write them: they keep the contract, and use public names alone."""

import ast
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import forkserver
from tests.conftest import Site
from tests.hub.client import ALICE
from zoo_core.scaffold import Scaffold

pytest_plugins = ["tests.hub.fixture"]
ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").iterdir()) if path.is_dir()}
REALNVP = EXAMPLES["zoo-realnvp"]


@pytest.fixture
def installed(tmp_path):
    """What gives the environment of a process that has one of the examples installed, from a copy in the test's folder."""

    def install(name):
        folder = tmp_path / name
        shutil.copytree(EXAMPLES[name], folder, ignore=shutil.ignore_patterns("*cache*", "*.egg-info"))
        site = Site(folder)
        site.register(name)
        return site.environment(HF_TOKEN=ALICE)

    return install


def succeeds(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_realnvp_passes_its_tests_trains_by_the_command_and_knows_its_likelihood(installed, zoo, tmp_path):
    realnvp = installed("zoo-realnvp")
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "small", "output", "metrics", "choice"),
    [
        ("zoo-audio-gan", "spoken_digits", ["width=4"], "samples.wav", ["fid"], "iterations=2"),
        ("zoo-char-rnn", "words", ["width=16"], "samples.txt", ["nll", "ngrams"], "temperature=0.5"),
    ],
)
def test_an_example_is_trained_sampled_measured_looked_at_pushed_and_pulled(
    name, data, small, output, metrics, choice, hub, installed, zoo, tmp_path
):
    if name == "zoo-audio-gan":
        pytest.importorskip("soundfile")
    architecture = name.removeprefix("zoo-")
    env = installed(name)

    def command(*arguments):
        return succeeds(zoo(*arguments, env=env))

    succeeds(forkserver.run("-m", "pytest", "-q", "-p", "no:cacheprovider", name, cwd=tmp_path, env=env, timeout=300))
    command("plugins", "check", architecture)
    settings = [argument for value in small for argument in ("--set", f"model.{value}")]
    settings += ["--steps", 30, "--set", "batch_size=4", "--set", "sample_every=15"]
    command("train", architecture, "--data", DATA / data, "--out", "runs/first", *settings)
    run = tmp_path / "runs" / "first"
    for picture in (run / "samples.png", run / "samples" / "step-00000015.png"):
        with Image.open(picture) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10, "there is something to see"
    assert (run / "training.gif").is_file()
    for number, chosen in enumerate(["", choice]):
        options = ["--set", chosen] if chosen else []
        command("sample", "./runs/first", "-n", 5, "-o", f"{number}-{output}", *options)
    first, other = ((tmp_path / f"{number}-{output}").read_bytes() for number in range(2))
    assert first != other
    for metric in metrics:
        figures = json.loads(
            command("eval", "./runs/first", "--data", DATA / data, "--metric", metric, "-n", 20, "--json").stdout
        )
        assert figures
        assert all(math.isfinite(figure["value"]) for figure in figures)
    command("push", "./runs/first", f"alice/{architecture}")
    pulled = Path(command("pull", f"hf://alice/{architecture}").stdout.strip())
    assert ("pipeline_tag: text-generation" in (pulled / "README.md").read_text()) == (name == "zoo-char-rnn")
    command("sample", f"hf://alice/{architecture}", "-n", 5, "-o", f"pulled-{output}")
    assert (tmp_path / f"pulled-{output}").read_bytes() == first


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_uses_public_names_alone(name):
    public = {"zoo_core", "zoo_core.losses", "zoo_core.conditioning", "zoo_core.testing"}
    imported = {
        node.module
        for file in EXAMPLES[name].rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo_core")
    }
    assert "zoo_core" in imported
    assert imported <= public


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_made_with_the_scaffold(name):
    """What the scaffold writes and its author had no reason to change is as it writes it."""
    files = Scaffold(name=name, kind="generator").files()
    for file in ("LICENSE", ".gitignore", ".github/workflows/ci.yml"):
        assert (EXAMPLES[name] / file).read_text() == files[file], file
    assert all((EXAMPLES[name] / file).exists() for file in files)
