"""Plugins are found by entry point, and whatever one does wrong costs nothing but its own absence."""

import importlib.metadata
import json
import sys
import textwrap

import click
import numpy as np
import pytest

from tests import forkserver
from zoo_core.errors import PluginError, UnknownArchitectureError
from zoo_core.plugins import PluginManager

GOOD = """
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="ring", summary="Points on a ring", config="zoo_ring.model:RingConfig",
                             generator="zoo_ring.model:Ring")]
"""
MODEL = """
    import math
    from typing import Annotated
    import torch
    from msgspec import Meta
    from zoo_core import Generator, ModelConfig

    class RingConfig(ModelConfig, frozen=True):
        radius: Annotated[float, Meta(gt=0)] = 1.0

    class Ring(Generator):
        kind = "tensor"
        latent_shape = (2,)
        sample_shape = (2,)

        def __init__(self, config):
            super().__init__(config)
            self.radius = torch.nn.Parameter(torch.tensor(config.radius))

        def forward(self, z, labels=None):
            return self.radius * z / z.norm(dim=1, keepdim=True)
"""
IMPORTS = "from zoo_core import Architecture, hookimpl\n"
ARCHITECTURE = 'Architecture(name="{name}", summary="", config="m:C", generator="m:G")'


def registers(*names):
    listed = ", ".join(ARCHITECTURE.format(name=name) for name in names)
    return f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return [{listed}]\n"


def discover(site, **options):
    options = {"disabled": (), "owners": {}} | options
    return PluginManager(site.entry_points().values(), **options)


def state(manager, distribution):
    return next(info for info in manager.plugins if info.distribution == distribution)


