"""`zoo plugins check`: the static part of the contract on what is installed."""

import json

import pytest

from tests.test_cli import fails_in_one_line
from tests.test_testing_contract import MUTANTS, SOUND
from zoo_core.plugins import manager


def install(site, name, mutant):
    site.add(f"zoo-{name}", mutant.hooks(name), model=mutant.source())


@pytest.mark.plugins("zoo-dcgan", "zoo-vae", "zoo-vanilla-gan")
def test_the_built_in_plugins_keep_the_contract(zoo):
    result = zoo("plugins", "check", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert {(one["distribution"], one["architecture"]) for one in found} >= {
        ("zoo-dcgan", "dcgan"), ("zoo-dcgan", "cnn-gan"), ("zoo-vae", "vae"), ("zoo-vanilla-gan", "vanilla_gan"),
    }  # fmt: skip
    assert {one["state"] for one in found} == {"kept", "does not apply"}


def test_a_network_of_any_size_is_checked_without_its_memory(zoo, site):
    source = SOUND["sound_vae"].source().replace("nn.Linear(4, config.width)", "nn.Linear(4, 10**12)")
    site.add("zoo-huge", SOUND["sound_vae"].hooks("huge"), model=source.replace("config.width, 64", "10**12, 64"))
    result = zoo("plugins", "check", "huge", env=site.environment())
    assert (result.returncode, result.stdout.split()[:3]) == (0, ["huge", "huge", "ok"])


STATIC = {
    "no_docstring": "documentation",
    "imports_torch": "importing_the_plugin",
    "accepts_nonsense": "configuration_bounds",
    "option_without_bounds": "option_bounds",
    "changes_in_json": "configuration_json",
    "reads_values_when_built": "construction",
    "two_kinds": "kind_of_samples",
    "hard_coded_device": "devices",
    "wrong_sample_shape": "shapes",
    "column_of_logits": "discriminator_shape",
    "encodes_a_mean_alone": "encoder_shapes",
}


@pytest.mark.parametrize("name", STATIC)
def test_what_breaks_the_contract_is_told_and_the_exit_code_is_1(zoo, site, name):
    install(site, name, MUTANTS[name])
    result = zoo("plugins", "check", name, env=site.environment())
    assert (result.returncode, result.stderr) == (1, "")
    told = result.stdout.splitlines()
    assert [line.split()[:4] for line in told] == [[name, name, "broken", f"{STATIC[name]}:"]]
    assert MUTANTS[name].words in told[0]


def test_every_static_check_is_shown_to_fail():
    from zoo_core.testing.static import STATIC_CHECKS

    assert {check.__name__ for check in STATIC_CHECKS} == set(STATIC.values())


def test_one_plugin_that_is_left_out_fails_and_the_others_are_checked(zoo, site):
    site.add("zoo-broken", "raise RuntimeError(chr(27) + '[31mno luck')")
    result = zoo("plugins", "check", env=site.environment())
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["broken", "-", "broken"]
    assert lines[0].endswith("RuntimeError: [31mno luck")
    assert sum(" ok " in line for line in lines) == len(manager().architectures)


def test_a_disabled_plugin_breaks_nothing(zoo, site):
    install(site, "flow", MUTANTS["accepts_nonsense"])
    result = zoo("plugins", "check", "zoo-flow", env=site.environment(ZOO_DISABLE_PLUGINS="flow"))
    assert (result.returncode, result.stdout) == (0, "flow  -  disabled  excluded by ZOO_DISABLE_PLUGINS\n")


def test_what_a_class_prints_stays_off_stdout(zoo, site):
    source = "print('noise')\n" + SOUND["sound_vae"].source().lstrip("\n").replace("\n    ", "\n").removeprefix("    ")
    site.add("zoo-loud", SOUND["sound_vae"].hooks("loud"), model=source)
    result = zoo("plugins", "check", "loud", "--json", env=site.environment())
    assert result.returncode == 0
    assert json.loads(result.stdout)
    assert "noise" in result.stderr


def test_an_unknown_name_is_one_line(zoo):
    assert fails_in_one_line(
        zoo("plugins", "check", "nosuch"), "no installed plugin or architecture is called 'nosuch'"
    )
