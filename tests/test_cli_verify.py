"""`zoo verify`: what is right is a line, and one changed byte or figure is an exit code of 1."""

import re
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import zoo_core as zoo
from tests.builtin import architecture, bundled_here, every_bundled_model, every_model_of_digits
from zoo_core import catalog
from zoo_core.cli import main
from zoo_core.errors import ModelFolderError, VerificationError
from zoo_core.files.digests import file_sha256
from zoo_core.hub.cards import figures_of, model_index
from zoo_core.metrics import evaluate
from zoo_core.metrics.golden import check_golden, write_golden
from zoo_core.modelfolder import GOLDEN
from zoo_core.modelfolder.card import model_card
from zoo_core.plugins import manager

MNIST = Path(__file__).parent / "data" / "mnist"
CARD = "---\nlibrary_name: zoo-core\n---\n\n# mine\n"


def card_with(metrics):
    head = yaml.safe_dump({"model-index": model_index("mine", metrics, "mnist")})
    return CARD.replace("---\n\n", f"{head}---\n\n")


def run(*arguments):
    catalog.registry.cache_clear()
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def fails(result, *parts):
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("zoo: ")]
    for part in parts:
        assert part in line


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small model with a card, golden samples, figures, and a registry that states all of it."""
    folder = tmp_path_factory.mktemp("registry")
    torch.manual_seed(0)
    gan = architecture("vanilla_gan")
    config = gan.config_class()(size=28, latent_size=4, generator_widths=(8,), discriminator_widths=(8,))
    generator = gan.generator_class()(config).eval()
    model = generator.save(folder / "mine")
    write_golden(generator, model)
    figures = evaluate(generator, MNIST, metrics=["fid", "kid"], n=100, repeats=2)
    metrics = {figure.metric: figure.to_metric() for figure in figures}
    (model / "README.md").write_text(card_with(metrics))
    return folder, metrics


def enter(folder, metrics):
    """registry.yaml, with the digests of the files as they are now."""
    files = {
        path.name: {"sha256": file_sha256(path), "size": path.stat().st_size} for path in (folder / "mine").iterdir()
    }
    entry = {
        "dataset": "mnist", "architecture": "vanilla_gan", "bundled": "mine", "files": files, "metrics": msgspec.to_builtins(metrics),
    }  # fmt: skip
    (folder / "registry.yaml").write_text(yaml.safe_dump({"version": 1, "models": {"mine": entry}}))


@pytest.fixture
def mine(measured, tmp_path, monkeypatch):
    """A copy of it, known to this process as `mine`."""
    source, metrics = measured
    shutil.copytree(source / "mine", tmp_path / "mine")
    enter(tmp_path, metrics)
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "registry.yaml"))
    yield tmp_path
    catalog.registry.cache_clear()


def test_a_model_that_is_what_it_should_be_is_one_line(mine):
    result = run("mine")
    assert (result.exit_code, result.stdout) == (0, "mine  4 files, loads, 16 golden samples, 3 figures\n"), (
        result.stderr
    )


def test_its_figures_are_measured_again(mine):
    result = run("mine", "--metrics", "--data", MNIST)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "mine  4 files, loads, 16 golden samples, 3 figures, 3 measured again\n"


def test_data_is_named_by_its_data_set(mine):
    assert (
        "3 measured again" in run("mine", "--metrics", "--data", f"mnist={MNIST}", "--data", "emoji=./nowhere").stdout
    )
    assert "3 measured again" in run("mine", "--metrics", "--data", "emoji=./nowhere", "--data", MNIST).stdout
    fails(
        run("mine", "--metrics", "--data", f"emoji={MNIST}"),
        "its figures were measured on mnist; use --data mnist=PATH",
    )


@pytest.mark.parametrize("file", ["README.md", "config.json", "model.safetensors", GOLDEN])
def test_one_changed_byte_of_any_file_is_found(file, mine):
    content = bytearray((mine / "mine" / file).read_bytes())
    content[-2] ^= 1
    (mine / "mine" / file).write_bytes(content)
    fails(run("mine"), file, "sha256 is")


def test_a_figure_that_was_changed_in_the_registry_is_found_without_measuring(mine):
    registry = mine / "registry.yaml"
    text = registry.read_text()
    (value,) = re.findall(r"fid:\n.*?value: ([\d.]+)", text, re.DOTALL)
    digit = "2" if value[-1] != "2" else "3"
    registry.write_text(text.replace(f"value: {value}", f"value: {value[:-1]}{digit}"))
    fails(run("mine"), f"the registry states {value[:-1]}{digit} for fid, and its card {value}")


def test_a_figure_that_is_missing_in_the_card_is_found(mine, measured):
    (mine / "mine" / "README.md").write_text(CARD)
    enter(mine, measured[1])
    fails(run("mine"), "and its card nothing")


def test_a_figure_that_was_changed_everywhere_is_found_by_measuring(mine, measured):
    fid = measured[1]["fid"]
    metrics = measured[1] | {"fid": msgspec.structs.replace(fid, value=fid.value - 2 * fid.error)}
    (mine / "mine" / "README.md").write_text(card_with(metrics))
    enter(mine, metrics)
    assert run("mine").exit_code == 0
    fails(run("mine", "--metrics", "--data", MNIST), "mine: fid is", "is stated: a difference of +")


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("fid", {"samples": None}, "does not state its split, samples and seed"),
        ("fid", {"version": 7}, "another version: 7 is stated, and this is 1"),
        ("sharpness", {}, "sharpness is not a figure that this version measures"),
    ],
)
def test_a_figure_that_cannot_be_measured_again_is_said(name, fields, reason, mine, measured):
    metrics = {name: msgspec.structs.replace(measured[1]["fid"], **fields)}
    (mine / "mine" / "README.md").write_text(card_with(metrics))
    enter(mine, metrics)
    fails(run("mine", "--metrics", "--data", MNIST), reason)


def test_figures_of_other_data_are_not_taken_for_the_stated_ones(mine, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(MNIST / "test-00000-of-00001.parquet", tmp_path / "data" / "train-00000-of-00001.parquet")
    fails(run("mine", "--metrics", "--data", tmp_path / "data"), "was measured with another fingerprint")


def test_a_golden_sample_that_is_not_made_again_is_found(mine, measured):
    file = mine / "mine" / GOLDEN
    samples = load_file(file)["samples"]
    samples[3, 0, 5, 5] = (samples[3, 0, 5, 5].int() + 17) % 256
    save_file({"samples": samples}, file)
    enter(mine, measured[1])
    fails(run("mine"), "1 of 16 golden samples could not be reproduced: sample 3 of seed 0 differs by", "1 is allowed")


def test_one_step_of_rounding_is_allowed(mine):
    generator, file = zoo.load(mine / "mine", device="cpu"), mine / "mine" / GOLDEN
    samples = load_file(file)["samples"].int()
    save_file({"samples": (samples + torch.where(samples > 127, -1, 1)).byte()}, file)
    assert check_golden(generator, mine / "mine") == 16
    save_file({"samples": (samples + torch.where(samples > 127, -2, 2)).byte()}, file)
    with pytest.raises(VerificationError, match="differs by 2 8-bit steps"):
        check_golden(generator, mine / "mine")


@pytest.mark.parametrize("tensors", [{"other": torch.zeros(2)}, {"samples": torch.zeros(2, 1, 28, 28)}])
def test_a_golden_file_of_something_else_is_said(tensors, mine):
    save_file(tensors, mine / "mine" / GOLDEN)
    with pytest.raises(VerificationError, match=r"golden\.safetensors holds"):
        check_golden(zoo.load(mine / "mine", device="cpu"), mine / "mine")


def test_a_folder_without_golden_samples_has_none(mine):
    (mine / "mine" / GOLDEN).unlink()
    assert check_golden(zoo.load(mine / "mine", device="cpu"), mine / "mine") == 0


def test_all_go_on_after_one_that_fails(mine):
    (mine / "mine" / "config.json").write_text("{}")
    result = run("--all")
    assert result.exit_code == 1
    assert "mine/config.json" in result.stderr
    named = [line.split()[0] for line in result.stdout.splitlines()]
    assert named == bundled_here()


@pytest.mark.parametrize("name", every_bundled_model)
def test_every_bundled_model_has_golden_samples(name):
    assert GOLDEN in zoo.registry()[name].files


@pytest.mark.parametrize("name", every_model_of_digits)
def test_every_model_of_digits_has_figures(name):
    entry = zoo.registry()[name]
    assert {"fid", "kid", "precision", "recall", "density", "coverage"} <= entry.metrics.keys()
    assert all(metric.fingerprint and metric.error is not None for metric in entry.metrics.values())


@pytest.mark.parametrize(
    "arguments",
    [[], ["mine", "--all"], ["mine", "--metrics"], ["mine", "--data", "x"]],
)
def test_wrong_usage_is_2(arguments):
    assert run(*arguments).exit_code == 2


def test_a_folder_has_no_registry_that_states_anything(mine):
    fails(run(mine / "mine"), "no registry states what it should be")


# The card


def test_a_card_states_figures_that_a_program_and_a_person_read(measured):
    folder, metrics = measured
    index = model_index("mine", metrics, "mnist")
    generator, architecture = zoo.load(folder / "mine"), manager().architecture("vanilla_gan")
    card = model_card(generator, architecture, name="mine", metrics=metrics, model_index=index)
    assert figures_of(card, Path("README.md")) == {name: metric.value for name, metric in metrics.items()}
    assert f"| fid | {metrics['fid'].value:g} ± {metrics['fid'].error:.2g} | " in card
    assert "| digits version 1 |" in card
    assert "fid (digits version 1)" in card
    without = model_card(generator, architecture, name="mine")
    assert figures_of(without, Path("README.md")) == {}


@pytest.mark.parametrize("index", ["3", "[3]", "[{results: [{}]}]", "[{results: [{metrics: [{type: a, value: b}]}]}]"])
def test_a_model_index_that_is_none_is_said(index):
    with pytest.raises(ModelFolderError, match=r"README\.md: has a model-index that is not in the Hub's form"):
        figures_of(f"---\nmodel-index: {index}\n---\n", Path("README.md"))