BROKEN = {
    "fails at import": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "exits at import": ("import sys; sys.exit(3)", r"it calls sys.exit(3) when it is loaded"),
    "does not parse": ("def", "SyntaxError"),
    "lacks a module": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "recurses": ("def f(): f()\nf()", "RecursionError"),
    "fails in a hook": (f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return 1 / 0", "ZeroDivisionError"),
    "fails in a generator": (
        f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    yield {ARCHITECTURE.format(name='x')}\n    raise OSError('late')",
        "OSError: late",
    ),
    "returns a number": (
        f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return 3",
        "must return Architectures, not 3",
    ),
    "returns a string": (f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return 'x'", "must return Architectures"),
    "returns strings": (f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return ['x']", "must return Architectures"),
    "never ends": (
        f"{IMPORTS}import itertools\n@hookimpl\ndef zoo_architectures():\n"
        f"    return (Architecture(name=f'a{{i}}', summary='', config='m:C', generator='m:G') for i in itertools.count())",
        "more than 1,000",
    ),
    "has a wrong name": (registers("Not A Name"), "architecture name 'Not A Name'"),
    "repeats itself": (registers("same_name", "same-name"), "registers the architecture 'same-name' twice"),
    "misspells a hook": (
        f"{IMPORTS}@hookimpl\ndef zoo_architecture():\n    return []",
        "unknown hook zoo_architecture; did you mean zoo_architectures?",
    ),
    "takes wrong arguments": (f"{IMPORTS}@hookimpl\ndef zoo_registry(what):\n    return None", "PluginValidationError"),
    "is from the future": ("zoo_api = 2", "made for plugin API 2, and this zoo-core has 1: upgrade zoo-core"),
    "has a strange version": ("zoo_api = 'one'", "zoo_api must be a whole number, not 'one'"),
    "has a boolean version": ("zoo_api = True", "zoo_api must be a whole number, not True"),
    "cannot say what is wrong": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "Mute",
    ),
    "exits with control characters": ("import sys; sys.exit(chr(27) + '[31m' + chr(10))", "it calls sys.exit("),
    "ships no registry": (
        f"{IMPORTS}@hookimpl\ndef zoo_registry():\n    return '/no/such.yaml'",
        "which is not a file",
    ),
    "ships a strange registry": (f"{IMPORTS}@hookimpl\ndef zoo_registry():\n    return 5", "must return a path, not 5"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_plugin_is_left_out_with_its_reason_and_the_other_works(site, way):
    source, reason = BROKEN[way]
    site.add("zoo-broken", source)
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)
    broken = state(manager, "zoo-broken")
    assert broken.status == "left out"
    assert reason in broken.problem
    assert broken.problem.isprintable()
    assert broken.architectures == ()
    assert list(manager.architectures) == ["ring"]
    assert manager.problems == [f"plugin broken of zoo-broken is left out: {broken.problem}"]
    assert manager.commands(reserved=()).accepted == {}


def test_a_failure_keeps_its_traceback_for_who_asks(site):
    site.add("zoo-broken", "raise RuntimeError('no luck')")
    assert "zoo_broken" in state(discover(site), "zoo-broken").traceback


def test_what_a_plugin_prints_at_import_does_not_reach_stdout(site, capsys):
    site.add("zoo-ring", "print('hello')\n" + textwrap.dedent(GOOD), model=MODEL)
    assert state(discover(site), "zoo-ring").status == "ok"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


def test_a_plugin_that_calls_itself_broken_in_terminal_codes_is_told_without_them(site):
    site.add("zoo-broken", "raise RuntimeError(chr(27) + '[2J' + chr(10) + 'no luck')")
    assert state(discover(site), "zoo-broken").problem == "RuntimeError: [2J no luck"


@pytest.mark.parametrize("disabled", ["flow", "zoo-flow", "ZOO_FLOW"])
def test_a_plugin_can_be_disabled_by_either_name_and_the_other_works(site, disabled, monkeypatch):
    site.add("zoo-flow", "raise SystemExit('it was loaded')")
    site.add("zoo-ring", GOOD, model=MODEL)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", f"other, {disabled}")
    manager = discover(site, disabled=None)
    assert state(manager, "zoo-flow").status == "disabled"
    assert manager.problems == []
    assert list(manager.architectures) == ["ring"]


def test_all_plugins_can_be_disabled(site, monkeypatch):
    site.add("zoo-flow", "raise SystemExit('it was loaded')")
    site.add("zoo-ring", GOOD, model=MODEL)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "all")
    manager = discover(site, disabled=None)
    assert [info.status for info in manager.plugins] == ["disabled", "disabled"]
    assert manager.problems == []
    assert manager.architectures == {}


def test_a_hook_of_a_later_core_may_be_marked_as_optional(site):
    site.add(
        "zoo-ring", GOOD + "\n    @hookimpl(optionalhook=True)\n    def zoo_dreams():\n        return []", model=MODEL
    )
    assert state(discover(site), "zoo-ring").status == "ok"


def test_an_object_of_a_module_can_be_the_plugin_whatever_it_is(site):
    """pluggy compares plugins and puts them into sets; one that cannot be must not trouble another."""
    unhashable = f"{IMPORTS}class Plugin(dict):\n    @hookimpl\n    def zoo_architectures(self):\n        return []\nplugin = Plugin()"
    site.add("zoo-odd", unhashable)
    (site.folder / "zoo_odd-1.0.dist-info" / "entry_points.txt").write_text("[zoo.plugins]\nodd = zoo_odd:plugin\n")
    site.add("zoo-ring", GOOD, model=MODEL)
    assert [info.status for info in discover(site).plugins] == ["ok", "ok"]


@pytest.mark.parametrize("value", ["", "zoo-flow", "zoo_flow:", "zoo_flow:Plugin()"])
def test_an_entry_point_that_names_no_module_is_said(site, value):
    site.add("zoo-flow", "")
    (site.folder / "zoo_flow-1.0.dist-info" / "entry_points.txt").write_text(f"[zoo.plugins]\nflow = {value}\n")
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)
    assert state(manager, "zoo-flow").problem == f"its entry point names {value!r}, which is not a module"
    assert list(manager.architectures) == ["ring"]


def test_of_two_entry_points_with_one_name_in_one_distribution_the_first_is_used(site):
    site.add("zoo-flow", registers("first"))
    (site.folder / "other.py").write_text(registers("second"))
    metadata = site.folder / "zoo_flow-1.0.dist-info" / "entry_points.txt"
    metadata.write_text("[zoo.plugins]\nflow = zoo_flow\nflow = other\n")
    manager = PluginManager(importlib.metadata.Distribution.at(metadata.parent).entry_points, disabled=(), owners={})
    assert list(manager.architectures) == ["first"]
    assert manager.commands(reserved=()).accepted == {}
    assert manager.problems == [
        "plugin flow of zoo-flow is left out: its distribution has another entry point of that name"
    ]


def test_a_distribution_without_metadata_costs_no_other_plugin(site):
    site.add("zoo-flow", registers("flow"))
    site.add("zoo-ring", GOOD, model=MODEL)
    (site.folder / "zoo_flow-1.0.dist-info" / "METADATA").unlink()
    manager = PluginManager(disabled=())
    assert manager.owner("ring").distribution == "zoo-ring"
    assert (manager.owner("flow").distribution, manager.owner("flow").version) == ("unknown", "unknown")


@pytest.mark.parametrize("group", ["zoo.plugins", "console_scripts"])
def test_a_list_of_entry_points_that_cannot_be_read_costs_no_other_plugin(site, group):
    site.add("zoo-flow", registers("flow"))
    site.add("zoo-ring", GOOD, model=MODEL)
    (site.folder / "zoo_flow-1.0.dist-info" / "entry_points.txt").write_text(f"[{group}]\nflow zoo_flow\n")
    manager = PluginManager(disabled=())
    assert manager.owner("ring").distribution == "zoo-ring"
    assert "flow" not in manager.architectures
    said = [
        problem for problem in manager.problems if "of zoo-flow is left out: its entry_points.txt cannot" in problem
    ]
    assert len(said) == (1 if group == "zoo.plugins" else 0)


def test_a_name_of_the_cores_index_is_never_stolen(site):
    site.add("zoo-thief", registers("flow", "honest"))
    site.add("zoo-flow", registers("flow"))
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site, owners={"flow": "zoo_flow"})
    assert state(manager, "zoo-thief").problem == "the architecture 'flow' belongs to zoo_flow"
    assert manager.owner("flow").distribution == "zoo-flow"
    assert sorted(manager.architectures) == ["flow", "ring"]


