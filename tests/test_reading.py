"""Data of every kind on its way to `zoo train`, `fit` and `zoo eval`, with a plugin as a stranger writes it."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import zoo_core as zoo
from zoo_core.cli import main
from zoo_core.data.source import DataSource, ReadSource
from zoo_core.errors import DataError, InterfaceError, MetricError
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.reading import decode_source, open_source
from zoo_core.metrics.inputs import open_data
from zoo_core.plugins import manager

PLUGIN = """
    from zoo_core import Architecture, Kind, hookimpl

    class Points(Kind):
        name, noun = "points", ("point", "points")
        suffixes = {".csv": "one a line"}

        def write(self, batches, n, generator, path):
            path.write_text("".join(",".join(map(str, point.tolist())) + "\\n" for batch in batches for point in batch))
            return path

        def read(self, source, **how):
            import numpy as np
            from zoo_core import TrainingData

            points = np.loadtxt(source, delimiter=",", ndmin=2)
            return TrainingData.from_tensors(
                points, name="points", notes=[f"{len(points)} points"], values={"dimensions": points.shape[1]}
            )

    class Mute(Points):
        name = "mute"
        read = Kind.read

    class Confused(Points):
        name = "confused"

        def read(self, source, **how):
            return [1, 2, 3]

    def of(name, kind=None, model="Cloud", config="CloudConfig"):
        home = "zoo_points.model"
        return Architecture(
            name=name, summary="", kind=kind, config=f"{home}:{config}", generator=f"{home}:{model}",
            trainer=f"{home}:Fitting",
        )

    @hookimpl
    def zoo_architectures():
        frames = of("frames", model="Frames", config="FramesConfig")
        reader = Architecture(
            name="reader", summary="", config="zoo_points.model:ReaderConfig", generator="zoo_points.model:Reader",
            trainer="zoo_points.model:Reading",
        )
        wave, chars = (of(name, model=name.title(), config=f"{name.title()}Config") for name in ("wave", "chars"))
        strange = [of("silence", "mute"), of("riddle", "confused"), of("typo", "point")]
        return [of("cloud"), *strange, frames, reader, wave, chars]

    @hookimpl
    def zoo_kinds():
        return [Points(), Mute(), Confused()]
"""
MODEL = """
    from typing import Annotated
    import torch
    from msgspec import Meta
    from zoo_core import Generator, ModelConfig, Trainer, TrainingData

    Side = Annotated[int, Meta(ge=8, le=64, multiple_of=8)]

    class CloudConfig(ModelConfig, frozen=True):
        dimensions: Annotated[int, Meta(ge=1, le=8)] = 3

    class FramesConfig(ModelConfig, frozen=True):
        channels: Annotated[int, Meta(ge=1, le=4)] = 3
        height: Side = 16
        width: Side = 16

    class ReaderConfig(CloudConfig, frozen=True):
        pass

    class WaveConfig(ModelConfig, frozen=True):
        sample_rate: int = 16000
        channels: int = 1
        length: Annotated[int, Meta(ge=64, multiple_of=64)] = 8192

    class CharsConfig(ModelConfig, frozen=True):
        alphabet: str = "?"
        length: int = 8

    class Wave(Generator):
        kind = "audio"

        def __init__(self, config):
            super().__init__(config)
            self.sample_rate = config.sample_rate
            self.latent_shape, self.sample_shape = (4,), (config.channels, config.length)
            self.centre = torch.nn.Parameter(torch.zeros(self.sample_shape))

        def forward(self, z, labels=None):
            return self.centre + 0 * z.sum(1)[:, None, None]

    class Chars(Generator):
        kind = "text"

        def __init__(self, config):
            super().__init__(config)
            self.latent_shape = self.sample_shape = (config.length,)
            self.table = torch.nn.Embedding(len(config.alphabet) + 1, 1)

        def forward(self, z, labels=None):
            return z.round().long().clamp(0, len(self.config.alphabet))

        def decode(self, codes):
            return ["".join(self.config.alphabet[code - 1] for code in row if code) for row in codes.tolist()]

    class Cloud(Generator):
        kind = "points"

        def __init__(self, config):
            super().__init__(config)
            self.latent_shape = self.sample_shape = (config.dimensions,)
            self.centre = torch.nn.Parameter(torch.zeros(self.sample_shape))

        def forward(self, z, labels=None):
            return self.centre + 0.1 * z

    class Frames(Generator):
        def __init__(self, config):
            super().__init__(config)
            self.latent_shape, self.sample_shape = (2,), (config.channels, config.height, config.width)
            self.centre = torch.nn.Parameter(torch.zeros(self.sample_shape))

        def forward(self, z, labels=None):
            return (self.centre + 0.1 * z.sum(1)[:, None, None, None]).tanh()

    class Reader(Cloud):
        kind = "tensor"

    class Fitting(Trainer):
        def build(self):
            owners = {CloudConfig: Cloud, FramesConfig: Frames, ReaderConfig: Reader, WaveConfig: Wave}
            self.modules["generator"] = owners.get(type(self.config), Chars)(self.config)
            self.optimizers["generator"] = self.adam(self.modules["generator"])

        def training_step(self, batch):
            self.seen = batch.samples
            generator = self.modules["generator"]
            if generator.kind == "text":
                loss = generator.table(batch.samples).square().mean()
                self.update("generator", loss)
                return {"loss": loss.detach()}
            loss = (generator(torch.zeros(1, *generator.latent_shape)) - batch.samples).square().mean()
            self.update("generator", loss)
            return {"loss": loss.detach()}

    class Reading(Fitting):
        @classmethod
        def read_data(cls, source, config_class, values):
            if source == "nothing":
                raise KeyError("nothing")
            return TrainingData.from_tensors(torch.zeros(12, 2), name="own") if source == "own" else source
