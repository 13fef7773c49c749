"""Every command line and every Python block of README and docs is run as it stands, or is listed here with the reason why it is not.

What would take hours is shortened: steps, samples, processes; and the Hub's user is the one of tests.hub.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forkserver
from tests.hub import Hub

pytest_plugins = ["tests.hub.fixture"]
pytestmark = pytest.mark.plugins("zoo-dcgan", "zoo-vae", "zoo-vanilla-gan")

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SHORTER = [
    (r"(zoo(?:_core)? train (?!.*--(?:steps|finish))\S+)", r"\1 --steps 2"),
    (r"--steps \d+", "--steps 2"),
    (r"eval_every=\d+", "eval_every=2 --set eval_samples=32"),
    (r"-n \d{3,}", "-n 20"),
    (r"(zoo(?:_core)? eval \S+)", r"\1 -n 32"),
    (r"torchrun --(?:standalone --)?nproc_per_node 4", "torchrun --standalone --nproc_per_node 2"),
    (r"--num_processes 4", "--num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --cpu"),
    (r"(model\.width=)\d+", r"\g<1>8"),
    (r"(metrics=\[[^]]*\])", r"\1, n=32"),
    (r"\b(me|someone)/faces", "alice/faces"),  # who the loopback Hub knows
]

INSTALLED = ".ci/run installs so, from requirements-dev.txt or as wheels"
FIRST_PLUGIN = "test_docs.py::test_the_first_plugin_is_written_tested_trained_and_sampled_as_the_page_says"
GUIDE = "test_docs.py::test_the_plugin_of_the_guide_is_a_working_one"
SEVERAL = "needs several machines; test_training_processes.py runs the same on one"
NOT_RUN = {
    "pip install -r requirements.txt && zoo sample dcgan-mnist -n 64 -o digits.png": INSTALLED,
    "pip install -r requirements-dev.txt && pytest -n auto": INSTALLED,
    "pip install zoo-core zoo-dcgan": INSTALLED,
    "zoo plugins install ./zoo-ring": "test_plugins_install.py",
    "zoo eval dcgan-mnist --data path/to/mnist --metric fid": "tools/measure.py; test_cli_eval.py with few samples",
    "zoo verify --all --metrics --data mnist=path/to/mnist --data noto-emoji=path/to/emoji": "takes half an hour; test_cli_eval.py does one model",
    "zoo eval ./runs/mine --data path/to/pictures --extractor inception-v3 "
    "--extractor-weights weights-inception-2015-12-05-6726825d.pth": "the weights are not ours to ship",
    "hf auth login": "asks for a token; the tests give HF_TOKEN",
    "zoo pull faces": "test_hub_pull.py",
    "zoo sample hf://someone/faces@v1 -n 16 -o faces.png": "test_hub_pull.py",
    "zoo registry add hf://team/models": "test_hub_registries.py",
    "zoo registry update": "test_hub_registries.py",
}
NOT_RUN_PAGES = {
    "docs/first-plugin.md": FIRST_PLUGIN,
    "docs/plugins.md": GUIDE,
}
NOT_RUN_PARTS = {
    "torchrun --nnodes 2": SEVERAL,
    "#!/bin/bash": SEVERAL,
}
VARIES = re.compile(r"zoo (train|plugins list|push)")  # what is shown has times, places or versions in it


def commands(page):
    """(command, the lines that the page shows as its output) of every block, in order."""
    found = []
    for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = code.replace("\\\n", " ").splitlines()
        if kind == "sh" and lines[0].startswith("#!"):
            found.append((code, []))
        elif kind == "sh":
            found += [(_without_remark(line), []) for line in lines]
        elif kind == "console":
            for line in lines:
                if line.startswith("$ "):
                    found.append((_without_remark(line[2:]), []))
                else:
                    found[-1][1].append(line)
    return found


def _without_remark(line):
    return re.sub(r"\s{2,}", " ", re.sub(r"\s+#\s.*", "", line)).strip()


def is_left_out(page, command):
    return (
        name_of(page) in NOT_RUN_PAGES or command in NOT_RUN or any(command.startswith(part) for part in NOT_RUN_PARTS)
    )


def shortened(command):
    for pattern, replacement in SHORTER:
        command = re.sub(pattern, replacement, command)
    return command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained for two steps, as pages speak of one."""
    folder = tmp_path_factory.mktemp("trained") / "mine"
    data = str(ROOT / "tests" / "data" / "mnist")
    command = ["train", "dcgan", "--data", data, "--out", str(folder), "--steps", "2", "--set", "model.width=8"]
    forkserver.run("-m", "zoo_core", *command, check=True)
    return folder


@pytest.fixture
def environment(tmp_path, hub: Hub):
    """Of a shell in a folder that has what pages speak of: data, this checkout's registry, and the commands."""
    data = ROOT / "tests" / "data" / "mnist"
    for name in ("path/to/pictures", "path/to/mnist", "pictures", "tests/data/mnist"):
        shutil.copytree(data, tmp_path / name)
    shutil.copy(ROOT / "registry.yaml", tmp_path / "registry.yaml")
    shutil.copytree(ROOT / "tests" / "data" / "emoji", tmp_path / "path/to/emoji")
    shutil.copytree(ROOT / "tests" / "data" / "words", tmp_path / "tests/data/words")
    (tmp_path / "mine.yaml").write_text("batch_size: 16\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for name, module in (("zoo", "zoo_core"), ("torchrun", "torch.distributed.run")):
        forkserver.write_program(programs / name, module, variables)
    return variables


@pytest.fixture
def shell(tmp_path, trained, environment):
    """Run a line there, with a model that was trained."""

    def run(line):
        if "runs/mine" in line and "--out" not in line:
            shutil.copytree(trained, tmp_path / "runs" / "mine", dirs_exist_ok=True)
        elif (out := re.search(r"--out (\S+)", line)) and not re.search("--resume|--finish", line):
            shutil.rmtree(tmp_path / out[1], ignore_errors=True)
        return subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip

    return run


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in NOT_RUN_PAGES], ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, environment, trained, tmp_path):
    code = "\n".join(code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "python")
    if code:
        shutil.copytree(trained, tmp_path / "runs" / "mine")
        done = forkserver.run("-c", shortened(code), cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_do_what_it_says(page, shell):
    for command, shown in commands(page):
        if is_left_out(page, command):
            continue
        done = shell(shortened(command))
        failure = next((line for line in shown if line.startswith("zoo: ")), None)
        assert done.returncode == (0 if failure is None else 1), f"{command}\n{done.stdout}\n{done.stderr}"
        if not VARIES.match(command):
            said = (done.stdout + done.stderr).splitlines()
            for line in shown:
                if line != "…":
                    assert line in said, f"{command}\n{line}\n{done.stdout}\n{done.stderr}"


def test_what_is_left_out_stands_on_a_page():
    everything = [command for page in PAGES for command, _ in commands(page)]
    assert set(NOT_RUN) <= set(everything)
    assert set(map(name_of, PAGES)) >= set(NOT_RUN_PAGES)
    for part in NOT_RUN_PARTS:
        assert any(command.startswith(part) for command in everything)
