"""Starting from a model: what a run takes of its parent, what it refuses, and how it names it."""

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo_core as zoo
from tests.builtin import architecture
from tests.forkserver import torchrun
from zoo_core import GANSettings, Parent
from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import ModelFolderError, TrainingError, UnknownModelError
from zoo_core.modelfolder.run_record import read_run_record
from zoo_core.training.loop import averaging, prepare
from zoo_core.training.parents import open_parent, start, with_classes_of
from zoo_core.training.stopped_runs import finish_stopped_run

SHAPE = (1, 16, 16)
STILL = {"learning_rate": 1e-30}  # a step that moves no weight


def pictures(count=32, labels=None, names=()):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=generator)
    return TrainingData.from_tensors(samples, labels, class_names=names)


def mlp(kind=None, latent_size=4, width=8, conditional=False, num_classes=3, **settings):
    gan = architecture("vanilla_gan")
    settings = {"steps": 1, "batch_size": 16, "sample_every": 0, "checkpoint_every": 0} | settings
    config = gan.config_class()(
        size=16, latent_size=latent_size, generator_widths=(width,), discriminator_widths=(8,),
        conditional=conditional, num_classes=num_classes,
    )  # fmt: skip
    return (kind or gan.trainer_class())(config, GANSettings(**settings), SHAPE)


def dcgan(**settings):
    gan = architecture("dcgan")
    settings = {"steps": 1, "batch_size": 16, "sample_every": 0, "checkpoint_every": 0} | settings
    config = gan.config_class()(size=16, channels=1, width=4, latent_size=4)
    return gan.trainer_class()(config, GANSettings(**settings), SHAPE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return mlp(steps=3, seed=7).fit(pictures(), out=tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def parent(finished, tmp_path):
    """A model of the test's own."""
    return shutil.copytree(finished, tmp_path / "parent")


def weights(folder, file="model"):
    return load_file(folder / f"{file}.safetensors")


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def change(folder, file, edit):
    tensors = edit(weights(folder, file))
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / f"{file}.safetensors")


# What is taken


def test_generator_discriminator_and_average_start_from_the_parent(parent, tmp_path, capfd):
    run = mlp(**STILL).fit(pictures(), out=tmp_path / "run", start_from=parent)
    assert_same(weights(run), weights(parent))
    assert_same(weights(run, "discriminator"), weights(parent, "discriminator"))
    assert capfd.readouterr().err.count("starts from parent (sha256 ") == 1


def test_statistics_of_batchnorm_are_taken_with_their_count(tmp_path):
    parent = dcgan(steps=3, seed=7).fit(pictures(), out=tmp_path / "parent")
    trainer = dcgan()
    prepare(trainer)
    start(trainer, open_parent(parent), architecture("dcgan"))
    assert_same(trainer.modules["generator"].state_dict(), weights(parent))
    assert_same(trainer.modules["discriminator"].state_dict(), weights(parent, "discriminator"))
    assert_same(averaging(trainer).module.state_dict(), weights(parent))
    assert trainer.modules["generator"].training
    assert all(parameter.requires_grad for parameter in trainer.modules["generator"].parameters())


def test_a_model_that_encodes_starts_with_its_encoder(tmp_path):
    vae = architecture("vae")
    trainer_class, config = vae.trainer_class(), vae.config_class()(size=16, latent_size=4, widths=(8,))

    def run(**settings):
        return trainer_class(config, trainer_class.Settings(steps=1, batch_size=16, sample_every=0, **settings), SHAPE)

    parent = run(seed=7).fit(pictures(), out=tmp_path / "parent")
    assert_same(weights(run(**STILL).fit(pictures(), out=tmp_path / "run", start_from=parent)), weights(parent))


def test_half_precision_is_widened(parent, tmp_path):
    change(parent, "model", lambda tensors: {name: value.half() for name, value in tensors.items()})
    ours = weights(mlp(**STILL).fit(pictures(), out=tmp_path / "run", start_from=parent))
    assert {value.dtype for value in ours.values()} == {torch.float32}
    assert_same(ours, {name: value.float() for name, value in weights(parent).items()})


def test_without_a_discriminator_it_starts_anew_by_the_seed_and_a_line_says_so(parent, tmp_path, capfd):
    (parent / "discriminator.safetensors").unlink()
    runs = [mlp(**STILL).fit(pictures(), out=tmp_path / name, start_from=parent) for name in ("a", "b")]
    assert "parent has no discriminator.safetensors: the discriminator starts anew" in capfd.readouterr().err
    fresh = mlp(**STILL).fit(pictures(), out=tmp_path / "fresh")
    for run in runs:
        assert_same(weights(run, "discriminator"), weights(fresh, "discriminator"))
        assert_same(weights(run), weights(parent))


def test_a_discriminator_with_spectral_norm_takes_the_plain_weights_and_knows_their_norm(parent, tmp_path):
    trainer = mlp(spectral_norm=True)
    prepare(trainer)
    start(trainer, open_parent(parent), architecture("vanilla_gan"))
    judge, stored = trainer.modules["discriminator"].eval(), weights(parent, "discriminator")
    taken = {
        name.replace(".parametrizations.weight.original", ".weight"): value
        for name, value in judge.state_dict().items()
    }
    for name, value in stored.items():
        assert torch.equal(taken[name], value)
    for layer in judge.modules():
        if isinstance(layer, torch.nn.Linear):
            assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, rel=0.05)