def test_a_stolen_name_stays_free_even_where_its_owner_is_not_installed(site):
    site.add("zoo-thief", registers("dcgan"))
    assert PluginManager(site.entry_points().values(), disabled=()).architectures == {}


def test_of_two_plugins_with_one_name_neither_is_used_until_one_is_disabled(site):
    site.add("zoo-one", registers("flow_model"))
    site.add("zoo-two", registers("flow-model"))
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)
    assert list(manager.architectures) == ["ring"]
    for distribution in ("zoo-one", "zoo-two"):
        problem = state(manager, distribution).problem
        assert "one of zoo-one and two of zoo-two" in problem
        assert "ZOO_DISABLE_PLUGINS" in problem
    with pytest.raises(UnknownArchitectureError, match=r"zoo-one, which is left out: .*two of zoo-two"):
        manager.architecture("flow-model")
    assert discover(site, disabled=["zoo-two"]).owner("flow-model").distribution == "zoo-one"


def test_of_three_plugins_with_one_name_none_is_used(site):
    for distribution in ("zoo-one", "zoo-two", "zoo-three"):
        site.add(distribution, registers("flow"))
    manager = discover(site)
    assert manager.architectures == {}
    assert {info.problem for info in manager.plugins} == {
        "the architecture 'flow' is registered by one of zoo-one and three of zoo-three and two of zoo-two: "
        "all are ignored; disable one with ZOO_DISABLE_PLUGINS"
    }


def test_an_architecture_may_be_of_a_class_of_the_plugins_own(site):
    own = ARCHITECTURE.format(name="flow").replace("Architecture", "Own")
    hook = f"@hookimpl\ndef zoo_architectures():\n    return [{own}]\n"
    site.add("zoo-one", f"{IMPORTS}class Own(Architecture):\n    pass\n{hook}")
    assert discover(site).architecture("flow").name == "flow"


def test_names_compare_without_regard_to_hyphen_and_underscore(site):
    site.add("zoo-one", registers("flow_model"))
    assert discover(site).architecture("flow-model").name == "flow_model"


def test_an_unknown_architecture_suggests_close_ones(site):
    site.add("zoo-ring", GOOD, model=MODEL)
    with pytest.raises(
        UnknownArchitectureError, match="'rinng' is not provided by any installed plugin; did you mean ring"
    ):
        discover(site).architecture("rinng")


