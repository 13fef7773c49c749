"""Classes by name: from the names of the training data to `--label flags`."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core.cli import main
from zoo_core.cli.completion import ClassName
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, SamplingError
from zoo_core.kinds.pictures import to_uint8
from zoo_core.sampling.classes import find_class, find_classes, numbered
from zoo_core.sampling.latent_space import interpolate, traverse

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


def test_a_name_in_its_own_case_comes_before_one_in_another():
    assert [find_class(name, ["Cat", "cat", "CAT"]) for name in ("cat", "CAT", "Cat")] == [1, 2, 0]


def test_a_number_is_a_label_unless_it_could_be_a_name_too():
    assert find_class("1", ["one", "two"]) == 1
    assert find_class("02", ["01", "02", "03"]) == 1
    assert find_class("1", ["class 0", "class 1"]) == 1
    assert find_class("5", ["a", "b", "seat 5"]) == 2  # there is no label 5


def test_with_many_classes_the_close_names_are_told():
    names = [f"{kind} of {what}" for kind in ("king", "queen", "jack") for what in "abcdefghijklmnopqrst"]
    with pytest.raises(SamplingError, match=r"'kind of a' is not a class of this model; did you mean king of a"):
        find_class("kind of a", names)
    with pytest.raises(SamplingError, match=r"use one of the 60 classes that zoo info lists$"):
        find_class("zzz", names)


@pytest.mark.parametrize(
    ("words", "names", "count", "labels"),
    [
        ("cat,dog", ["bird", "cat", "dog"], 3, [1, 2]),
        ("Dog, cat", ["bird", "cat", "dog"], 3, [2, 1]),
        ("0-9", [], 10, list(range(10))),
        ("0-2,7, 5", [], 10, [0, 1, 2, 7, 5]),
        ("1-3", ["1", "2", "3"], 3, [0, 1, 2]),
        ("10 - 30", ["10", "20", "30"], 3, [0, 1, 2]),
        ("salt, pepper", ["salt", "pepper", "salt, pepper"], 3, [2]),
        ("salt, pepper,salt", ["salt", "pepper", "salt, pepper"], 3, [2, 0]),
        ("lt, pep,sugar", ["sugar", "salt, pepper"], 2, [1, 0]),
        ("0-9", ["a", "0-9"], 2, [1]),
        ("t-shirt", ["t-shirt", "coat"], 2, [0]),
    ],
)
def test_several_classes_are_a_list_with_ranges(words, names, count, labels):
    assert find_classes(words, names, count) == labels


@pytest.mark.parametrize(
    ("words", "names", "count", "message"),
    [
        ("cat,,dog", ["cat", "dog"], 2, "'cat,,dog': a class is missing"),
        ("cat,", ["cat", "dog"], 2, "a class is missing"),
        ("", ["cat", "dog"], 2, "label a class is missing; use one of 0 cat, 1 dog"),
        ("cat,bird", ["cat", "dog"], 2, "'bird' is not a class of this model"),
        ("9-0", [], 10, "'9-0' ends before it begins; use 0-9"),
        ("0-10", [], 10, "'0-10': labels must be from 0 to 9"),
        ("0-99999999999999999999999", [], 10, "labels must be from 0 to 9"),
        ("0-9", ["a", "ages 0-9"], 2, "'0-9' could be the classes 0 to 9 or ages 0-9"),
        ("3", ["cat", "dog"], 2, "'3': labels must be from 0 to 1: 0 cat, 1 dog"),
        ("1-2", ["01", "02", "03"], 3, "'1' could be 01"),
        ("3.7", [], 10, "'3.7' must be a number"),
        ("nan", [], 10, "'nan' must be a number"),
    ],
)
def test_a_list_that_is_wrong_is_told(words, names, count, message):
    with pytest.raises(SamplingError, match=message):
        find_classes(words, names, count)


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
        ("1", ["01", "02", "03"], r"'1' could be 01 \(label 0\) or 02 \(label 1\); use one of 0 01, 1 02"),
        ("9", ["a", "seat 9 b", "9c"], r"could be seat 9 b \(label 1\) or 9c \(label 2\)"),
        ("CAT", ["Cat", "cat", "dog"], r"could be Cat \(label 0\) or cat \(label 1\)"),
        ("ca", ["Cat", "catfish"], "could be Cat or catfish"),
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


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["flags"], [1] * 5),
        (["flags", "drink"], [1, 2, 1, 2, 1]),
        (("Flags", 0), [1, 0, 1, 0, 1]),
        ([0, 1, 2, 2, 1], [0, 1, 2, 2, 1]),
        (range(3), [0, 1, 2, 0, 1]),
        (np.array([2, 0, 1, 1, 0], dtype=np.uint8), [2, 0, 1, 1, 0]),
        (torch.tensor([2, 0, 1, 1, 0], dtype=torch.int32), [2, 0, 1, 1, 0]),
        (np.int64(2), [2] * 5),
        (torch.tensor(2), [2] * 5),
    ],
)
def test_labels_are_one_several_or_one_for_each(labels, expected):
    _, generator = conditional_dcgan()
    given = generator.sample(5, labels=labels)
    assert torch.equal(given, generator.sample(5, labels=torch.tensor(expected)))


def test_classes_take_turns_by_the_index_of_a_sample():
    _, generator = conditional_dcgan()
    whole = generator.sample(7, labels=["flags", "drink", "animals"])
    assert torch.equal(generator.sample(2, start=5, labels=["flags", "drink", "animals"]), whole[5:])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3.7, "labels must be numbers or names of classes, not 3.7"),
        (1.0, "not 1.0"),
        (float("nan"), "not nan"),
        (True, "not True"),
        (b"flags", "not b'flags'"),
        ({"flags"}, "not {'flags'}"),
        ([1, None], "not None"),
        ([1, 0.5], "not 0.5"),
        ([[0], [1]], r"not \[0\]"),
        ([], "labels is an empty list"),
        ("3.7", "'3.7' is not a class of this model"),
        (["flags", "people"], "'people' is not a class of this model"),
        (torch.tensor([1.0, 0.0]), "labels must be whole numbers, not of type float32"),
        (torch.tensor([True, False]), "not of type bool"),
        (np.array([1.5, 0.0]), "not of type float64"),
        (np.array(["flags", "flags"]), "labels must be whole numbers, not of type <U5; give names as a list"),
        (torch.tensor([[0, 1]]), r"labels must be one class or 2 of them, not of shape \(1, 2\)"),
        ([0, 3], "labels must be from 0 to 2"),
        ([0, -1], "labels must be from 0 to 2"),
    ],
)
def test_what_is_no_label_is_told_in_one_line(labels, message):
    _, generator = conditional_dcgan()
    with pytest.raises(SamplingError, match=message) as raised:
        generator.sample(2, labels=labels)
    assert "\n" not in str(raised.value)


def test_walks_and_reconstructions_take_several_classes_and_a_traversal_one():
    _, generator = conditional_dcgan()
    walk = list(interpolate(generator, walks=2, through=2, frames=1, label=["flags", "drink"]))
    assert torch.equal(walk[0], generator.sample(2, labels=["flags", "drink"]))
    with pytest.raises(SamplingError, match="a traversal varies one sample: it takes one class, not 2"):
        traverse(generator, generator.latents(0, 0, 1)[0], label=[0, 1])


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
    data = open_images(EMOJI).decode((3, 16, 16))
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
    assert run("sample", "./mine", "-n", 4, "--label", "flags,2", "--label", 0, "-o", "several.npz").exit_code == 0
    expected = to_uint8(zoo.load("./mine", device="cpu").sample(4, labels=[1, 2, 0]))
    with np.load("several.npz") as archive:
        assert np.array_equal(archive["arr_0"], expected)
    assert run("traverse", "./mine", "--label", "0-2", "-n", 2, "--steps", 3, "-o", "rows.png").exit_code == 0
    with Image.open("rows.png") as picture:
        assert picture.size == (3 * 18 + 2, 6 * 18 + 2)  # two rows of each of three classes
    for command in ("interpolate", "traverse"):
        assert run(command, "./mine", "--label", "flags", "-n", 1, "-o", f"{command}.png").exit_code == 0
    result = run("sample", "./mine", "--label", "people")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (
        "label 'people' is not a class of this model; use one of 0 Animals & Nature, 1 Flags, 2 Food & Drink"
        in result.stderr
    )


def test_a_shell_completes_the_classes_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conditional_dcgan()[1].save(tmp_path / "mine")
    context = click.Context(click.Command("sample"))
    context.params["name"] = "./mine"
    items = ClassName().shell_complete(context, click.Option(["--label"]), "food,")
    assert [item.value for item in items] == ["food,Animals", "food,Flags"]


@pytest.mark.plugins("zoo-dcgan")
def test_the_registry_knows_them_and_info_shows_them():
    assert zoo.registry()["dcgan-emoji-64"].class_names[2] == "Flags"
    assert "0 Activities, 1 Animals & Nature, 2 Flags" in run("info", "dcgan-emoji-64").stdout
    assert zoo.load("dcgan-emoji-64").class_names == zoo.registry()["dcgan-emoji-64"].class_names
