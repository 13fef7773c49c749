"""Kinds of samples that a plugin brings: written, shown, trained and described through no more than their own methods."""

import json
import os
import threading

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests import forkserver
from tests.forkserver import torchrun
from zoo_core import Architecture, Generator, Kind, ModelConfig, Settings, Trainer
from zoo_core.cli import main
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import InterfaceError, OutputError, VerificationError
from zoo_core.hub.cards import model_index
from zoo_core.kinds.by_name import check_kind, kind_named
from zoo_core.kinds.output import check_output, default_output, write_samples
from zoo_core.kinds.showing import picture_of
from zoo_core.metrics.golden import check_golden, write_golden
from zoo_core.metrics.neighbours import nearest, write_neighbours
from zoo_core.modelfolder.card import model_card
from zoo_core.plugins import PluginInfo, PluginManager, manager
from zoo_core.registries import Metric


class Chords(Kind):
    """What a stranger writes: a name, suffixes and `write`."""

    name, noun = "chords", ("chord", "chords")
    suffixes = {".tab": "one a line", "/": "a file each"}

    def write(self, batches, n, generator, path):
        chords = [",".join(map(str, chord)) for batch in batches for chord in batch.tolist()]
        if path.suffix == ".tab":
            path.write_text("\n".join(chords))
        else:
            path.mkdir()
            for index, chord in enumerate(chords):
                (path / f"{index}.tab").write_text(chord)
        return path


class SeenChords(Chords):
    """One that also shows them: a row of keys for each, on which its notes are white."""

    suffixes = {".tab": "one a line"}

    def picture(self, samples, generator):
        keys = np.zeros((4 * len(samples), 24, 1), np.uint8)
        for row, chord in enumerate(samples.tolist()):
            keys[4 * row : 4 * row + 3, [note % 24 for note in chord]] = 255
        return keys


class ChordConfig(ModelConfig, frozen=True):
    flat: bool = False
    num_classes: int | None = None


class ChordMaker(Generator):
    kind = "chords"
    latent_shape = sample_shape = (3,)

    def __init__(self, config):
        super().__init__(config)
        self.num_classes = config.num_classes
        self.root = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, z, labels=None):
        notes = torch.zeros_like(z) if self.config.flat else (4 * z).round()
        shift = 0 if labels is None else 12 * labels[:, None]
        return (notes + self.root.detach() + shift).long() + 60


class ChordTrainer(Trainer):
    def build(self):
        self.modules["generator"] = generator = ChordMaker(self.config)
        self.optimizers["generator"] = torch.optim.SGD(generator.parameters(), lr=0.1)

    def training_step(self, batch):
        loss = (self.modules["generator"].root - batch.samples.float().mean() / 100) ** 2
        self.update("generator", loss)
        return {"loss": loss.detach()}