def test_an_architecture_of_the_index_says_what_to_install(site):
    with pytest.raises(UnknownArchitectureError, match="'dcgan' needs a plugin: pip install zoo-dcgan") as caught:
        discover(site, owners={"dcgan": "zoo-dcgan"}).architecture("dcgan")
    assert caught.value.plugin == "zoo-dcgan"


def test_an_architecture_of_a_broken_plugin_says_why_it_is_not_there(site):
    site.add("zoo-flow", "raise RuntimeError('no luck')")
    with pytest.raises(UnknownArchitectureError, match="zoo-flow, which is left out: RuntimeError: no luck"):
        discover(site, owners={"flow": "zoo-flow"}).architecture("flow")


def test_an_architecture_that_an_old_version_of_its_plugin_lacks_asks_for_an_upgrade(site):
    site.add("zoo-ring", GOOD, model=MODEL)
    with pytest.raises(UnknownArchitectureError, match=r"not in zoo-ring 1\.0: pip install --upgrade zoo-ring"):
        discover(site, owners={"sphere": "zoo-ring"}).architecture("sphere")


def test_the_architecture_of_a_class_is_found_by_its_import_string(site):
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)
    architecture, info = manager.architecture_of(manager.architecture("ring").generator_class())
    assert (architecture.name, info.distribution) == ("ring", "zoo-ring")


def test_the_architecture_of_a_class_is_found_through_a_re_export_past_a_broken_one(site):
    listed = """[
        Architecture(name="broken", summary="", config="zoo_ring.none:C", generator="zoo_ring.none:G"),
        Architecture(name="ring", summary="", config="zoo_ring.model:RingConfig", generator="zoo_ring.public:Ring"),
    ]"""
    hooks = f"{IMPORTS}@hookimpl\ndef zoo_architectures():\n    return {listed}\n"
    site.add("zoo-ring", hooks, model=MODEL, public="from zoo_ring.model import Ring")
    manager = discover(site)
    generator_class = manager.architecture("ring").generator_class()
    assert generator_class.__module__ == "zoo_ring.model"
    assert manager.architecture_of(generator_class)[0].name == "ring"


def test_looking_a_class_up_imports_no_other_package(site):
    site.add("zoo-flow", registers("flow").replace("m:G", "zoo_flow.model:G"), model="raise SystemExit('imported')")
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)

    class Other(manager.architecture("ring").generator_class()):
        pass

    with pytest.raises(PluginError):
        manager.architecture_of(Other)
    assert "zoo_flow.model" not in sys.modules


def test_an_unregistered_class_says_how_to_register_it(site):
    site.add("zoo-ring", GOOD, model=MODEL)
    manager = discover(site)

    class Other(manager.architecture("ring").generator_class()):
        pass

    with pytest.raises(PluginError, match=r"Other is registered by no installed plugin.*zoo_architectures"):
        manager.architecture_of(Other)


COMMAND = """
    import click
    from zoo_core import hookimpl

    @hookimpl
    def zoo_commands(cli):
        @cli.command("{name}")
        def command():
            "Say hello."
            click.echo("hello from {name}")
"""


def test_commands_are_taken_in_and_collisions_refused(site):
    site.add("zoo-one", COMMAND.format(name="hello"))
    site.add("zoo-two", COMMAND.format(name="sample"))
    site.add("zoo-three", COMMAND.format(name="twice"))
    site.add("zoo-four", COMMAND.format(name="twice"))
    site.add("zoo-five", f"{IMPORTS}@hookimpl\ndef zoo_commands(cli):\n    raise ValueError('no')")
    manager = discover(site)
    commands = manager.commands(reserved={"sample", "list"})
    assert list(commands.accepted) == ["hello"]
    assert isinstance(commands.accepted["hello"], click.Command)
    assert commands.by_plugin == {"zoo-one:one": ("hello",)}
    problems = {line: [info.distribution for info in plugins] for line, plugins in commands.problems.items()}
    assert problems == {
        "commands of plugin five: ValueError: no": ["zoo-five"],
        "command sample of plugin two is refused: zoo has it": ["zoo-two"],
        "command twice is offered by plugins four and three: both are ignored; disable one with ZOO_DISABLE_PLUGINS": [
            "zoo-four",
            "zoo-three",
        ],
    }
    assert commands.problems_of(state(manager, "zoo-two")) == ["command sample of plugin two is refused: zoo has it"]
    assert commands.problems_of(state(manager, "zoo-one")) == []