def test_a_trainer_is_told_once_its_networks_have_taken_the_weights(parent, tmp_path):
    seen = []

    class Copying(architecture("vanilla_gan").trainer_class()):
        def started_from(self, parent):
            assert_same(self.modules["generator"].state_dict(), weights(parent.folder))
            seen.append(parent.name)

    mlp(Copying).fit(pictures(), out=tmp_path / "run", start_from=parent)
    mlp(Copying).fit(pictures(), out=tmp_path / "other")
    assert seen == ["parent"]


# What does not fit


def test_what_does_not_fit_is_listed_and_refused_before_anything_is_written(parent, tmp_path):
    def edit(tensors):
        name = next(iter(tensors))
        return {key: value for key, value in tensors.items() if key != name} | {"extra": torch.zeros(2)}

    missing = next(iter(weights(parent)))
    change(parent, "model", edit)
    with pytest.raises(TrainingError) as raised:
        mlp(latent_size=4, width=8).fit(pictures(), out=tmp_path / "run", start_from=parent)
    assert f"the generator of parent does not fit: missing {missing}; unexpected extra; --from-matching" in str(
        raised.value
    )
    assert not (tmp_path / "run").exists()


def test_misshapen_tensors_are_listed_with_both_shapes(parent, tmp_path):
    with pytest.raises(TrainingError, match=r"misshapen .*\(F32 \[8, 4\], not F32 \[8, 6\]\)"):
        mlp(latent_size=6).fit(pictures(), out=tmp_path / "run", start_from=parent)


def test_a_discriminator_that_does_not_fit_is_refused_too(parent, tmp_path):
    change(parent, "discriminator", lambda tensors: {"other": torch.zeros(1)})
    with pytest.raises(TrainingError, match="the discriminator of parent does not fit: missing"):
        mlp().fit(pictures(), out=tmp_path / "run", start_from=parent)


def test_matching_takes_what_fits_and_says_what_starts_anew(parent, tmp_path, capfd):
    run = mlp(latent_size=6, **STILL).fit(pictures(), out=tmp_path / "run", start_from=parent, matching=True)
    ours, theirs = weights(run), weights(parent)
    fresh = weights(mlp(latent_size=6, **STILL).fit(pictures(), out=tmp_path / "fresh"))
    anew = [name for name in theirs if ours[name].shape != theirs[name].shape]
    assert len(anew) == 1
    for name in ours:
        assert torch.equal(ours[name], fresh[name] if name in anew else theirs[name])
    said = capfd.readouterr().err
    assert (
        f"the generator takes {len(ours) - 1} of its {len(ours)} tensors from parent, and the others start anew" in said
    )
    assert f"misshapen {anew[0]} (F32 [8, 4], not F32 [8, 6])" in said


