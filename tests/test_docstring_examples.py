"""The examples in docstrings run, and everything public has one.

The examples of a class's methods continue the example of the class. Those that name a bundled model or a plugin are
skipped where that plugin is not installed.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import zoo_core
from tests.builtin import MODELS, installed

PUBLIC = [
    "zoo_core",
    "zoo_core.conditioning",
    "zoo_core.errors",
    "zoo_core.losses",
    "zoo_core.sampling",
    "zoo_core.streams",
    "zoo_core.testing",
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(zoo_core.__path__, "zoo_core.")
    if not module.name.endswith("__main__") and ".templates" not in module.name
)


def own_methods(owner):
    """The public methods and properties that a class defines itself."""
    for name, member in vars(owner).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith(("_", "test_")) and inspect.isfunction(function):
            yield name, function


def public_objects():
    """Each once, by the shortest name that it has."""
    seen = set()
    for module_name in PUBLIC:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]:
            value = getattr(module, name)
            home = getattr(value, "__module__", None) or ""
            if not callable(value) or not home.startswith("zoo_core") or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{module_name}.{name}", value
            if inspect.isclass(value):
                yield from ((f"{module_name}.{name}.{method}", function) for method, function in own_methods(value))


def missing_plugins(example):
    """The built-in plugins that an example needs, by the name of a model or of the plugin, and that are not here."""
    named = {plugin for name, plugin in MODELS.items() if name in example or plugin.replace("-", "_") in example}
    return [plugin for plugin in named if not installed(plugin)]


@pytest.mark.parametrize("module", ["zoo_core", *MODULES])
def test_the_examples_of_a_module_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    names_of_class: dict[str, dict[str, object]] = {}
    for test in sorted(doctest.DocTestFinder().find(importlib.import_module(module))):  # a class before its methods
        if missing_plugins(test.docstring):
            continue
        test.globs = names_of_class.get(test.name.rpartition(".")[0], test.globs).copy()
        test.globs.pop("annotations", None)  # this module's __future__ import would apply to the examples too
        runner.run(test, clear_globs=False)
        names_of_class[test.name] = test.globs
    assert runner.failures == 0
    assert not list(tmp_path.iterdir()), "an example leaves files behind"


@pytest.mark.parametrize(("name", "value"), [pytest.param(*item, id=item[0]) for item in public_objects()])
def test_everything_public_has_an_example(name, value):
    assert ">>>" in (inspect.getdoc(value) or ""), f"{name} has no example"
