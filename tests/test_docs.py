"""What README and docs say is true: their Python runs, their plugin works, their links lead somewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.environments import Environment

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("plugins/*/README.md")]
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/theory.md"])
def test_the_python_of_a_page_runs_from_top_to_bottom(page, run_python):
    code = blocks(ROOT / page, "python")
    assert code
    run_python("\n".join(code))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target and not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_plugin_of_the_guide_is_a_working_one(site, zoo, tmp_path):
    hooks, model, trainer, tests = blocks(ROOT / "docs" / "plugins.md", "python")[:4]
    site.add("zoo-ring", hooks, model=model, trainer=trainer)
    environment = site.environment()
    save = "from zoo_ring.model import *; RingGenerator(RingConfig(radius=2.0)).save('my-ring')"
    subprocess.run([sys.executable, "-c", save], cwd=tmp_path, env=environment, check=True)
    assert zoo("sample", "./my-ring", "-n", 1000, "-o", "points.npz", env=environment).stdout == "points.npz\n"
    with np.load(tmp_path / "points.npz") as archive:
        assert archive["arr_0"].shape == (1000, 2)
        assert abs(np.linalg.norm(archive["arr_0"], axis=1).mean() - 2) < 0.02
    assert zoo("circumference", 2, env=environment).stdout == "12.566\n"
    (tmp_path / "test_ring.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ring.py"]
    tested = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


def test_the_guide_lists_every_test_of_the_contract():
    from zoo_core.testing import ArchitectureContract

    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(test_\w+)` \|", page, re.MULTILINE)
    assert listed == [name for name in vars(ArchitectureContract) if name.startswith("test_")]


@pytest.mark.slow
def test_the_first_plugin_is_written_tested_trained_and_sampled_as_the_page_says(tmp_path):
    page = ROOT / "docs" / "first-plugin.md"
    environment = Environment(tmp_path / "venv")
    shutil.copytree(ROOT / "tests" / "data" / "mnist", tmp_path / "pictures")
    *commands, last = "".join(blocks(page, "sh")).splitlines()
    assert commands[0] == "zoo plugins new my-gan"
    assert last == "zoo plugins uninstall my-gan"
    for command in commands:
        done = environment.shell(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "first.png").stat().st_size > 0
    (layout,) = re.findall(r"^```\nmy-gan/\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = [
        name
        for line in layout.splitlines()
        for name in re.split(r" {2,}", line.strip())
        if "." in name or name == "LICENSE"
    ]
    assert names
    for name in names:
        assert (tmp_path / "my-gan" / name.split()[0]).exists(), name

    tests = (tmp_path / "my-gan" / "tests" / "test_my_gan.py").read_text()
    assert blocks(page, "python")[0] in tests

    (old, new) = (line[1:] for line in blocks(page, "diff")[0].splitlines())
    model = tmp_path / "my-gan" / "my_gan" / "model.py"
    assert model.read_text().count(old + "\n") == 1
    model.write_text(model.read_text().replace(old + "\n", new + "\n"))
    broken = environment.shell("python -m pytest my-gan")
    assert broken.returncode == 1
    assert blocks(page, "text")[0].strip() in broken.stdout
    assert environment.shell(last).returncode == 0
