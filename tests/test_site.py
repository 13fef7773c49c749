"""The documentation as a site: it is built without a warning, whole, and asks no other host for anything."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import zoo_core
from tests.conftest import made_once
from zoo_core.cli import main

bs4 = pytest.importorskip("bs4", reason="the site's tools are not installed: pip install -r requirements-docs.txt")
pytest.importorskip("mkdocs", reason="the site's tools are not installed: pip install -r requirements-docs.txt")

ROOT = Path(__file__).parent.parent
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the built site."""
    return made_once(tmp_path_factory, "site", build)


def build(folder):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@pytest.fixture(scope="module")
def pages(built):
    """Every page, by its path in the site."""
    found = {path.relative_to(built).as_posix(): path.read_text(encoding="utf-8") for path in built.rglob("*.html")}
    return {name: bs4.BeautifulSoup(text, "html.parser") for name, text in found.items()}


def test_every_page_of_the_folder_is_there(pages):
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in pages


def test_every_link_leads_to_a_page_and_a_heading_that_are_there(built, pages):
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            address = urlsplit(link["href"])
            if address.scheme:
                assert address.scheme in ("https", "mailto"), link["href"]
                continue
            if name == "404.html":  # whose links start at the root of a server
                continue
            target = (built / name).parent / unquote(address.path) if address.path else built / name
            target = target.resolve()
            assert target.is_file(), f"{name}: {link['href']}"
            if address.fragment and target.suffix == ".html":
                other = pages[target.relative_to(built.resolve()).as_posix()]
                assert other.find(id=unquote(address.fragment)) is not None, f"{name}: {link['href']}"


def test_no_page_loads_anything_from_another_host(built, pages):
    for name, page in pages.items():
        for tag, attribute in LOADED.items():
            for element in page.find_all(tag, attrs={attribute: True}):
                if tag == "link" and element.get("rel") in (["canonical"], ["next"], ["prev"]):
                    continue
                address = urlsplit(element[attribute])
                assert not address.netloc, f"{name}: {element}"
                if name != "404.html":
                    assert ((built / name).parent / unquote(address.path)).is_file(), f"{name}: {element}"
    for style in built.rglob("*.css"):
        assert "@import" not in style.read_text(encoding="utf-8")
        assert "url(http" not in style.read_text(encoding="utf-8")


def test_every_formula_is_drawn(pages):
    formulas = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").count("$$") // 2
    assert formulas > 0
    assert len(pages["theory.html"].select("div.formula > math")) == formulas
    for name, page in pages.items():
        assert "$$" not in page.get_text(), name


def commands(command, name="zoo"):
    """The full name of a command and of everything below it."""
    yield name
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for child in command.list_commands(context):
            yield from commands(command.get_command(context, child), f"{name} {child}")


def test_the_reference_has_every_command(pages):
    text = pages["reference/command.html"].get_text()
    for name in commands(main):
        assert f"{name} [" in text, name


def test_the_reference_has_every_public_name(pages):
    written = {
        element["id"].rpartition(".")[2]
        for name, page in pages.items()
        if name.startswith("reference/")
        for element in page.find_all(id=True)
    }
    assert set(zoo_core.__all__) <= written


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("training.gan.GANSettings", ["discriminator_steps", "spectral_norm: bool = False", "**inherited"]),
        ("interfaces.settings.Settings", ["batch_size", "= 64", "ema_decay"]),
        ("registries.entries.ModelEntry", ["class_names: tuple[str, ...] = ()", "hub: HubLocation | None = None"]),
    ],
)
def test_a_struct_has_the_constructor_that_msgspec_makes(pages, name, parts):
    heading = pages["reference/zoo_core.html"].find(id=f"zoo_core.{name}")
    signature = heading.find_next(class_="doc-signature").get_text()
    assert all(part in signature for part in parts), signature
    assert "self" not in signature