"""
SHORT = ("--steps", "2", "--device", "cpu", "--set", "batch_size=4", "--set", "sample_every=0")


@pytest.fixture
def plugin(site):
    """The plugin, installed."""
    site.add("zoo-points", PLUGIN, model=MODEL)
    manager.cache_clear()
    yield
    manager.cache_clear()


@pytest.fixture
def points(tmp_path):
    with (tmp_path / "points.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[number, -number] for number in range(12)])
    return tmp_path / "points.csv"


@pytest.fixture
def frames(tmp_path):
    """A folder of twelve pictures of 48 x 32, each of one colour."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (48, 32), (20 * number, 0, 0)).save(folder / f"{number:02}.png")
    return folder


def command(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_kind_of_a_plugin_reads_what_zoo_train_is_given(plugin, points, tmp_path):
    done = command("train", "cloud", "--data", points, "--out", tmp_path / "run", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "12 points" in done.stderr.splitlines()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["config"], config["sample_shape"]) == ({"dimensions": 2}, [2])
    assert zoo.load(tmp_path / "run").sample(3).shape == (3, 2)


def test_sounds_and_texts_complete_the_configuration_with_what_they_state(plugin, tmp_path):
    sounds = np.sin(np.arange(4 * 1000).reshape(4, 1, 1000) / 9).astype(np.float32)
    np.savez(tmp_path / "sounds.npz", sounds, sample_rate=np.array(8000))
    (tmp_path / "words.txt").write_text("cab\nbad\nab\nabc\n")
    completed = {
        "wave": ("sounds.npz", {"sample_rate": 8000, "channels": 1, "length": 1024}),  # a multiple of 64
        "chars": ("words.txt", {"alphabet": "abcd", "length": 4}),  # the last code ends a text
    }
    for name, (data, expected) in completed.items():
        done = command("train", name, "--data", tmp_path / data, "--out", tmp_path / name, *SHORT)
        assert done.exit_code == 0, done.stderr
        assert json.loads((tmp_path / name / "config.json").read_text())["config"] == expected
        measured = open_data(tmp_path / data, zoo.load(tmp_path / name))
        assert measured.samples.dtype == (torch.float32 if name == "wave" else torch.int64)
        assert measured.sample_shape == zoo.load(tmp_path / name).sample_shape


def test_what_the_user_sets_comes_before_what_the_data_states(plugin, points, tmp_path):
    done = command("train", "cloud", "--data", points, "--out", tmp_path / "run", "--set", "model.dimensions=3", *SHORT)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1, "zoo: points has samples of (2,), but the model makes (3,)"
    )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_value_of_the_data_that_the_model_cannot_have_is_said(plugin, tmp_path):
    np.savetxt(tmp_path / "points.csv", np.zeros((12, 9)), delimiter=",")
    done = command("train", "cloud", "--data", tmp_path / "points.csv", "--out", tmp_path / "run", *SHORT)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("zoo: model.dimensions: 9, as in the data points, is not possible")


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("cloud", "{} cannot be read by the kind 'points' of zoo-points: ValueError: could not convert string"),
        ("silence", "{} cannot be read: the kind 'mute' reads no data"),
        ("riddle", "the kind 'confused' of zoo-points: read must return a TrainingData, not a list"),
        ("typo", "neither zoo-core nor an installed plugin has the kind of samples 'point'; did you mean points?"),
    ],
)
def test_a_kind_that_cannot_read_is_one_line_that_names_it(architecture, said, plugin, tmp_path):
    (tmp_path / "words.csv").write_text("one,two\n")
    done = command("train", architecture, "--data", tmp_path / "words.csv", "--out", tmp_path / "run", *SHORT)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"zoo: {said.format(tmp_path / 'words.csv')}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing", "nothing cannot be read by Reading.read_data: KeyError: 'nothing'"),
        ("elsewhere", "Reading.read_data must return a TrainingData, not a str"),
    ],
)
def test_a_trainer_that_fails_to_read_is_one_line_that_names_it(source, said, plugin, tmp_path):
    done = command("train", "reader", "--data", source, "--out", tmp_path / "run", *SHORT)
    assert (done.exit_code, done.stderr) == (1, f"zoo: {said}\n")