ARCHITECTURE = Architecture(
    name="chord-maker",
    summary="Three notes",
    config="tests.test_kinds:ChordConfig",
    generator="tests.test_kinds:ChordMaker",
    trainer="tests.test_kinds:ChordTrainer",
    kind="chords",
)


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Let a plugin bring a kind and an architecture of that kind; returns the generator, saved as ./mine."""
    monkeypatch.chdir(tmp_path)

    def install(kind=Chords, architecture=ARCHITECTURE, **config):
        info = PluginInfo(entry_point="chords", distribution="zoo-chords", version="1.0", module="zoo_chords")
        monkeypatch.setitem(manager().kinds, "chords", kind())
        monkeypatch.setitem(manager().architectures, "chord-maker", (architecture, info))
        generator = ChordMaker(ChordConfig(**config))
        generator.save(tmp_path / "mine")
        return generator

    return install


def zoo(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def fails(result, *parts):
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def lines(chords):
    return [",".join(map(str, chord)) for chord in chords.tolist()]


# Writing


def test_a_kind_that_only_writes_is_sampled_to_what_it_names(bring, tmp_path):
    expected = lines(bring().sample(20))
    assert zoo("sample", "./mine", "-n", 20).stdout == "mine.tab\n"
    assert (tmp_path / "mine.tab").read_text().split("\n") == expected
    for name in ("a.TAB", "folder", "v1.2/", "b.tab/"):
        assert zoo("sample", "./mine", "-n", 20, "-o", name).stdout == f"{name.rstrip('/')}\n"
    assert (tmp_path / "a.TAB").read_text().split("\n") == expected
    for name in ("folder", "v1.2", "b.tab"):
        assert [(tmp_path / name / f"{index}.tab").read_text() for index in range(20)] == expected
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("a.png", "this model makes chords; use a name in .tab (one a line) or of a folder (a file each)"),
        ("no/such.tab", "there is no folder no"),
        ("mine", "it exists already and is not an empty folder"),
        ("dir.tab", "it is a folder"),
    ],
)
def test_what_a_kind_cannot_write_is_told_before_the_model_is_loaded(bring, tmp_path, out, problem, monkeypatch):
    bring()
    (tmp_path / "dir.tab").mkdir()
    (tmp_path / "dir.tab" / "full").touch()
    monkeypatch.setattr("zoo_core.models.load", lambda *arguments, **how: pytest.fail("the model was loaded"))
    fails(zoo("sample", "./mine", "-o", out), problem)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir.tab", "mine"]


def test_of_a_kind_that_is_not_stated_the_output_is_told_once_the_model_is_loaded(bring, tmp_path):
    unstated = Architecture(
        name="chord-maker", summary="", config=ARCHITECTURE.config, generator=ARCHITECTURE.generator
    )
    bring(architecture=unstated)
    fails(zoo("sample", "./mine", "-o", "a.png"), "this model makes chords; use a name in .tab")
    assert zoo("sample", "./mine", "-o", "a.tab").exit_code == 0


class Raises(Chords):
    def write(self, batches, n, generator, path):
        path.write_text("half of it")
        path.with_suffix(".aside").write_text("more")
        raise RuntimeError("a string broke")


class FullDisk(Chords):
    def write(self, batches, n, generator, path):
        path.write_text("half of it")
        raise OSError(28, "No space left on device", str(path))


class Nothing(Chords):
    def write(self, batches, n, generator, path):
        for _ in batches:
            pass


class Half(Chords):
    def write(self, batches, n, generator, path):
        path.write_text(str(next(iter(batches))))


class Folder(Chords):
    def write(self, batches, n, generator, path):
        path.mkdir()
        list(batches)


@pytest.mark.parametrize("before", [None, "older"])
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Raises, "RuntimeError: a string broke"),
        (FullDisk, "a.tab cannot be written: No space left on device"),
        (Nothing, "the kind 'chords' wrote no file"),
        (Half, "wrote 16 of 40 samples: write must take all of them"),
        (Folder, "the kind 'chords' wrote no file"),
    ],
)
def test_an_output_appears_whole_or_not_at_all_whatever_a_kind_does(kind, problem, before, bring, tmp_path):
    bring(kind)
    if before is not None:
        (tmp_path / "a.tab").write_text(before)
    fails(zoo("sample", "./mine", "-n", 40, "--batch-size", 16, "-o", "a.tab"), problem)
    assert [path.name for path in tmp_path.iterdir() if path.name != "mine"] == ["a.tab"] * (before is not None)
    assert before is None or (tmp_path / "a.tab").read_text() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_what_replaces_a_private_file_is_private(bring, tmp_path):
    bring()
    (tmp_path / "a.tab").write_text("older")
    (tmp_path / "a.tab").chmod(0o600)
    assert zoo("sample", "./mine", "-o", "a.tab").exit_code == 0
    assert (tmp_path / "a.tab").stat().st_mode & 0o777 == 0o600
    assert zoo("sample", "./mine", "-o", "b.tab").exit_code == 0
    assert (tmp_path / "b.tab").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    current = os.umask(0)
    os.umask(current)
    return current


class Numbered(Chords):
    def write(self, batches, n, generator, path, *, start=0):
        path.write_text(f"{start}: {sum(map(len, batches))}")


def test_a_kind_that_numbers_samples_is_told_where_they_start(bring, tmp_path):
    bring(Numbered)
    assert zoo("sample", "./mine", "-n", 20, "--start", 100, "-o", "a.tab").exit_code == 0
    assert (tmp_path / "a.tab").read_text() == "100: 20"


def test_samples_of_any_kind_start_where_they_are_asked_to(bring, tmp_path):
    bring()
    zoo("sample", "./mine", "-n", 50, "-o", "all.tab")
    zoo("sample", "./mine", "-n", 20, "--start", 30, "-o", "last.tab")
    assert (tmp_path / "last.tab").read_text().split("\n") == (tmp_path / "all.tab").read_text().split("\n")[30:]


class Few(Chords):
    def problem_with_output(self, suffix, n, sample_shape):
        return f"{n} chords are more than a line has" if suffix == ".tab" and n > 9 else None


def test_a_kind_may_limit_what_a_format_takes(bring):
    bring(Few)
    problem = "a.tab cannot be written: 10 chords are more than a line has; use a name of a folder (a file each)"
    fails(zoo("sample", "./mine", "-n", 10, "-o", "a.tab"), problem)


PLUGIN = """
    import sys
    from zoo_core import Architecture, hookimpl

    @hookimpl
    def zoo_kinds():
        from zoo_chords.kind import Chords
        return [Chords()]

    @hookimpl
    def zoo_architectures():
        return [Architecture(name="chord-maker", summary="Three notes", config="zoo_chords.model:ChordConfig",
                             generator="zoo_chords.model:ChordMaker", kind="chords")]