def test_a_parent_of_which_nothing_fits_is_refused_even_by_matching(parent, tmp_path):
    change(parent, "model", lambda tensors: {"other": torch.zeros(1)})
    with pytest.raises(TrainingError, match="nothing of parent fits: missing"):
        mlp().fit(pictures(), out=tmp_path / "run", start_from=parent, matching=True)


def test_another_architecture_is_refused_and_by_matching_only_what_has_its_names_is_taken(parent, tmp_path):
    with pytest.raises(TrainingError, match="parent is a vanilla_gan and cannot start a dcgan; --from-matching"):
        dcgan().fit(pictures(), out=tmp_path / "run", start_from=parent)
    with pytest.raises(TrainingError, match="nothing of parent fits"):
        dcgan().fit(pictures(), out=tmp_path / "run", start_from=parent, matching=True)
    assert not (tmp_path / "run").exists()


def test_a_parent_with_weights_that_are_not_finite_is_refused(parent, tmp_path):
    def edit(tensors):
        next(iter(tensors.values())).view(-1)[0] = math.nan
        return tensors

    change(parent, "model", edit)
    with pytest.raises(TrainingError, match=r"parent cannot be started from: its generator\..* is NaN or infinite"):
        mlp().fit(pictures(), out=tmp_path / "run", start_from=parent)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x80\x04\x95pickled.", "is a pickle under another name"),
        (b"\x10" + bytes(20), "is not a safetensors file|is cut off"),
    ],
)
def test_a_discriminator_that_is_no_safetensors_file_is_not_opened(content, problem, parent, tmp_path):
    (parent / "discriminator.safetensors").write_bytes(content)
    with pytest.raises(ModelFolderError, match=problem):
        mlp().fit(pictures(), out=tmp_path / "run", start_from=parent)
    assert not (tmp_path / "run").exists()


def test_an_unknown_parent_is_an_error_with_close_names(tmp_path):
    with pytest.raises(UnknownModelError, match="no-such-model"):
        mlp().fit(pictures(), out=tmp_path / "run", start_from="no-such-model")


# Classes


def known(*names, matching=False):
    return Parent(name="parent", sha256="ab" * 32, class_names=names, matching=matching)


def test_classes_that_the_parent_knows_by_name_keep_its_numbers():
    labels = torch.tensor([0, 1, 1, 0])
    data, line = with_classes_of(known("ant", "bee", "cat"), pictures(4, labels, ["ant", "cat"]), 3)
    assert data.labels.tolist() == [0, 2, 2, 0]
    assert data.class_names == ("ant", "bee", "cat")
    assert line == "the classes have the numbers that they have in parent: ant, cat"


def test_classes_of_the_same_names_need_no_word():
    given = pictures(4, torch.arange(4) % 2, ["ant", "bee"])
    assert with_classes_of(known("ant", "bee"), given, 2) == (given, None)


def test_other_classes_take_the_places_of_the_parents_and_a_line_says_which():
    data, line = with_classes_of(known("ant", "bee", "cat"), pictures(4, torch.arange(4) % 2, ["x", "y"]), 3)
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.class_names == ("x", "y", "cat")
    assert line == "the classes that parent does not know take the places of others: x for ant, y for bee"


def test_classes_that_the_parent_knows_keep_their_numbers_among_others():
    data, line = with_classes_of(known("ant", "bee", "cat"), pictures(3, torch.arange(3), ["bee", "dog", "yak"]), 3)
    assert data.labels.tolist() == [1, 0, 2]
    assert data.class_names == ("dog", "bee", "yak")
    assert line == "the classes that parent does not know take the places of others: dog for ant, yak for cat"


def test_classes_without_names_get_those_of_the_parent():
    data, line = with_classes_of(known("ant", "bee"), pictures(4, torch.arange(4) % 2), 2)
    assert (data.class_names, line) == (("ant", "bee"), None)


def test_a_model_with_another_number_of_classes_keeps_those_of_the_data():
    given = pictures(4, torch.arange(4) % 2, ["ant", "cat"])
    assert with_classes_of(known("ant", "bee", "cat"), given, 2) == (given, None)