def test_the_trainers_own_reading_is_that_of_fit_and_of_evaluation_too(plugin, tmp_path):
    architecture = manager().architecture("reader")
    trainer_class, config = architecture.trainer_class(), architecture.config_class()(dimensions=2)
    trainer = trainer_class(config, trainer_class.Settings(steps=1, batch_size=4, device="cpu"), (2,))
    trained = zoo.load(trainer.fit("own", out=tmp_path / "run"))
    assert open_data("own", trained).name == "own"
    with pytest.raises(MetricError, match=r"Reading.read_data reads data without splits; leave out the split 'test'"):
        open_data("own", trained, "test")


def test_fit_reads_a_path_by_its_kind_and_reports_what_it_found(plugin, points, frames, tmp_path, capfd):
    for name, source, shape, found in [
        ("cloud", points, (2,), "12 points"),
        ("frames", frames, (3, 32, 48), f"12 pictures without classes from the folder {frames}"),
    ]:
        architecture = manager().architecture(name)
        values = {"dimensions": 2} if name == "cloud" else {"height": 32, "width": 48}
        trainer_class = architecture.trainer_class()
        settings = trainer_class.Settings(steps=1, batch_size=4, device="cpu", sample_every=0)
        trainer = trainer_class(architecture.config_class()(**values), settings, shape)
        trainer.fit(source, out=tmp_path / f"{name}-run")
        assert found in capfd.readouterr().err.splitlines()
        assert (trainer.seen.dtype, trainer.seen.shape) == (torch.float32, (4, *shape))


