"""Training data from memory: what `fit` and `evaluate` take besides paths, and what they refuse in one line."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

import zoo_core as zoo
from tests.builtin import architecture
from zoo_core import GANSettings, Generator, Trainer, TrainingData
from zoo_core.data import from_memory as module
from zoo_core.data.from_memory import from_memory
from zoo_core.errors import DataError, InterfaceError
from zoo_core.training.batches import BatchStream
from zoo_core.training.loop import batch_stream, prepare, train_one_step
from zoo_core.training.sample_range import check_samples

COLOUR, GREY = (3, 4, 4), (1, 4, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)  # channels last
FIRST = torch.from_numpy(PIXELS).movedim(-1, 1)
LABELS = [0, 2, 1, 0, 2, 1]


class Pairs(Dataset):
    """A map-style Dataset of (sample, label)."""

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        return FIRST[index], LABELS[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(FIRST)


PICTURES = {
    "array_channels_last": PIXELS,
    "array_channels_first": np.ascontiguousarray(FIRST.numpy()),
    "read_only_array": np.broadcast_to(PIXELS, PIXELS.shape),
    "backwards_array": PIXELS[:, :, ::-1][:, :, ::-1],
    "tensor": FIRST,
    "tensor_channels_last": torch.from_numpy(PIXELS),
    "list_of_tensors": list(FIRST),
    "list_of_arrays": list(PIXELS),
    "list_of_pictures": [Image.fromarray(pixels) for pixels in PIXELS],
    "generator": (pixels for pixels in PIXELS),
    "iterable_dataset": Stream(),
    "tensor_dataset": TensorDataset(FIRST),
    "loader": DataLoader(FIRST, batch_size=4),
    "shuffling_loader": DataLoader(FIRST, batch_size=4, shuffle=True, drop_last=True),
    "loader_of_a_stream": DataLoader(Stream(), batch_size=4),
}
LABELLED = {
    "pair_of_tensors": (FIRST, torch.tensor(LABELS)),
    "pair_of_arrays": (PIXELS, np.array(LABELS, dtype=np.uint8)),
    "pair_with_a_list": (PIXELS, LABELS),
    "tensor_dataset": TensorDataset(FIRST, torch.tensor(LABELS, dtype=torch.int32)),
    "dataset": Pairs(),
    "subset": Subset(Pairs(), range(6)),
    "list_of_pairs": [(pixels, label) for pixels, label in zip(PIXELS, LABELS, strict=True)],
    "list_of_pictures": [(Image.fromarray(pixels), label) for pixels, label in zip(PIXELS, LABELS, strict=True)],
    "loader": DataLoader(Pairs(), batch_size=4),
    "shuffling_loader": DataLoader(Pairs(), batch_size=4, shuffle=True),
    "collating_loader": DataLoader(Pairs(), batch_size=4, collate_fn=torch.utils.data.default_collate),
    "own_collation": DataLoader(
        Pairs(), batch_size=4, collate_fn=lambda items: torch.utils.data.default_collate(items)
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_come_as_they_are_with_their_channels_first(name):
    data = from_memory(PICTURES[name], COLOUR)
    assert torch.equal(data.samples, FIRST)
    assert data.labels is None


@pytest.mark.parametrize("name", LABELLED)
def test_labels_come_with_them(name):
    data = from_memory(LABELLED[name], COLOUR)
    assert torch.equal(data.samples, FIRST)
    assert data.labels.dtype == torch.int64
    assert data.labels.tolist() == LABELS


def test_the_order_of_a_loader_that_shuffles_changes_no_run():
    loader = DataLoader(Pairs(), batch_size=4, shuffle=True)
    assert from_memory(loader, COLOUR).fingerprint == from_memory(loader, COLOUR).fingerprint


def test_a_loader_that_chooses_is_read_as_it_chooses():
    chosen = DataLoader(Pairs(), batch_size=2, sampler=WeightedRandomSampler([0, 0, 0, 1, 0, 0], 4))
    assert from_memory(chosen, COLOUR).labels.tolist() == [LABELS[3]] * 4


def test_names_are_classes_in_sorted_order():
    data = from_memory([(pixels, name) for pixels, name in zip(PIXELS, "babcab", strict=True)], COLOUR)
    assert data.class_names == ("a", "b", "c")
    assert data.labels.tolist() == [1, 0, 1, 2, 0, 1]


def test_grey_pictures_may_come_without_a_channel_and_it_is_noted():
    data = from_memory(PIXELS[..., 0], GREY)
    assert torch.equal(data.samples, FIRST[:, :1])
    assert data.notes == ("the channels of the pictures were last or left out, and are now first",)
    assert from_memory(FIRST, COLOUR).notes == ()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.ones((3, 2)), torch.float32),
        (np.ones((3, 2), dtype=">f4"), torch.float32),
        (np.ones((3, 2), dtype=np.longdouble), torch.float32),
        (torch.ones(3, 2, dtype=torch.bfloat16), torch.float32),
        (torch.ones(3, 2, requires_grad=True), torch.float32),
        ([[1.0, 1.0]] * 3, torch.float32),
        (np.ones((3, 2), dtype=np.uint16), torch.int32),
        (np.ones((3, 2), dtype=np.int64), torch.int64),
        (np.ones((3, 2), dtype=np.uint8), torch.uint8),
        (np.ones((3, 2), dtype=bool), torch.bool),
    ],
)
def test_floating_values_become_float32_and_other_types_stay_what_they_are(values, dtype):
    data = from_memory(values, (2,))
    assert data.samples.dtype == dtype
    assert data.samples.tolist() == [[1, 1]] * 3
    assert not data.samples.requires_grad


REFUSED = {
    "number": (3.0, "3.0 of type float cannot be trained on; training data is a tensor or an array"),
    "none": (None, "None of type NoneType cannot be trained on"),
    "dictionary": ({"x": FIRST}, "a dict cannot be trained on; training data is"),
    "rows": ([{"image": PIXELS[0], "label": 1}], "list, item 0 is a dictionary with image, label; training takes"),
    "file_names": (["a.png", "b.png"], "list, item 0 is 'a.png'; give the folder of the files, not a list of them"),
    "triples": ([(FIRST[0], 1, 2)], "list, item 0 has 3 parts"),
    "unequal": ([FIRST[0], FIRST[0, :, :2]], r"list: item 1 is (3, 2, 4) of torch.uint8, and the first is (3, 4, 4)"),
    "unequal_types": ([FIRST[0], FIRST[0].float()], "item 1 is (3, 4, 4) of torch.float32"),
    "ragged": ([[[1.0], [1.0, 2.0]]], "list, item 0 is no array"),
    "palette": ([Image.new("P", (4, 4))], "list, item 0 is a picture in mode P; convert it to L (grey) or RGB"),
    "empty": ([], "list: the training data is empty"),
    "some_labelled": ([(FIRST[0], 1), FIRST[1]], "some items have a label and others, such as item 1, have none"),
    "mixed_labels": ([(FIRST[0], 1), (FIRST[1], "a")], "some labels are names and others are not"),
    "words": (np.array([["a", "b"]]), "an array of <U1 has no numbers"),
    "objects": (np.array([[None]]), "an array of object has no numbers"),
    "complex": (torch.zeros(3, 2, dtype=torch.complex64), "must be a dense tensor of real numbers"),
    "sparse": (torch.zeros(3, 2).to_sparse(), "must be a dense tensor of real numbers"),
    "meta": (torch.zeros(3, 2, device="meta"), "on the meta device, without values"),
    "nan": (torch.tensor([[0.0], [float("nan")]]), "there are samples that are NaN or infinite; the first is sample 1"),
    "infinite": (np.array([[0.0], [0.0], [np.inf]]), "the first is sample 2"),
    "nan_in_an_item": ([np.array([np.nan])], "NaN or infinite"),
    "labels_of_another_number": ((FIRST, torch.zeros(5)), "there are 5 labels for 6 samples"),
    "one_hot": ((FIRST, torch.zeros(6, 3)), "labels must be class indices of shape (N,), not (6, 3); argmax(1)"),
    "fractions": ((FIRST, torch.full((6,), 0.5)), "some that are no whole numbers"),
    "negative": ((FIRST, -torch.ones(6)), "there is a label -1; classes are numbered from 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_on_is_refused_in_one_line(name):
    data, words = REFUSED[name]
    with pytest.raises(DataError, match=re.escape(words)) as refused:
        from_memory(data, COLOUR)
    assert "\n" not in str(refused.value)


def test_what_never_ends_is_stopped_before_memory_does(monkeypatch):
    def endless():
        while True:
            yield FIRST[0]

    monkeypatch.setattr(module, "available_memory", lambda: 10_000)
    with pytest.raises(DataError, match=r"generator has more than 5.0 kB of samples.*write pictures into a folder"):
        from_memory(endless(), COLOUR)


# In a run


def gan(**settings):
    """A trainer of small MLPs on grey pictures of 4 x 4 that keeps the samples of its last step."""
    of_name = architecture("vanilla_gan")

    class Recording(of_name.trainer_class()):
        def training_step(self, batch):
            self.seen = batch.samples
            return super().training_step(batch)

    config = of_name.config_class()(size=4, latent_size=2, generator_widths=(4,), discriminator_widths=(4,))
    settings = {"steps": 1, "batch_size": 4, "sample_every": 0, "checkpoint_every": 0, "device": "cpu"} | settings
    return Recording(config, GANSettings(**settings), GREY)


@pytest.mark.parametrize(
    "data",
    [
        PIXELS[..., :1],
        PIXELS[..., 0],
        list(FIRST[:, :1]),
        DataLoader(FIRST[:, :1], batch_size=3, shuffle=True),
        Subset(TensorDataset(FIRST[:, :1]), range(5)),
        np.random.default_rng(0).uniform(-1, 1, (6, 1, 4, 4)),
    ],
    ids=["channels_last", "no_channel", "list", "loader", "dataset", "float64"],
)
def test_a_run_takes_them_all(data, tmp_path):
    folder = gan().fit(data, out=tmp_path / "run")
    assert zoo.load(folder, device="cpu").sample(2).shape == (2, *GREY)


class Vectors(Generator):
    """A model that makes no pictures."""

    kind, latent_shape, sample_shape = "tensor", (2,), (2,)

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, z, labels=None):
        return self.layer(z)


class Codes(Trainer):
    """Looks at samples as whole numbers."""

    def build(self):
        self.modules["generator"] = Vectors()

    def training_step(self, batch):
        self.seen = batch.samples
        return {"largest": float(batch.samples.max())}


class Floats(Codes):
    def training_step(self, batch):
        return {"loss": self.modules["generator"](batch.samples).mean()}


def one_step(kind, data):
    trainer = kind(zoo.ModelConfig(), zoo.Settings(batch_size=6, device="cpu", precision="fp32", compile="off"), (2,))
    prepare(trainer)
    train_one_step(trainer, batch_stream(trainer, from_memory(data, (2,))))
    return trainer


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_numbers_for_a_model_that_makes_no_pictures_are_no_pixels(dtype):
    values = torch.tensor([[0, 255], [3, 200], [1, 1], [9, 0], [77, 78], [5, 6]]).to(dtype)
    seen = one_step(Codes, values).seen
    assert seen.dtype == dtype
    assert sorted(seen.tolist()) == sorted(values.tolist())


def test_a_layer_that_takes_no_whole_numbers_is_explained():
    with pytest.raises(
        DataError, match=r"Floats.training_step cannot compute with samples of torch.uint8: .*\.float\(\)"
    ):
        one_step(Floats, torch.zeros(6, 2, dtype=torch.uint8))


def test_an_error_of_the_step_itself_stays_what_it_is():
    class Broken(Codes):
        def training_step(self, batch):
            raise RuntimeError("of the plugin")

    with pytest.raises(RuntimeError, match=r"^of the plugin$"):
        one_step(Broken, torch.zeros(6, 2))


def test_uint8_is_pixels_for_pictures(tmp_path):
    trainer = gan()
    trainer.fit(np.full((4, 4, 4), 255, dtype=np.uint8), out=tmp_path / "run")
    assert trainer.seen.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (torch.zeros(6, *GREY, dtype=torch.int64), "samples of torch.int64; pictures are uint8, 0 to 255, or floating"),
        (np.zeros((6, *GREY), dtype=bool), "samples of torch.bool; pictures are uint8"),
        (
            torch.linspace(0, 255, 96).reshape(6, *GREY),
            "values from 0 to 255, far outside the range of VanillaGANGenerator",
        ),
        (np.linspace(-2.1, 2.6, 96).reshape(6, *GREY), "values from -2.1 to 2.6, far outside the range"),
        (torch.zeros(6, 1, 5, 5), r"has samples of (1, 5, 5), but the model makes (1, 4, 4)"),
        (torch.zeros(6, 16), r"has samples of (16,), but the model makes (1, 4, 4)"),
    ],
)
def test_pictures_of_another_type_shape_or_range_are_refused_before_anything_is_written(values, words, tmp_path):
    with pytest.raises(DataError, match=re.escape(words)):
        gan().fit(values, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (
            0.0,
            1.0,
            "tensor has values from 0 to 1, in the brighter half of the range of {} alone; give uint8 pixels, or",
        ),
        (-1.2, 1.0, "tensor has values from -1.2 to 1; what is outside the range of {} cannot be seen in its samples"),
        (-1.0, 1.0, None),
        (-1.0, 0.0, None),
    ],
)
def test_values_that_only_look_wrong_are_remarked_on(low, high, words, tmp_path, capfd):
    trainer = gan()
    trainer.fit(torch.linspace(low, high, 96).reshape(6, *GREY), out=tmp_path / "run")
    errors = capfd.readouterr().err
    if words is None:
        assert "tensor has values" not in errors
    else:
        assert words.format(type(trainer.modules["generator"]).__qualname__) in errors


def test_a_range_that_does_not_match_is_noticed_before_training(tmp_path):
    class Alone(architecture("vanilla_gan").generator_class()):
        def to_unit(self, x):
            return x

    class Trains(type(gan())):
        def build(self):
            super().build()
            self.modules["generator"].__class__ = Alone

    trainer = gan()
    with pytest.raises(InterfaceError, match=r"Alone: to_unit\(from_unit\(x\)\) is not x"):
        Trains(trainer.config, trainer.settings, GREY).fit(PIXELS[..., 0], out=tmp_path / "run")


def test_evaluation_takes_pictures_from_memory_too():
    class Grey(Generator):
        latent_shape, sample_shape = (1,), (1, 28, 28)

        def forward(self, z, labels=None):
            return torch.tanh(z)[..., None, None].expand(-1, 1, 28, 28)

    pixels = np.zeros((20, 28, 28), dtype=np.uint8)
    as_array, as_data = (
        zoo.evaluate(Grey(), data, metrics=["fid"], n=20)[0].value
        for data in (pixels, TrainingData.from_tensors(torch.from_numpy(pixels)[:, None]))
    )
    assert as_array == as_data


class Sounds(Generator):
    kind, latent_shape, sample_shape = "audio", (2,), (1, 8)

    def forward(self, z, labels=None):
        return z.new_zeros(len(z), 1, 8)


class Letters(zoo.ModelConfig, frozen=True):
    alphabet: str = "abc"


class Words(Generator):
    kind, latent_shape, sample_shape = "text", (2,), (3,)

    def __init__(self):
        super().__init__(Letters())

    def forward(self, z, labels=None):
        return torch.zeros(len(z), 3, dtype=torch.int64)


def remark(generator, samples):
    return check_samples(generator, TrainingData.from_tensors(samples), torch.device("cpu"))


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            torch.zeros(4, 1, 8, dtype=torch.int16),
            "samples of torch.int16; sounds are floating values in [-1, 1]: divide",
        ),
        (
            torch.zeros(4, 1, 8, dtype=torch.uint8),
            "samples of torch.uint8; sounds are floating values in [-1, 1]: scale",
        ),
        (torch.full((4, 1, 8), 300.0), "values from 300 to 300; sounds are in [-1, 1]: divide by the largest"),
    ],
)
def test_sounds_of_another_type_or_range_are_refused(samples, words):
    with pytest.raises(DataError, match=re.escape(words)):
        remark(Sounds(), samples)


@pytest.mark.parametrize(
    ("loudest", "words"),
    [(1.2, "what is outside [-1, 1] cannot be heard"), (0.001, "too quiet to be heard"), (1.0, None), (0.05, None)],
)
def test_sounds_that_only_seem_wrong_are_remarked_on(loudest, words):
    said = remark(Sounds(), torch.tensor([-loudest, 0.0]).repeat(4, 1, 4))
    assert said is None if words is None else words in said


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (torch.zeros(4, 3), "samples of torch.float32; texts are whole numbers, the codes of characters"),
        (torch.tensor([[0, -1, 2]]), "has the code -1; codes of characters are numbered from 0"),
        (torch.tensor([[0, 4, 2]]), "has the code 4, and the alphabet of Words has the codes 0 to 3"),
    ],
)
def test_codes_that_no_text_of_the_model_has_are_refused(codes, words):
    with pytest.raises(DataError, match=re.escape(words)):
        remark(Words(), codes)


def test_codes_are_known_to_a_model_that_decodes_them_itself():
    class Own(Words):
        def decode(self, codes):
            return ["?" for _ in codes]

    assert remark(Own(), torch.tensor([[0, 4, 2]])) is None


@pytest.mark.parametrize(
    ("generator", "given", "dtype"),
    [
        (Sounds(), torch.linspace(-1, 1, 48, dtype=torch.float64).reshape(6, 1, 8), torch.float32),
        (Words(), torch.arange(18).reshape(6, 3) % 3, torch.int64),
        (Words(), torch.arange(18, dtype=torch.uint8).reshape(6, 3) % 3, torch.int64),
    ],
)
def test_batches_of_sounds_are_floats_and_those_of_texts_are_codes(generator, given, dtype):
    data = from_memory(given, generator.sample_shape)
    assert check_samples(generator, data, torch.device("cpu")) is None
    batch = BatchStream(data, 6, 0, torch.device("cpu")).batch(0, generator)
    assert batch.samples.dtype == dtype
    assert sorted(batch.samples.flatten().tolist()) == sorted(given.to(dtype).flatten().tolist())


def test_rectangular_pictures_come_from_memory_with_their_channels_first():
    tall = np.zeros((5, 6, 4, 3), dtype=np.uint8)
    assert from_memory(tall, (3, 6, 4)).sample_shape == (3, 6, 4)
    assert from_memory(tall[..., 0], (1, 6, 4)).sample_shape == (1, 6, 4)