@pytest.mark.slow
def test_a_run_relabels_its_data_again_when_it_is_resumed(tmp_path):
    three = pictures(30, torch.arange(30) % 3, ["ant", "bee", "cat"])
    two = pictures(30, torch.arange(30) % 2, ["ant", "cat"])
    parent = mlp(conditional=True).fit(three, out=tmp_path / "parent")
    settings = {"conditional": True, "checkpoint_every": 2}
    straight = mlp(steps=4, **settings).fit(two, out=tmp_path / "straight", start_from=parent)
    mlp(steps=2, **settings).fit(two, out=tmp_path / "resumed", start_from=parent)
    resumed = mlp(steps=4, **settings).fit(two, out=tmp_path / "resumed", resume=True)
    assert_same(weights(resumed), weights(straight))
    assert zoo.load(resumed).class_names == ("ant", "bee", "cat")


# Records


def test_run_and_card_name_the_parent_by_its_digest_and_not_by_its_place(parent, tmp_path):
    run = mlp().fit(pictures(), out=tmp_path / "run", start_from=parent)
    record = read_run_record(run)["parent"]
    asked = open_parent(parent)
    assert record == {"name": "parent", "sha256": asked.sha256, "discriminator_sha256": asked.discriminator_sha256}
    card = (run / "README.md").read_text()
    assert f"Trained from the weights of `parent` (sha256 {asked.sha256}) on `tensor` by `zoo train` with:" in card
    assert "base_model" not in card
    assert str(tmp_path) not in card + (run / "run.json").read_text()


def test_a_parent_on_the_hub_is_the_base_model_of_the_card(parent, tmp_path):
    on_the_hub = {"name": "hf://alice/faces@v1", "repository": "alice/faces", "revision": "c" * 40}
    start_from = dataclasses.replace(open_parent(parent), **on_the_hub)
    card = (mlp().fit(pictures(), out=tmp_path / "run", start_from=start_from) / "README.md").read_text()
    assert "base_model: alice/faces\nbase_model_relation: finetune\n" in card
    assert f"from the weights of `hf://alice/faces@v1` (commit {'c' * 40}, sha256 {start_from.sha256})" in card


def test_a_record_with_a_parent_that_is_none_is_refused(parent):
    record = json.loads((parent / "run.json").read_text())
    for wrong in (
        "x",
        {"name": "x"},
        {"name": "x", "sha256": "../x"},
        {"name": "x", "sha256": "ab" * 32, "repository": "x"},
    ):
        (parent / "run.json").write_text(json.dumps(record | {"parent": wrong}))
        with pytest.raises(ModelFolderError, match="is not the record of a training run"):
            read_run_record(parent)


# Resuming


def test_14_two_halves_from_a_parent_equal_the_whole_and_the_parent_may_be_gone(parent, tmp_path):
    straight = mlp(steps=4).fit(pictures(), out=tmp_path / "straight", start_from=parent)
    out = tmp_path / "run"
    mlp(steps=2).fit(pictures(), out=out, start_from=parent)
    shutil.rmtree(parent)
    resumed = mlp(steps=4).fit(pictures(), out=out, resume=True)
    assert_same(weights(resumed), weights(straight))
    assert read_run_record(resumed)["parent"]["name"] == "parent"


def test_the_same_parent_may_be_named_again_and_another_is_refused(parent, tmp_path):
    out = tmp_path / "run"
    mlp(steps=2).fit(pictures(), out=out, start_from=parent)
    renamed = shutil.copytree(parent, tmp_path / "renamed")
    mlp(steps=3).fit(pictures(), out=out, start_from=renamed, resume=True)
    assert read_run_record(out)["parent"]["name"] == "parent"
    other = mlp(steps=3, seed=8).fit(pictures(), out=tmp_path / "other")
    with pytest.raises(
        TrainingError, match=r"was started from parent \(sha256 .*\), discriminator .*, and not from other \("
    ):
        mlp(steps=4).fit(pictures(), out=out, start_from=other, resume=True)
    with pytest.raises(TrainingError, match=r"and not from parent .* by --from-matching"):
        mlp(steps=4).fit(pictures(), out=out, start_from=parent, matching=True, resume=True)
    with pytest.raises(TrainingError, match="was started from nothing, and not from parent"):
        mlp(steps=4, seed=8).fit(pictures(), out=other, start_from=parent, resume=True)