def test_pictures_are_as_high_and_wide_as_the_data_where_the_model_can_be(plugin, frames, tmp_path):
    done = command("train", "frames", "--data", frames, "--out", tmp_path / "run", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert not re.search(r"cropped|resized|size of frames", done.stderr)
    assert any(line.startswith("12 pictures of 48 x 32 take 55.3 kB") for line in done.stderr.splitlines())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"] == {"channels": 3, "height": 32, "width": 48}
    assert zoo.load(tmp_path / "run").sample(2).shape == (2, 3, 32, 48)


def test_pictures_of_another_aspect_ratio_are_cropped_and_what_is_changed_is_said(plugin, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.new("RGB", (100, 60), "red").save(tmp_path / "photos" / f"{number}.png")
    arguments = ("--data", tmp_path / "photos", "--out", tmp_path / "run", *SHORT, "--set")
    done = command("train", "frames", *arguments, "model.channels=3")
    assert done.exit_code == 0, done.stderr
    said = done.stderr.splitlines()
    assert "pictures of 100 x 60 are reduced to 64 x 40, the largest size of frames" in said
    assert "4 were not 8:5 and were cropped about their centre" in said
    assert "4 were resized to 64 x 40 (bicubic)" in said


def test_a_model_with_one_side_alone_takes_the_squares_that_it_always_took(plugin, frames):
    source = open_source(kind_named("image"), frames)
    assert (source.sample_shape, source.shape_for(["size"])) == ((3, 32, 48), (3, 32, 32))
    assert source.shape_for(["height", "width"]) == (3, 32, 48)
    assert kind_named("image").read(frames).sample_shape == (3, 32, 48)


def test_rectangular_pictures_are_evaluated_and_damaged_ones_left_out_if_asked(plugin, frames, tmp_path):
    (frames / "03.png").write_bytes(b"")
    architecture = manager().architecture("frames")
    model = architecture.generator_class()(architecture.config_class()(height=32, width=48)).eval()
    conditions = {"metrics": ["fid"], "n": 6, "extractor": "random-vgg"}
    with pytest.raises(DataError, match=r"03\.png: the picture cannot be decoded: it is empty"):
        zoo.evaluate(model, frames, **conditions)
    told = []
    (figure,) = zoo.evaluate(model, frames, **conditions, skip_damaged=True, tell=told.append)
    assert (figure.metric, figure.samples, figure.detail) == ("fid", 6, "against 11 pictures")
    assert "1 of 12 pictures is damaged and left out: frames/03.png" in told


def test_data_is_read_with_the_values_of_the_model_that_is_measured(plugin, points, monkeypatch):
    architecture = manager().architecture("cloud")
    cloud = architecture.generator_class()(architecture.config_class()(dimensions=2))
    cloud.sample_rate = 8000
    asked = {}
    kind = kind_named("points")
    read = type(kind).read
    monkeypatch.setattr(type(kind), "read", lambda self, source, **how: asked.update(how) or read(self, source))
    told = []
    assert len(open_data(points, cloud, "test", told.append, skip_damaged=True)) == 12
    assert asked == {"values": {"dimensions": 2, "sample_rate": 8000}, "split": "test", "skip_damaged": True}
    assert told == ["12 points"]
    with pytest.raises(MetricError, match=r"tensor has samples of \(3,\), but the model makes \(2,\)"):
        open_data(torch.zeros(5, 3), cloud)


def test_features_of_samples_that_no_extractor_takes_are_refused(plugin, points):
    architecture = manager().architecture("cloud")
    cloud = architecture.generator_class()(architecture.config_class()(dimensions=2)).eval()
    with pytest.raises(MetricError, match="no extractor takes samples of kind points"):
        zoo.evaluate(cloud, points, metrics=["fid"], n=5)


def test_samples_of_other_kinds_are_neither_mirrored_nor_augmented(plugin, points, tmp_path):
    done = command(
        "train", "cloud", "--data", points, "--out", tmp_path / "run", *SHORT, "--set", "horizontal_flip=true"
    )
    assert (done.exit_code, done.stderr) == (
        1, "zoo: horizontal_flip: only pictures can be mirrored, and the samples are of kind 'points'; leave it out\n"
    )  # fmt: skip


class Half(DataSource):
    """A source that does not say all that it should, and decodes what is no data."""

    def __init__(self, **known):
        self.__dict__ |= known

    def decode(self, sample_shape, *, processes=None):
        if sample_shape == (1,):
            raise IndexError("out of range")
        return torch.zeros(3, *sample_shape)


def test_a_source_that_is_none_is_said_with_its_kind(plugin, monkeypatch):
    kind = kind_named("points")
    for opened, said in [
        (7, "open must return a DataSource, not an int"),
        (None, "open must return a DataSource, not None"),
        (Half(name="half"), "the Half that open returns has no sample_shape"),
    ]:
        monkeypatch.setattr(type(kind), "open", lambda self, source, opened=opened, **how: opened)
        with pytest.raises(InterfaceError, match=f"^the kind 'points' of zoo-points: {said}$"):
            open_source(kind, "anything")
    half = Half(name="half", sample_shape=(2,))
    with pytest.raises(InterfaceError, match=r"^the kind 'points' of zoo-points: decode must return a TrainingData"):
        decode_source(kind, half, (2,))
    with pytest.raises(DataError, match=r"^half cannot be read by the kind 'points' of zoo-points: IndexError: out of"):
        decode_source(kind, half, (1,))


def test_what_has_been_read_has_one_shape():
    source = ReadSource(zoo.TrainingData.from_tensors(torch.zeros(4, 2), name="four"))
    assert source.decode((2,)).name == "four"
    with pytest.raises(DataError, match=r"^four has samples of \(2,\), but the model makes \(3,\)$"):
        source.decode((3,))
