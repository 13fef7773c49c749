"""Classes by name: from the names of the training data to `--label flags`."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core.cli import main
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, SamplingError
from zoo_core.sampling.classes import find_class, numbered

EMOJI = Path(__file__).parent / "data" / "emoji"
NAMES = ("Animals & Nature", "Flags", "Food & Drink")
SHAPE = (1, 16, 16)


def conditional_dcgan():
    """A small conditional generator whose classes have names, and its architecture."""
    gan = architecture("dcgan")
    config = gan.config_class()(size=16, channels=1, width=4, latent_size=4, conditional=True, num_classes=3)
    generator = gan.generator_class()(config)
    generator.class_names = NAMES
    return gan, generator.eval()


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


# Finding one


@pytest.mark.parametrize(
    ("words", "label"), [("Flags", 1), ("flags", 1), (" FLAGS ", 1), ("animals", 0), ("drink", 2), ("2", 2), ("7", 7)]
)
def test_a_class_is_its_name_a_part_that_no_other_has_or_its_number(words, label):
    assert find_class(words, NAMES) == label


def test_a_name_comes_before_a_number_and_before_a_part_of_another_name():
    assert find_class("1", ["3", "2", "1"]) == 2
    assert find_class("cat", ["cathedral", "cat"]) == 1


@given(st.lists(st.text(min_size=1).map(lambda name: name.strip().casefold()).filter(bool), min_size=1, unique=True))
def test_every_name_finds_its_own_label(names):
    assert [find_class(name, names) for name in names] == list(range(len(names)))


def test_names_are_shown_with_their_labels_unless_they_are_the_same():
    assert numbered(NAMES[:2]) == "0 Animals & Nature, 1 Flags"
    assert numbered([str(label) for label in range(10)]) == "0 to 9"
    assert (numbered(["0"]), numbered([])) == ("0 0", "")


@pytest.mark.parametrize(
    ("words", "names", "message"),
    [
        (
            "n",
            NAMES,
            "could be Animals & Nature or Food & Drink; use one of 0 Animals & Nature, 1 Flags, 2 Food & Drink",
        ),
        ("people", NAMES, "'people' is not a class of this model; use one of 0 Animals"),
        ("", NAMES, "'' is not a class of this model"),
        ("flags", (), "the model's classes have no names: label 'flags' must be a number"),
        ("x\x1b[2J", NAMES, r"'x\[2J' is not a class of this model"),
    ],
)
def test_what_is_no_class_is_told_with_those_that_there_are(words, names, message):
    with pytest.raises(SamplingError, match=message):
        find_class(words, names)


# A model's


def test_names_are_saved_and_loaded_with_the_model(tmp_path):
    _, generator = conditional_dcgan()
    again = zoo.load(generator.save(tmp_path / "model"))
    assert again.class_names == NAMES
    for label, name in enumerate(NAMES):
        assert torch.equal(again.sample(3, labels=name), again.sample(3, labels=label))
    for wrong in (3, -1, 10**30, "-1", str(10**30)):
        with pytest.raises(SamplingError, match="labels must be from 0 to 2: 0 Animals & Nature, 1 Flags"):
            again.sample(1, labels=wrong)


def test_a_model_without_names_says_nothing_of_them(tmp_path):
    _, generator = conditional_dcgan()
    generator.class_names = ()
    folder = generator.save(tmp_path / "model")
    assert "class_names" not in json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("names", [["one"], ["a", "b", "c", "d"]])
def test_as_many_names_as_classes_are_asked_for(names, tmp_path):
    _, generator = conditional_dcgan()
    folder = generator.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"class_names": names}))
    with pytest.raises(ModelFolderError, match=f"names {len(names)} classes, but the model has 3"):
        zoo.load(folder)
    generator.class_names = tuple(names)
    with pytest.raises(ModelFolderError, match="but the model has 3"):
        generator.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_data_brings_the_names_of_its_labels():
    data = open_images(EMOJI).decode(3, 16)
    assert (data.class_names[2], data.num_classes) == ("Flags", 9)


@pytest.mark.parametrize(("names", "kept"), [(NAMES, NAMES), ((), ()), (NAMES[:2], ())])
def test_training_takes_them_from_the_data(names, kept, tmp_path):
    gan, generator = conditional_dcgan()
    pictures, labels = torch.zeros(8, *SHAPE, dtype=torch.uint8), torch.arange(8) % 2
    data = TrainingData.from_tensors(pictures, labels, class_names=names)
    trainer = gan.trainer_class()(generator.config, zoo.GANSettings(steps=1, batch_size=4, sample_every=0), SHAPE)
    folder = trainer.fit(data, out=tmp_path / "run")
    assert zoo.load(folder).class_names == kept
    card = (folder / "README.md").read_text()
    assert ("0 Animals & Nature, 1 Flags, 2 Food & Drink" in card) == bool(kept)


# The command's


def test_a_class_is_drawn_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conditional_dcgan()[1].save(tmp_path / "mine")
    for label, out in (("flags", "by-name.npz"), (1, "by-number.npz"), (2, "other.npz")):
        assert run("sample", "./mine", "-n", 4, "--label", label, "-o", out).exit_code == 0
    by_name, by_number, other = ((tmp_path / f"{name}.npz").read_bytes() for name in ("by-name", "by-number", "other"))
    assert by_name == by_number != other
    for command in ("interpolate", "traverse"):
        assert run(command, "./mine", "--label", "flags", "-n", 1, "-o", f"{command}.png").exit_code == 0
    result = run("sample", "./mine", "--label", "people")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (
        "label 'people' is not a class of this model; use one of 0 Animals & Nature, 1 Flags, 2 Food & Drink"
        in result.stderr
    )


@pytest.mark.plugins("zoo-dcgan")
def test_the_registry_knows_them_and_info_shows_them():
    assert zoo.registry()["dcgan-emoji-64"].class_names[2] == "Flags"
    assert "0 Activities, 1 Animals & Nature, 2 Flags" in run("info", "dcgan-emoji-64").stdout
    assert zoo.load("dcgan-emoji-64").class_names == zoo.registry()["dcgan-emoji-64"].class_names
