"""Additions to mkdocs for the documentation site (mkdocs.yml names this file as its hook).

- Formulas between `$$` become MathML when the site is built, so that a reader needs neither JavaScript nor another
  host. GitHub renders the same source by itself.
- Reference pages are generated from docstrings and from click.
- Pictures from elsewhere in the repository are copied into the site.
- Links to files that are not part of the site become the names of these files.
"""

from __future__ import annotations

import importlib
import posixpath
import re
from collections.abc import Callable, Collection
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PICTURES = "pictures"  # the site's folder of copied pictures
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+[^)#]*)(#[^)]*)?\)")

COMMAND = """# Options of the command

[The command](../command.md) explains what each command is for, with examples.

::: mkdocs-click
    :module: zoo_core.cli
    :command: main
    :prog_name: zoo
    :depth: 1
    :style: plain
    :list_subcommands: true
"""
MAIN = """The names that programs and plugins import: `import zoo_core as zoo`. Its [errors](errors.md) and
[`evaluate`](metrics.md) have pages of their own."""
REFERENCE = {
    "losses": "GAN and VAE losses. [Theory](../theory.md) shows each next to its formula.",
    "conditioning": "Functions that feed labels to networks.",
    "sampling.latent_space": "Walks through a latent space: what `zoo interpolate`, `traverse` and `reconstruct` draw.",
    "metrics": "Measures of how good a model is. [Quality](../quality.md) explains what the figures mean.",
    "testing": "The tests that a plugin inherits for its architectures. "
    "[Writing a plugin](../plugins.md#the-contracts-tests) lists them.",
    "errors": "Every error that zoo-core raises on purpose.",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages, and the pictures from elsewhere that pages show."""
    for name, text in reference_pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for picture in _pictures_of(path):
            uri = f"{PICTURES}/{_name_of(picture)}"
            if uri not in files.src_uris:
                files.append(File.generated(config, uri, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Convert formulas and links everywhere except in code blocks."""
    return _outside_code(markdown, lambda text: _LINK.sub(lambda link: _site_link(link, page), _with_formulas(text)))


def reference_pages() -> dict[str, str]:
    """The Markdown of every reference page, by name."""
    pages = {name.rpartition(".")[2]: _python_page(f"zoo_core.{name}", text) for name, text in REFERENCE.items()}
    elsewhere = {path for name in REFERENCE for path in public_names(f"zoo_core.{name}")}
    return pages | {"zoo_core": _python_page("zoo_core", MAIN, elsewhere), "command": COMMAND}


def _python_page(module: str, text: str, elsewhere: Collection[str] = ()) -> str:
    """A page with an entry for each public name of a module that is not on another page."""
    entries = [f"::: {path}\n" for path in public_names(module) if path not in elsewhere]
    return f"# {module}\n\n{text}\n\n" + "\n".join(entries)


def public_names(module: str) -> list[str]:
    """Where each public name is defined: each name in `__all__`, or else each that the module itself defines."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None)
    if names is None:
        own = {name: value for name, value in vars(found).items() if getattr(value, "__module__", None) == module}
        names = [name for name, value in own.items() if not name.startswith("_") and callable(value)]
    return [_definition(module, name, getattr(found, name)) for name in names]


def _definition(module: str, name: str, value: object) -> str:
    home = getattr(value, "__module__", "")
    return f"{home}.{name}" if home.startswith("zoo_core") else f"{module}.{name}"


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts = _FENCED.split(markdown)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def _with_formulas(text: str) -> str:
    return _FORMULA.sub(lambda formula: f'<div class="formula">{_mathml(formula[1])}</div>', text)


def _mathml(formula: str) -> str:
    """The formula as a single line of MathML, which Markdown leaves unchanged."""
    return convert(" ".join(formula.split()), display="block").replace("\n", " ")


def _pictures_of(page: Path) -> list[Path]:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    return [(page.parent / target).resolve() for mark, _, target, _ in links if mark]


def _name_of(picture: Path) -> str:
    """The picture's name in the site: its own, or its folder's for samples.png, which every bundled model has."""
    return f"{picture.parent.name}.png" if picture.name == "samples.png" else picture.name


def _site_link(link: re.Match[str], page: Page) -> str:
    """The site's version of a link that leaves docs/."""
    mark, text, target, _ = link.groups()
    folder = posixpath.dirname(page.file.src_uri)
    path = (ROOT / "docs" / folder / target).resolve()
    if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "docs"):
        return link[0]
    if mark:
        return f"![{text}]({posixpath.relpath(f'{PICTURES}/{_name_of(path)}', folder or '.')})"
    shown = path.relative_to(ROOT).as_posix()
    return f"`{shown}`" if text in (shown, path.name) else f"{text} (`{shown}`)"
