"""What README and docs say is true: their Python runs, their plugin works, their links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest

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
    hooks, model = blocks(ROOT / "docs" / "plugins.md", "python")[:2]
    site.add("zoo-ring", hooks, model=model)
    environment = site.environment()
    import subprocess
    import sys

    save = "from zoo_ring.model import *; RingGenerator(RingConfig(radius=2.0)).save('my-ring')"
    subprocess.run([sys.executable, "-c", save], cwd=tmp_path, env=environment, check=True)
    assert zoo("sample", "./my-ring", "-n", 1000, "-o", "points.npz", env=environment).stdout == "points.npz\n"
    with np.load(tmp_path / "points.npz") as archive:
        assert archive["arr_0"].shape == (1000, 2)
        assert abs(np.linalg.norm(archive["arr_0"], axis=1).mean() - 2) < 0.02
    assert zoo("circumference", 2, env=environment).stdout == "12.566\n"
