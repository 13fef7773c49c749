"""`zoo plugins install` and `uninstall` in real virtual environments, from folders, wheels and git, without a network."""

import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.environments import Environment
from tests.test_cli import fails_in_one_line
from zoo_core.plugins.distributions import origin_of

PYPROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "zoo-ring"
    version = "1.0"

    [project.entry-points."zoo.plugins"]
    ring = "zoo_ring"
"""
HOOKS = """
    import click
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="ring", summary="Points on a ring", config="zoo_ring.model:C", generator="zoo_ring.model:G")]

    @hookimpl
    def zoo_commands(cli):
        cli.add_command(click.Command("circumference"))
"""


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "venv")


@pytest.fixture
def ring(tmp_path):
    """The folder of a small distribution with a plugin."""
    folder = tmp_path / "zoo-ring"
    (folder / "zoo_ring").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT))
    (folder / "zoo_ring" / "__init__.py").write_text(textwrap.dedent(HOOKS))
    return folder


def wheel_of(folder):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=folder, check=True, capture_output=True
    )
    (wheel,) = folder.glob("dist/*.whl")
    return wheel


def repository_of(folder):
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "feat: a ring"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return f"git+file://{folder}"


SOURCES = {
    "folder": lambda folder: "./zoo-ring",
    "wheel": wheel_of,
    "git": repository_of,
}


@pytest.mark.slow
@pytest.mark.parametrize("origin", SOURCES)
def test_a_plugin_is_installed_shown_and_uninstalled(environment, ring, origin):
    result = environment.zoo("plugins", "install", SOURCES[origin](ring))
    assert result.returncode == 0, result.stderr
    first, *brought = result.stdout.splitlines()
    assert first.startswith(f"zoo-ring 1.0, from {origin} {ring}")
    assert [line.split() for line in brought] == [["architectures", "ring"], ["commands", "circumference"]]
    facts = environment.plugins()["zoo-ring"]
    assert (facts["origin"], facts["status"], facts["problems"]) == (origin, "ok", [])
    assert (facts["architectures"], facts["commands"]) == (["ring"], ["circumference"])
    assert (facts["source"]["commit"] is not None) == (origin == "git")

    gone = environment.zoo("plugins", "uninstall", "ring")
    assert (gone.returncode, gone.stderr) == (0, "")
    assert gone.stdout.splitlines()[0] == "zoo-ring 1.0 goes, with"
    assert "ring" in gone.stdout.splitlines()[1]
    assert "zoo-ring" not in environment.plugins()


@pytest.mark.slow
def test_a_plugin_of_an_index_is_told_from_one_of_a_folder(environment, ring):
    wheel = wheel_of(ring)
    result = environment.zoo("plugins", "install", "zoo-ring", PIP_FIND_LINKS=str(wheel.parent))
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "zoo-ring 1.0, from index")
    assert environment.plugins()["zoo-ring"]["origin"] == "index"
    again = environment.zoo("plugins", "install", "zoo-ring", PIP_FIND_LINKS=str(wheel.parent))
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "zoo: zoo-ring is already installed; nothing changed\n"


@pytest.mark.slow
def test_an_editable_folder_is_used_where_it_lies(environment, ring):
    assert environment.zoo("plugins", "install", "-e", "zoo-ring/").returncode == 0
    facts = environment.plugins()["zoo-ring"]
    assert facts["source"] == {"place": str(ring), "commit": None, "editable": True}
    (ring / "zoo_ring" / "__init__.py").write_text("raise RuntimeError('no luck')")
    assert environment.plugins()["zoo-ring"]["problem"] == "RuntimeError: no luck"


@pytest.mark.slow
def test_a_plugin_that_is_left_out_and_a_package_that_is_none_are_said(environment, ring):
    (ring / "zoo_ring" / "__init__.py").write_text("raise RuntimeError('no luck')")
    broken = environment.zoo("plugins", "install", "./zoo-ring")
    assert broken.returncode == 1
    assert broken.stdout.splitlines()[1].split(maxsplit=1) == ["problem", "RuntimeError: no luck"]
    assert environment.zoo("plugins", "uninstall", "zoo_ring").returncode == 0
    text = (ring / "pyproject.toml").read_text()
    (ring / "pyproject.toml").write_text(text.partition("[project.entry-points")[0])
    result = environment.zoo("plugins", "install", "./zoo-ring")
    assert (result.returncode, result.stdout) == (1, "also zoo-ring 1.0\n")
    assert "is installed, but provides no plugin" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="there is no uv")
def test_uv_serves_where_there_is_no_pip(environment, ring):
    (environment.own / "hide_pip.pth").write_text("import sys; sys.modules['pip'] = None\n")
    without = environment.zoo("plugins", "install", "./zoo-ring", PATH="")
    assert fails_in_one_line(without, "there is neither pip nor uv for")
    result = environment.zoo("plugins", "install", "./zoo-ring")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"zoo-ring 1.0, from folder {ring}")
    assert fails_in_one_line(environment.zoo("plugins", "install", "zoo-nosuch"), "uv cannot install zoo-nosuch: ")
    assert environment.zoo("plugins", "uninstall", "zoo-ring").returncode == 0
    assert "zoo-ring" not in environment.plugins()


@pytest.mark.parametrize(
    ("marker", "install", "uninstall"),
    [
        (
            "pipx_metadata.json",
            "pipx manages this environment; run: pipx inject venv zoo-ring",
            "pipx uninject venv zoo-vae",
        ),
        (
            "uv-receipt.toml",
            "uv tool install zoo-core --with zoo-ring",
            "uv tool install --force zoo-core, without --with zoo-vae",
        ),
    ],
)
@pytest.mark.plugins("zoo-vae")
def test_an_environment_that_another_program_keeps_is_left_to_it(environment, marker, install, uninstall):
    (environment.folder / marker).touch()
    assert fails_in_one_line(environment.zoo("plugins", "install", "zoo-ring"), install)
    refused = environment.zoo("plugins", "uninstall", "vae")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert uninstall in refused.stderr


def test_an_environment_that_the_operating_system_keeps_is_left_to_it(environment):
    """PEP 668, on a Python that says it is no virtual environment and keeps its library elsewhere."""
    library = environment.work / "library"
    library.mkdir()
    (library / "EXTERNALLY-MANAGED").touch()
    customise = f"import sys, sysconfig; sys.base_prefix = sys.prefix; sysconfig._INSTALL_SCHEMES['posix_prefix']['stdlib'] = sysconfig._INSTALL_SCHEMES['venv']['stdlib'] = {str(library)!r}\n"
    (environment.own / "customise.pth").write_text(customise)
    assert fails_in_one_line(
        environment.zoo("plugins", "install", "zoo-ring"), "the operating system manages", "PEP 668", "python -m venv"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["./nowhere"], "there is no folder or wheel ./nowhere"),
        (["nowhere.whl"], "there is no folder or wheel nowhere.whl"),
        (["./empty"], "./empty is not a distribution: it has no pyproject.toml"),
        (["--editable", "zoo-ring"], "zoo-ring is not a folder, and only a folder can be editable"),
        (["zoo-nosuch"], "pip cannot install zoo-nosuch: No matching distribution found for zoo-nosuch"),
        (["empty"], "for the folder of that name write ./empty"),
        (["--", "--target=x"], "'--target=x' is not a plugin"),
        ([" "], "'' is not a plugin"),
        (["./nameless"], "pip cannot install {work}/nameless: ValueError: Field `project.version`"),
        (["./backendless"], "no_such_backend"),
    ],
)
def test_what_cannot_be_installed_is_one_line(environment, arguments, words):
    (environment.work / "empty").mkdir()
    for name, backend, project in (
        ("nameless", "hatchling.build", "[project]"),
        ("backendless", "no_such_backend", ""),
    ):
        (environment.work / name).mkdir()
        text = f"[build-system]\nrequires = []\nbuild-backend = '{backend}'\n{project}\n"
        (environment.work / name / "pyproject.toml").write_text(text)
    assert fails_in_one_line(environment.zoo("plugins", "install", *arguments), words.format(work=environment.work))


def test_what_is_no_plugin_is_not_uninstalled(environment):
    for name in ("zoo-core", "torch", "nosuch"):
        assert fails_in_one_line(
            environment.zoo("plugins", "uninstall", name), f"no installed plugin is called '{name}'"
        )


@pytest.mark.plugins("zoo-vae")
def test_what_lies_outside_of_the_environment_is_not_said_to_be_gone(environment):
    result = environment.zoo("plugins", "uninstall", "zoo-vae")
    assert result.returncode == 1
    assert "zoo-vae is still installed: " in result.stderr
    assert "zoo-vae" in environment.plugins()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (None, "index", "index"),
        ('{"url": "file:///a%20b", "dir_info": {"editable": true}}', "folder", "editable folder /a b"),
        ('{"url": "file:///a/x-1.0-py3-none-any.whl", "archive_info": {}}', "wheel", "wheel /a/x-1.0-py3-none-any.whl"),
        ('{"url": "https://u:secret@h/x.tar.gz", "archive_info": {}}', "archive", "archive https://h/x.tar.gz"),
        ('{"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}', "git", "git https://h/x.git@0123456789ab"),
        ('{"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": 7}}', "unknown", "unknown"),
        ('{"url": 3}', "unknown", "unknown"),
        ("{", "unknown", "unknown"),
    ],
)  # fmt: skip
def test_the_origin_is_what_direct_url_says(site, text, kind, said):
    site.add("zoo-ring", "")
    if text is not None:
        (site.folder / "zoo_ring-1.0.dist-info" / "direct_url.json").write_text(text)
    assert (origin_of("zoo-ring").kind, str(origin_of("zoo-ring"))) == (kind, said)