@pytest.mark.slow
def test_a_run_without_a_checkpoint_needs_its_parent_again(parent, tmp_path):
    out = tmp_path / "run"
    mlp(steps=2).fit(pictures(), out=out, start_from=parent)
    straight = weights(out)
    shutil.rmtree(out / "checkpoints")
    (out / "model.safetensors").unlink()
    record = read_run_record(out)
    (out / "run.json").write_text(json.dumps({key: value for key, value in record.items() if key != "finished"}))
    with pytest.raises(TrainingError, match=r"has no checkpoint to continue from, so it needs parent .* add --from"):
        mlp(steps=2).fit(pictures(), out=out, resume=True)
    mlp(steps=2).fit(pictures(), out=out, start_from=parent, resume=True)
    assert_same(weights(out), straight)


@pytest.mark.slow
def test_a_model_of_a_stopped_run_names_its_parent_too(parent, tmp_path):
    out = tmp_path / "run"
    mlp(steps=2).fit(pictures(), out=out, start_from=parent)
    record = read_run_record(out)
    settings = record["settings"] | {"steps": 4}
    (out / "run.json").write_text(json.dumps(record | {"finished": False, "settings": settings}))
    (out / "README.md").unlink()
    finish_stopped_run("vanilla_gan", out, device="cpu")
    assert "Trained from the weights of `parent` (sha256 " in (out / "README.md").read_text()
    assert read_run_record(out)["parent"] == record["parent"]


# The command


@pytest.fixture
def folder_of_pictures(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            shade = np.full((20, 20), 20 * number, dtype=np.uint8)
            Image.fromarray(shade).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def train(folder_of_pictures, out, *more):
    arguments = ["train", "vanilla_gan", "--data", folder_of_pictures, "--out", out, "--steps", 1, "--device", "cpu",
                 "--set", "batch_size=8", "--set", "sample_every=0", *more]  # fmt: skip
    return CliRunner().invoke(main, list(map(str, arguments)))


def config(folder):
    return json.loads((folder / "config.json").read_text())["config"]


def test_the_parents_configuration_is_the_default_whatever_the_data(parent, folder_of_pictures, tmp_path):
    done = train(folder_of_pictures, tmp_path / "run", "--from", parent)
    assert done.exit_code == 0, done.stderr
    assert config(tmp_path / "run") == config(parent)
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "run")]).stdout
    assert re.search(r"^started from +parent \(sha256 [0-9a-f]{64}\)$", shown, re.MULTILINE)
    assert "pictures of 20 x 20 are reduced to 16 x 16, the size of parent" in done.stderr
    assert "starts from parent (sha256 " in done.stderr


def test_what_the_user_sets_overrides_the_parents_configuration(parent, folder_of_pictures, tmp_path):
    arguments = ("--from", parent, "--set", "model.latent_size=6")
    done = train(folder_of_pictures, tmp_path / "run", *arguments)
    assert done.exit_code == 1
    assert "the generator of parent does not fit: misshapen" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
    done = train(folder_of_pictures, tmp_path / "run", *arguments, "--from-matching")
    assert done.exit_code == 0, done.stderr
    assert config(tmp_path / "run") == config(parent) | {"latent_size": 6}


def test_a_run_is_resumed_without_naming_its_parent(parent, folder_of_pictures, tmp_path):
    assert train(folder_of_pictures, tmp_path / "run", "--from", parent).exit_code == 0
    shutil.rmtree(parent)
    done = train(folder_of_pictures, tmp_path / "run", "--resume", "--steps", 2)
    assert done.exit_code == 0, done.stderr
    assert "starts from" not in done.stderr


def test_a_parent_of_another_architecture_is_refused_before_the_data_is_read(parent, tmp_path):
    arguments = ["train", "dcgan", "--data", tmp_path / "nowhere", "--out", tmp_path / "run", "--from", parent]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 1
    assert "parent is a vanilla_gan and cannot start a dcgan" in done.stderr


