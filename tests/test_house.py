"""The order of the house: packages with a map, few modules at the top, and private names that stay private.

The layers themselves, and that no import runs in a circle, are held by import-linter (`lint-imports`, pyproject.toml).
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import zoo_core

CORE = Path(zoo_core.__file__).parent
ROOT = CORE.parent
PACKAGES = sorted(path.parent for path in CORE.glob("**/__init__.py") if path.parent != CORE)
MODULES = sorted(CORE.glob("**/*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def public_parts(package: Path) -> list[str]:
    """The modules and packages that a reader may open."""
    modules = [path.stem for path in package.glob("*.py") if not path.stem.startswith("_")]
    return sorted(modules + [path.parent.name for path in package.glob("*/__init__.py")])


def test_the_top_level_has_few_modules_beside_packages():
    assert len(list(CORE.glob("*.py"))) <= 10


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_a_package_says_what_is_where_in_it(package):
    module = importlib.import_module(dotted(package))
    assert module.__all__, "a package states its public names"
    for name in module.__all__:
        getattr(module, name, None) or importlib.import_module(f"{module.__name__}.{name}")
    if module.__name__ in ("zoo_core.cli", "zoo_core.cli.plugins"):
        return  # a command's module has the command's name: `zoo --help` is the map
    mentioned = set(re.findall(r"\w+", module.__doc__ or ""))
    missing = [name for name in public_parts(package) if name not in mentioned]
    assert not missing, f"the map of {module.__name__} does not mention {missing}"


def test_no_module_uses_the_private_names_of_another():
    offences = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo_core"):
                names = [
                    alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "__version__"
                ]
                offences += [f"{dotted(path)} imports {node.module}.{name}" for name in names]
    assert not offences


def test_a_path_that_a_user_gives_has_one_door():
    """What expands `~` elsewhere expands it in some commands and not in others, and a run ends up in two places."""
    offences = [
        f"{dotted(path)}: {word}"
        for path in MODULES
        if path != CORE / "files" / "paths.py"
        for word in ("expanduser(", "click.Path", "click.File")
        if word in path.read_text(encoding="utf-8")
    ]
    assert not offences, "use files.paths.user_path, and cli.options.UserPath"


def test_the_tables_that_contributing_names_for_each_change_are_in_their_files():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.search(r"## Where to make a change\n(.*?)\n## ", text, re.DOTALL)[1].splitlines()
    changes = [row for row in rows if row.startswith("| ") and "`zoo_core/" in row]
    assert len(changes) >= 12
    for row in changes:
        file = ROOT / re.search(r"`(zoo_core/[\w/]+(?:\.py|/))`", row)[1]
        assert file.exists(), row
        for table in re.findall(r"`([A-Z][A-Z_]+)`", row):
            assert re.search(rf"^{table}\b.* = ", file.read_text(encoding="utf-8"), re.MULTILINE), row