@pytest.mark.parametrize("statement", ["cli.commands['noise'] = 3", "cli.commands = None", "import sys; sys.exit()"])
def test_commands_that_are_none_are_refused_and_what_is_printed_stays_off_stdout(site, capsys, statement):
    site.add("zoo-broken", f"{IMPORTS}@hookimpl\ndef zoo_commands(cli):\n    print('noise')\n    {statement}")
    site.add("zoo-one", COMMAND.format(name="hello"))
    manager = discover(site)
    commands = manager.commands(reserved=())
    assert list(commands.accepted) == ["hello"]
    (problem,) = commands.problems
    assert problem.startswith("commands of plugin broken: ")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "noise\n")


def test_asking_for_commands_changes_nothing_in_the_manager(site):
    site.add("zoo-two", COMMAND.format(name="sample"))
    manager = discover(site)
    first, second = manager.commands(reserved={"sample"}), manager.commands(reserved={"sample"})
    assert first.accepted == second.accepted == {}
    assert list(first.problems) == list(second.problems) == ["command sample of plugin two is refused: zoo has it"]
    assert manager.problems == []


def test_the_list_as_json_gives_each_plugin_its_commands_and_problems(site, zoo):
    for distribution, name in (
        ("zoo-one", "hello"),
        ("zoo-two", "sample"),
        ("zoo-three", "twice"),
        ("zoo-four", "twice"),
    ):
        site.add(distribution, COMMAND.format(name=name))
    found = {
        one["entry_point"]: one for one in json.loads(zoo("plugins", "list", "--json", env=site.environment()).stdout)
    }
    assert {name: found[name]["commands"] for name in ("one", "two", "three")} == {
        "one": ["hello"],
        "two": [],
        "three": [],
    }
    assert found["one"]["problems"] == []
    assert found["two"]["problems"] == ["command sample of plugin two is refused: zoo has it"]
    assert found["three"]["problems"] == found["four"]["problems"] != []


def test_nothing_that_a_plugin_does_breaks_the_list_or_its_json(site, zoo):
    for number, (source, _) in enumerate(BROKEN.values()):
        site.add(f"zoo-broken{number}", "print('noise')\n" + textwrap.dedent(source) if source != "def" else source)
    listed = zoo("list", "--json", env=site.environment())
    assert listed.returncode == 0
    assert {"dcgan-mnist", "vae-mnist"} <= {entry["name"] for entry in json.loads(listed.stdout)}
    reasons = listed.stderr.splitlines()
    assert sum("is left out" in line for line in reasons) == len(BROKEN)
    plugins = zoo("plugins", "list", env=site.environment())
    assert plugins.returncode == 0
    assert plugins.stdout.count("left out") >= len(BROKEN)
    assert "Traceback" not in plugins.stdout + plugins.stderr
    assert "Traceback" in zoo("plugins", "list", "--verbose", env=site.environment()).stdout


def test_a_plugins_command_appears_in_the_help_and_runs(site, zoo):
    site.add("zoo-one", COMMAND.format(name="hello"))
    assert "Say hello." in zoo("--help", env=site.environment()).stdout
    assert zoo("hello", env=site.environment()).stdout == "hello from hello\n"


def test_points_in_the_plane_are_saved_loaded_and_sampled(site, zoo, tmp_path):
    """A plugin of tensors, not pictures, from the contract alone."""
    site.add("zoo-ring", GOOD, model=MODEL)
    save = "from zoo_ring.model import *; Ring(RingConfig(radius=2.0)).save('ring')"
    forkserver.run("-c", save, cwd=tmp_path, env=site.environment(), check=True)
    done = zoo("sample", "./ring", "-n", "10", "-o", "points.npz", env=site.environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "points.npz\n", "")
    points = np.load(tmp_path / "points.npz")["arr_0"]
    assert (points.shape, points.dtype) == ((10, 2), np.float32)
    assert np.allclose(np.linalg.norm(points, axis=1), 2.0)
    refused = zoo("sample", "./ring", "-o", "points.png", env=site.environment())
    assert refused.returncode == 1
    problem = "zoo: points.png cannot be written: this model makes tensors; use a name in .npz (an array), in .npy"
    assert refused.stderr.startswith(problem)
