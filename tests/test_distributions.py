"""All distributions of the repository have one version, the same Pythons, and what their metadata names."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import zoo_core
from zoo_core.cli.doctor import EXTRAS
from zoo_core.scaffold import Scaffold

ROOT = Path(__file__).parent.parent
PLUGINS = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
RELEASED = [ROOT / "pyproject.toml", *PLUGINS]
EVERY_PROJECT = [*RELEASED, *sorted((ROOT / "examples").glob("*/pyproject.toml"))]
CORE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG_HEAD = re.compile(r"^## \[(\S+)\] - (Unreleased|\d{4}-\d\d-\d\d)$", re.MULTILINE)


def project(file):
    return tomllib.loads(file.read_text(encoding="utf-8"))["project"]


def pythons(classifiers):
    return re.findall(r"^Programming Language :: Python :: (\d\.\d+)$", "\n".join(classifiers), re.MULTILINE)


def pins(requirements):
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / requirements).read_text(encoding="utf-8"), re.MULTILINE))


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def version_tool(root, *arguments):
    command = [sys.executable, str(root / "tools" / "version.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    """The files of the repository that state its version, and the tool that sets it."""
    stating = [
        "zoo_core/_version.py",
        "zoo_core/scaffold/templates/pyproject.toml.jinja",
        "CITATION.cff",
        "CHANGELOG.md",
    ]
    projects = [str(file.relative_to(ROOT)) for file in EVERY_PROJECT]
    for name in ["tools/version.py", *stating, *projects]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_distribution_has_the_version_of_the_core():
    for file in RELEASED:
        assert project(file)["version"] == zoo_core.__version__, file
    done = version_tool(ROOT)
    assert (done.returncode, done.stdout) == (0, f"{zoo_core.__version__}\n"), done.stderr


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: file.parent.name)
def test_a_plugin_needs_the_core_of_its_own_version(file):
    assert f"zoo-core>={zoo_core.__version__}" in project(file)["dependencies"]


def test_a_new_plugin_needs_the_core_that_wrote_it():
    written = tomllib.loads(Scaffold(name="my-gan").files()["pyproject.toml"])["project"]
    assert f"zoo-core>={zoo_core.__version__}" in written["dependencies"]


def test_the_changelog_and_the_citation_are_of_this_version():
    version, date = CHANGELOG_HEAD.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert version == zoo_core.__version__
    assert citation["version"] == zoo_core.__version__
    assert str(citation.get("date-released", "Unreleased")) == date


def test_the_citation_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in CORE["project"]["authors"]
    ]
    assert citation["license"] == CORE["project"]["license"]
    assert citation["repository-code"] == CORE["project"]["urls"]["Source"]


def test_a_new_version_is_set_everywhere(copy):
    done = version_tool(copy, "1.2.3")
    assert (done.returncode, done.stdout) == (0, "1.2.3\n"), done.stderr
    for file in copy.rglob("pyproject.toml"):
        assert "examples" in file.parts or project(file)["version"] == "1.2.3"
    bounds = re.findall(r'"zoo-core>=(.*?)"', "".join(file.read_text() for file in copy.rglob("pyproject.toml*")))
    assert bounds == ["1.2.3"] * len(EVERY_PROJECT)  # of all but the core, and of the scaffold's template


def test_a_version_after_a_release_begins_a_section_of_the_changelog(copy):
    changelog = copy / "CHANGELOG.md"
    head = f"## [{zoo_core.__version__}]"
    released = CHANGELOG_HEAD.sub(f"{head} - 2030-01-31", changelog.read_text(encoding="utf-8"), count=1)
    changelog.write_text(released, encoding="utf-8")
    assert version_tool(copy, "1.2.3").returncode == 0
    assert version_tool(copy, "1.2.4").returncode == 0
    text = changelog.read_text(encoding="utf-8")
    assert f"\n\n## [1.2.4] - Unreleased\n\n{head} - 2030-01-31\n" in text
    assert "1.2.3" not in text


def test_versions_that_differ_are_reported_with_their_files(copy):
    file = copy / "plugins" / "vae" / "pyproject.toml"
    file.write_text(file.read_text().replace(f'version = "{zoo_core.__version__}"', 'version = "9.9.9"'))
    done = version_tool(copy)
    assert done.returncode == 1
    assert "9.9.9 in plugins/vae/pyproject.toml" in done.stderr.replace("\\", "/")


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3-final", ""])
def test_what_is_no_version_changes_nothing(copy, version):
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    assert version_tool(copy, version).returncode == 2
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


def test_every_project_has_the_same_pythons():
    supported = pythons(CORE["project"]["classifiers"])
    written = tomllib.loads(Scaffold(name="my-gan").files()["pyproject.toml"])["project"]
    for metadata in [*map(project, EVERY_PROJECT), written]:
        assert pythons(metadata["classifiers"]) == supported, metadata["name"]
        assert metadata["requires-python"] == f">={supported[0]}", metadata["name"]
    assert CORE["tool"]["ruff"]["target-version"] == "py" + supported[0].replace(".", "")
    assert CORE["tool"]["mypy"]["python_version"] == supported[0]


def test_mypy_checks_every_package_that_says_it_is_typed():
    packages = {  # an environment within the checkout has packages of others
        file.parent.relative_to(ROOT).as_posix() for file in ROOT.rglob("py.typed") if "site-packages" not in file.parts
    }
    assert packages
    assert packages <= set(CORE["tool"]["mypy"]["files"])


@pytest.mark.parametrize("file", EVERY_PROJECT, ids=lambda file: file.parent.name)
def test_a_wheel_has_its_licences_and_says_that_it_is_typed(file, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=file.parent, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = archive.read(metadata).decode().split("\n\n")[0].splitlines()
    licences = {name.rpartition("/licenses/")[2] for name in names if ".dist-info/licenses/" in name}
    assert licences == set(project(file)["license-files"])
    assert "Classifier: Typing :: Typed" in fields
    assert any(name.endswith("/py.typed") for name in names)
    for label, url in project(file).get("urls", {}).items():
        assert f"Project-URL: {label}, {url}" in fields


def test_requirements_lowest_is_the_lowest_that_the_projects_allow():
    extras = [requirement for extra in CORE["project"]["optional-dependencies"].values() for requirement in extra]
    floors = {}
    for requirement in CORE["project"]["dependencies"] + extras:
        name, floor = requirement.split(">=")
        floors[normal(name)] = floor
    lowest = {normal(name): version for name, version in pins("requirements-lowest.txt").items()}
    tools = {normal(name): version for name, version in pins("requirements-dev.txt").items()}
    assert {name: lowest.get(name) for name in floors} == floors
    for name in lowest.keys() - floors.keys():
        assert lowest[name] == tools[name], name
    for metadata in map(project, EVERY_PROJECT[1:]):
        for requirement in metadata["dependencies"]:
            name, floor = requirement.split(">=")
            assert name == "zoo-core" or floors[name] == floor, (metadata["name"], requirement)


def test_the_doctor_shows_every_extra():
    assert EXTRAS.keys() == CORE["project"]["optional-dependencies"].keys()


def test_requirements_pin_every_direct_dependency():
    pinned = {normal(name) for name in pins("requirements.txt")}
    assert {normal(requirement.split(">=")[0]) for requirement in CORE["project"]["dependencies"]} == pinned