"""
KIND = """
    from zoo_core import Kind

    class Chords(Kind):
        name, noun = "chords", ("chord", "chords")
        suffixes = {".tab": "one a line"}

        def write(self, batches, n, generator, path):
            path.write_text("\\n".join(",".join(map(str, chord)) for batch in batches for chord in batch.tolist()))
"""
MODEL = """
    import torch
    from zoo_core import Generator, ModelConfig

    class ChordConfig(ModelConfig, frozen=True):
        pass

    class ChordMaker(Generator):
        kind = "chords"
        latent_shape = sample_shape = (3,)

        def __init__(self, config):
            super().__init__(config)
            self.root = torch.nn.Parameter(torch.tensor(0.0))

        def forward(self, z, labels=None):
            return (4 * z).round().long() + 60
"""


@pytest.fixture
def installed(site, tmp_path):
    """The environment of processes that have the plugin, with a model ./mine."""
    site.add("zoo-chords", PLUGIN, kind=KIND, model=MODEL)
    environment = site.environment(OMP_NUM_THREADS="1")
    save = "from zoo_chords.model import *; ChordMaker(ChordConfig()).save('mine')"
    forkserver.run("-c", save, env=environment, cwd=tmp_path, check=True)
    return environment


@pytest.mark.slow
def test_several_processes_gather_the_samples_of_any_kind(installed, tmp_path):
    arguments = ["sample", "./mine", "-n", 75, "--start", 5, "--seed", 3, "--batch-size", 16, "-o"]
    done = torchrun("-m", "--", "zoo_core", *arguments, "two.tab", cwd=tmp_path, **installed)
    assert (done.returncode, done.stdout) == (0, "two.tab\n"), done.stderr[-2000:]
    forkserver.run("-m", "zoo_core", *arguments, "one.tab", cwd=tmp_path, env=installed, check=True)
    assert (tmp_path / "two.tab").read_bytes() == (tmp_path / "one.tab").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "one.tab", "site", "two.tab"]


# Plugins and their kinds


def test_the_commands_about_plugins_and_models_name_the_kind(installed, zoo, tmp_path):
    assert "chord-maker; kinds chords" in zoo("plugins", "list", env=installed).stdout
    (facts,) = [one for one in json.loads(zoo("plugins", "list", "--json", env=installed).stdout) if one["kinds"]]
    assert (facts["distribution"], facts["kinds"]) == ("zoo-chords", ["chords"])
    assert "kind               chords, written to .tab\n" in zoo("info", "./mine", env=installed).stdout
    assert json.loads(zoo("info", "./mine", "--json", env=installed).stdout)["kind"] == "chords"


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        ("suffixes = {}", "has no suffixes"),
        ("suffixes = {'tab': ''}", "has the suffix 'tab'"),
        ("suffixes = {'.TAB': ''}", "has the suffix '.TAB'"),
        ("suffixes = {'.tab': 1}", "has the suffix '.tab'"),
        ("noun = 'chord'", "has the noun 'chord'"),
        ("pipeline_tag = 3", "has the pipeline_tag 3"),
        ("name = 'image'", "the kind 'image' belongs to zoo-core"),
    ],
)
def test_a_kind_that_cannot_be_used_leaves_its_plugin_out(attribute, problem, site):
    site.add("zoo-chords", PLUGIN, kind=f"{KIND}\n        {attribute}\n", model=MODEL)
    found = PluginManager(site.entry_points().values(), disabled=(), owners={})
    assert problem in found.plugins[0].problem
    assert found.kinds == {}


def test_a_kind_that_nobody_brings_is_told_with_the_close_name(bring):
    bring()
    with pytest.raises(
        InterfaceError, match="nor an installed plugin has the kind of samples 'chord'; did you mean chor"
    ):
        kind_named("chord")


def test_a_kind_whose_plugin_is_left_out_is_told_with_the_reason(monkeypatch):
    info = PluginInfo(
        entry_point="chords", distribution="zoo-chords", version="1.0", module="m", kinds=(Chords(),)
    ).left_out("another has its name")
    monkeypatch.setattr(manager(), "plugins", [info])
    with pytest.raises(InterfaceError, match="provided by zoo-chords, which is left out: another has its name"):
        kind_named("chords")


def test_a_generator_of_another_kind_than_its_architecture_states_is_neither_saved_nor_loaded(
    bring, tmp_path, monkeypatch
):
    generator = bring()
    tensors = Architecture(**{**vars(ARCHITECTURE), "kind": "tensor"})
    problem = "chord-maker states the kind 'tensor', but ChordMaker.kind is 'chords'"
    with pytest.raises(InterfaceError, match=problem):
        check_kind(tensors, generator)
    known = manager().architectures
    monkeypatch.setitem(known, "chord-maker", (tensors, known["chord-maker"][1]))
    with pytest.raises(InterfaceError, match=problem):
        generator.save(tmp_path / "other")
    fails(zoo("sample", "./mine", "-o", "a.npz"), problem)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# Pictures


def test_a_kind_without_pictures_shows_none(bring):
    generator = bring()
    assert picture_of(generator.sample(4), generator) is None
    assert picture_of(generator.sample(4), generator, columns=2) is None
    for command in (["interpolate"], ["traverse"], ["reconstruct"]):
        arguments = [*command, "./mine", *(["a.png"] if command == ["reconstruct"] else [])]
        fails(zoo(*arguments), f"this model makes chords, not pictures: there is nothing to {command[0]}")


def test_pictures_of_a_kind_that_knows_no_columns_are_arranged(bring):
    generator = bring(SeenChords)
    samples = generator.sample(6)
    assert picture_of(samples, generator).shape == (24, 24, 1)
    arranged = picture_of(samples, generator, columns=3)
    assert arranged.shape == (2 * 6 + 2, 3 * 26 + 2, 1)
    assert np.array_equal(arranged[8:12, 28:52], SeenChords().picture(samples[4:5], generator))


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (np.zeros((4, 4, 1)), r"returned float64 \(4, 4, 1\) as a picture"),
        (np.zeros((4, 4, 4), np.uint8), "a picture of 4 channels"),
        ("♪", "returned str as a picture"),
    ],
)
def test_what_is_no_picture_is_told(shown, problem, bring):
    generator = bring(type("Odd", (Chords,), {"picture": lambda self, samples, generator: shown}))
    with pytest.raises(InterfaceError, match=problem):
        picture_of(generator.sample(2), generator)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_walk_and_a_traversal_are_films_of_any_kind(suffix, bring):
    bring(SeenChords)
    assert zoo("interpolate", "./mine", "-n", 2, "--through", 2, "--frames", 3, "-o", f"walk.{suffix}").exit_code == 0
    with Image.open(f"walk.{suffix}") as film:
        assert (film.size, film.format) == ((24, 8), suffix.upper())
        assert film.n_frames > 1
    assert zoo("traverse", "./mine", "--steps", 3, "-o", f"dimensions.{suffix}").exit_code == 0
    with Image.open(f"dimensions.{suffix}") as film:
        assert film.size == (24, 12)
        assert film.n_frames == 4  # forth and back
    assert zoo("traverse", "./mine", "--steps", 3, "-o", "dimensions.png").exit_code == 0
    with Image.open("dimensions.png") as picture:
        assert picture.size == (3 * 26 + 2, 3 * 6 + 2)


def fit(out, generator, **settings):
    trainer = ChordTrainer(generator.config, Settings(steps=4, batch_size=4, sample_every=2, **settings), (3,))
    return trainer.fit(TrainingData.from_tensors(torch.randint(50, 70, (8, 3))), out=out)


def test_a_run_leaves_pictures_a_film_and_a_card_with_its_preview(bring, tmp_path):
    folder = fit(tmp_path / "run", bring(SeenChords))
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-00000002.png", "step-00000004.png"]
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (24, 256)
    assert (folder / "training.gif").is_file()
    card = (folder / "README.md").read_text()
    assert "![Samples](samples.png)" in card
    assert "zoo sample run -n 64 -o samples.tab" in card


def test_a_run_of_a_kind_without_pictures_leaves_none(bring, tmp_path, capsys):
    folder = fit(tmp_path / "run", bring())
    names = {path.name for path in folder.iterdir()}
    assert not {"samples", "samples.png", "training.gif"} & names
    card = (folder / "README.md").read_text()
    assert "samples.png" not in card
    assert "pipeline_tag" not in card
    assert "- chords\n" in card
    assert "collapsed" not in capsys.readouterr().err


def test_a_collapse_is_told_of_samples_of_any_kind(bring, tmp_path, capsys):
    fit(tmp_path / "run", bring(flat=True))
    assert "all samples are the same chord: the generator has collapsed" in capsys.readouterr().err


def test_a_conditional_model_has_a_column_for_each_class(bring, tmp_path):
    generator = bring(SeenChords, num_classes=3)
    trainer = ChordTrainer(generator.config, Settings(steps=1, batch_size=4, sample_every=0), (3,))
    data = TrainingData.from_tensors(torch.randint(50, 70, (9, 3)), torch.arange(9) % 3)
    folder = trainer.fit(data, out=tmp_path / "run")
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (3 * 26 + 2, 8 * 6 + 2)


# Cards, golden samples, neighbours


@pytest.mark.parametrize(("tag", "task"), [(None, "other"), ("text-to-audio", "text-to-audio")])
def test_card_and_figures_state_the_task_of_the_kind(tag, task, bring):
    generator = bring(type("Tagged", (Chords,), {"pipeline_tag": tag}))
    index = model_index("mine", {"fid": Metric(value=1.0)}, "songs", "chords")
    assert index[0]["results"][0]["task"]["type"] == task
    card = model_card(generator, ARCHITECTURE, name="mine", model_index=index, preview=False)
    assert (f"pipeline_tag: {tag}\n" in card) == (tag is not None)
    assert ("- chords\n" in card) == (tag is None)


def test_golden_samples_of_whole_numbers_are_compared_one_by_one(bring, tmp_path):
    generator = bring()
    write_golden(generator, tmp_path / "mine")
    assert check_golden(generator, tmp_path / "mine") == 16
    generator.root.data += 1
    with pytest.raises(VerificationError, match="16 of 16 golden samples could not be reproduced"):
        check_golden(generator, tmp_path / "mine")


class Points(Generator):
    kind = "tensor"
    latent_shape = sample_shape = (2,)
    scale = 1.0

    def forward(self, z, labels=None):
        return self.scale * z


def test_golden_samples_of_real_numbers_agree_within_a_part_of_their_range(tmp_path):
    points = Points()
    write_golden(points, tmp_path)
    points.scale = 1.001
    assert check_golden(points, tmp_path) == 16
    points.scale = 1.1
    with pytest.raises(VerificationError, match="of 16 golden samples could not be reproduced: sample"):
        check_golden(points, tmp_path)


def test_neighbours_are_shown_by_the_kind(bring, tmp_path):
    generator = bring(SeenChords)
    data = TrainingData.from_tensors(torch.cat([torch.full((20, 3), 90), generator.sample(10)]))
    assert nearest(generator.sample(10), data, 1).flatten().tolist() == list(range(20, 30))
    write_neighbours(generator, data, tmp_path / "near.webp")
    with Image.open(tmp_path / "near.webp") as picture:
        assert picture.size == (8 * 26 + 2, 10 * 6 + 2)
        shown = np.asarray(picture.convert("L"))
    assert np.array_equal(shown[2:6, 2:26], shown[2:6, 28:52])


def test_codes_are_as_far_apart_as_they_differ_in_places():
    data = TrainingData.from_tensors(torch.tensor([[1, 2, 99], [2, 3, 4], [1, 9, 9]]))
    sample = torch.tensor([[1, 2, 3]])
    assert nearest(sample, data, 3, kind=kind_named("text")).tolist() == [[0, 2, 1]]
    assert nearest(sample, data, 3).tolist() == [[1, 2, 0]]


def test_neighbours_of_a_kind_without_pictures_are_refused(bring, tmp_path):
    generator = bring()
    with pytest.raises(OutputError, match="makes chords, not pictures: there is nothing to compare"):
        write_neighbours(generator, TrainingData.from_tensors(torch.zeros(4, 3)), tmp_path / "a.png")


# stdout


def test_samples_go_to_stdout_in_the_first_format_of_their_kind(bring):
    generator = bring()
    result = zoo("sample", "./mine", "-n", 20, "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split("\n") == lines(generator.sample(20))


def test_what_a_model_prints_is_not_among_the_samples(bring, monkeypatch):
    bring()
    made = ChordMaker.forward
    monkeypatch.setattr(ChordMaker, "forward", lambda self, z, labels=None: print("♪") or made(self, z, labels))
    result = zoo("sample", "./mine", "-n", 3, "-o", "-")
    assert "♪" not in result.stdout
    assert "♪" in result.stderr


def test_a_kind_of_folders_only_has_nothing_for_stdout(bring):
    bring(type("Scores", (Chords,), {"suffixes": {"/": ""}}))
    fails(zoo("sample", "./mine", "-o", "-"), "samples of this kind are written to folders only; use -o NAME/")
    assert default_output(kind_named("chords"), "mine") == "mine/"


def test_outputs_are_written_from_several_threads_at_once(bring, tmp_path):
    generator = bring()
    threads = [
        threading.Thread(target=write_samples, args=([generator.sample(4)], 4, generator, tmp_path / "same.tab"))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "same.tab").read_text().split("\n") == lines(generator.sample(4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "same.tab"]


def test_a_suffix_of_two_parts_is_found(bring):
    bring(type("Packed", (Chords,), {"suffixes": {".gz": "packed", ".tab.gz": "packed chords"}}))
    assert check_output("a.TAB.gz", kind_named("chords"), 1).suffix == ".tab.gz"
    assert check_output("a.b.gz", kind_named("chords"), 1).suffix == ".gz"
