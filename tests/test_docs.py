"""What README and docs say is true: their plugin works, their tables are whole, their links lead somewhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests import forkserver
from tests.builtin import architecture
from tests.environments import Environment
from zoo_core import GANSettings, Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "RELEASING")),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target and not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def table_below(page, heading):
    """The first table below a heading: (first column, second column) of its rows."""
    part = page.read_text(encoding="utf-8").split(f"\n{heading}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", part, re.MULTILINE))


def written(value):
    """A default as `--set` would take it."""
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return str(value).lower() or "none"


@pytest.mark.parametrize(
    ("heading", "settings", "base"),
    [
        ("### Settings of every run", Settings, None),
        ("### Settings of GANs", GANSettings, Settings),
        ("### Settings of the vae", "vae", Settings),
    ],
)
def test_the_tables_of_settings_are_the_settings_with_their_defaults(heading, settings, base):
    """Of a kind of training those that are its own, or have another default."""

    def defaults(struct):
        return {field.name: written(field.default) for field in msgspec.structs.fields(struct)}

    if settings == "vae":
        settings = architecture("vae").trainer_class().Settings
    inherited = defaults(base) if base else {"loss": "default"}  # every kind of training has losses of its own
    own = {name: value for name, value in defaults(settings).items() if inherited.get(name) != value}
    assert table_below(ROOT / "docs" / "command.md", heading) == own


def test_the_option_tables_are_those_of_the_commands():
    command = [sys.executable, str(ROOT / "tools" / "command_reference.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # which says how to regenerate them


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_of_the_core_that_a_page_names_exists(page):
    named = set(re.findall(r"zoo_core/[\w/]*(?:\.py)?", (ROOT / page).read_text(encoding="utf-8")))
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_function_of_the_tables_of_the_architecture_is_in_its_file():
    rows = re.findall(
        r"^\| `([\w/]+\.py)` \| `(\w+)` \|",
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert rows
    for file, name in rows:
        definition = rf"^\s*(def|class) {name}\b|^{name}\b.* = "
        assert re.search(definition, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}: {name}"


GUIDE = ROOT / "docs" / "plugins.md"


@pytest.fixture
def guide(site):
    """The guide's plugin, installed: the environment of a process that sees it, and its remaining blocks."""
    hooks, model, trainer, tests, rings, rings_trained, flow, _, codes, *_ = blocks(GUIDE, "python")
    site.add("zoo-ring", hooks, model=model, trainer=trainer, rings=rings, flow=flow, codes=codes)
    return site.environment(), tests, rings_trained


def test_the_plugin_of_the_guide_is_a_working_one(guide, zoo, tmp_path):
    environment, tests, _ = guide
    save = "from zoo_ring.model import *; RingGenerator(RingConfig(radius=2.0)).save('my-ring')"
    forkserver.run("-c", save, cwd=tmp_path, env=environment, check=True)
    assert zoo("sample", "./my-ring", "-n", 1000, "-o", "points.npz", env=environment).stdout == "points.npz\n"
    with np.load(tmp_path / "points.npz") as archive:
        assert archive["arr_0"].shape == (1000, 2)
        assert abs(np.linalg.norm(archive["arr_0"], axis=1).mean() - 2) < 0.02
    assert zoo("circumference", 2, env=environment).stdout == "12.566\n"
    (tmp_path / "test_ring.py").write_text(tests)
    done = forkserver.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ring.py", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout


def test_the_conditional_model_of_the_guide_learns_its_classes(guide, tmp_path):
    environment, _, rings_trained = guide
    done = forkserver.run("-c", rings_trained, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    small, large = map(float, done.stdout.split())
    assert small < 1.5 < large


@pytest.mark.slow
def test_every_model_of_the_guide_keeps_the_contract(guide, tmp_path):
    environment, *_ = guide
    (tests,) = (code for code in blocks(GUIDE, "python") if "class TestFlow" in code)
    (tmp_path / "test_others.py").write_text(tests)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_others.py"]
    done = forkserver.run(*command, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout


def test_the_flow_of_the_guide_is_trained_and_sampled_with_options(guide, zoo, tmp_path):
    environment, *_ = guide
    np.savez(tmp_path / "points.npz", np.random.default_rng(0).normal(size=(128, 2)).astype(np.float32))
    (train, sample) = next(code for code in blocks(GUIDE, "sh") if "ring-flow" in code).splitlines()
    assert zoo(*train.split()[1:], "--steps", 2, env=environment).returncode == 0
    config = json.loads((tmp_path / "runs" / "flow" / "config.json").read_text())
    assert (config["config"]["net"], config["options"]) == ({"width": 32, "depth": 2}, {"steps": 10, "churn": 0.0})
    done = zoo(*sample.split()[1:], env=environment)
    assert (done.returncode, done.stdout) == (0, "churned.npz\n")


def test_what_else_the_guide_shows_of_python_runs(tmp_path):
    _, _, _, _, _, _, _, reading, _, *others = blocks(GUIDE, "python")
    shown = {}
    exec(reading, shown)
    np.savetxt(tmp_path / "walk.csv", np.zeros((25, 3)), delimiter=",")
    data = shown["TracksTrainer"].read_data(tmp_path / "walk.csv", None, {})
    assert (data.sample_shape, len(data), data.values["dimensions"]) == ((10, 3), 2, 3)
    for code in others:
        exec(code, shown)
    assert [kind.name for kind in shown["zoo_kinds"]()] == ["chords"]
    assert [extractor.name for extractor in shown["zoo_metrics"]()] == ["ring-moments"]


def test_the_guide_lists_every_test_of_the_contract():
    from zoo_core.testing import ArchitectureContract

    page = GUIDE.read_text(encoding="utf-8")
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