def test_another_number_of_classes_is_refused_with_what_to_say(folder_of_pictures, tmp_path):
    three = pictures(30, torch.arange(30) % 3, ["x", "y", "z"])
    parent = mlp(conditional=True).fit(three, out=tmp_path / "parent")
    done = train(folder_of_pictures, tmp_path / "run", "--from", parent)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "zoo: model.num_classes: parent knows 3 classes (x, y, z), and the data has 2 (ant, bee); with num_classes=3, the "
        "classes of the data take its places; --set model.num_classes=2 --from-matching lets the layers of the "
        "classes start anew"
    )
    kept = train(folder_of_pictures, tmp_path / "kept", "--from", parent, "--set", "model.num_classes=3")
    assert kept.exit_code == 0, kept.stderr
    assert "the classes that parent does not know take the places of others: ant for x, bee for y" in kept.stderr
    anew = train(
        folder_of_pictures, tmp_path / "anew", "--from", parent, "--set", "model.num_classes=2", "--from-matching"
    )
    assert anew.exit_code == 0, anew.stderr
    assert zoo.load(tmp_path / "anew").class_names == ("ant", "bee")


def test_data_without_labels_is_refused_with_what_to_say(folder_of_pictures, tmp_path):
    parent = mlp(conditional=True).fit(pictures(30, torch.arange(30) % 3, ["x", "y", "z"]), out=tmp_path / "parent")
    done = train(folder_of_pictures / "ant", tmp_path / "run", "--from", parent)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("zoo: model.conditional: parent draws a class that is asked for")
    anew = ("--set", "model.conditional=false", "--from-matching")
    assert train(folder_of_pictures / "ant", tmp_path / "run", "--from", parent, *anew).exit_code == 0


def test_a_conditional_run_of_an_unconditional_parent_counts_the_classes_of_the_data(
    parent, folder_of_pictures, tmp_path
):
    done = train(
        folder_of_pictures, tmp_path / "run", "--from", parent, "--from-matching", "--set", "model.conditional=true"
    )
    assert done.exit_code == 0, done.stderr
    assert config(tmp_path / "run")["num_classes"] == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--data", "x", "--from-matching"], "--from-matching needs --from"),
        (["--finish", "--from", "x"], "leave out --from"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(arguments, problem, tmp_path):
    done = CliRunner().invoke(main, ["train", "vanilla_gan", "--out", str(tmp_path / "run"), *arguments])
    assert done.exit_code == 2
    assert problem in done.stderr


@pytest.mark.slow
@pytest.mark.plugins("zoo-vanilla-gan")
def test_a_bundled_model_starts_a_run_by_its_name(folder_of_pictures, tmp_path):
    done = train(folder_of_pictures, tmp_path / "run", "--from", "vanilla-gan-mnist", "--set", "learning_rate=1e-30")
    assert done.exit_code == 0, done.stderr
    assert_same(weights(tmp_path / "run"), weights(zoo.pull("vanilla-gan-mnist")))
    assert read_run_record(tmp_path / "run")["parent"]["name"] == "vanilla-gan-mnist"


# Several processes

SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
from tests.test_training_start import measured, pictures
root = Path(sys.argv[1])
for steps in (2, 4):
    measured(steps).fit(pictures(), out=root / "two", start_from=root / "parent", resume=True)
"""


def measured(steps):
    settings = {"eval_every": 2, "eval_samples": 20, "eval_extractor": "digits", "best_figure": "fid"}
    return dcgan(steps=steps, device="cpu", ema_decay=0.9, **settings)


@pytest.mark.slow
def test_14_two_processes_start_and_measure_as_one_does(tmp_path):
    parent = dcgan(steps=3, seed=7).fit(pictures(), out=tmp_path / "parent")
    one = measured(4).fit(pictures(), out=tmp_path / "one", start_from=parent)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = torchrun("script.py", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("starts from parent (sha256 ") == 1
    two = tmp_path / "two"
    figures = [
        [line["fid"] for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())] for run in (one, two)
    ]
    assert len(figures[0]) == 2
    assert figures[1] == pytest.approx(figures[0], rel=1e-2)
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, rtol=1e-2, atol=1e-3)
