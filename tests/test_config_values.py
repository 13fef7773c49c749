"""Which values a configuration accepts: sizes that follow the data, and messages that name the choices."""

from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from msgspec import Meta
from PIL import Image

from tests.builtin import architecture
from zoo_core import Architecture
from zoo_core.errors import RegistryError, SettingsError
from zoo_core.interfaces import Generator, ModelConfig, Trainer
from zoo_core.interfaces.config_values import accepted, accepted_sizes, choices, following, in_words, takes
from zoo_core.training import setup


class Bounded(ModelConfig, frozen=True):
    """Bounds in the types."""

    channels: Literal[1] = 1
    size: Annotated[int, Meta(ge=8, le=96, multiple_of=8)] = 32
    conditional: bool = False
    num_classes: Annotated[int, Meta(ge=1, le=100)] = 10


class Conditions(ModelConfig, frozen=True):
    """Bounds between fields."""

    size: int = 32
    depth: Annotated[int, Meta(ge=1, le=4)] = 2

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 128 or self.size % 2**self.depth:
            raise ValueError(f"size must be a multiple of {2**self.depth} from 8 to 128")


class Required(ModelConfig, frozen=True):
    """A field that only the user knows."""

    size: Annotated[int, Meta(ge=1, le=64)]
    name: Annotated[str, Meta(max_length=8)]


@pytest.mark.parametrize(
    ("config_class", "values", "side", "size"),
    [
        (Bounded, {}, 28, 32),
        (Bounded, {}, 5, 8),
        (Bounded, {}, 384, 96),
        (Bounded, {"size": 16}, 28, 16),
        (Conditions, {}, 30, 32),
        (Conditions, {"depth": 4}, 20, 32),
        (Conditions, {"depth": 1}, 30, 30),
        (Conditions, {}, 500, 128),
        (Conditions, {"size": 30}, 28, 30),  # wrong, as the user will be told
        (Required, {}, 100, 100),  # no size makes this configuration valid
        (Required, {"name": "a"}, 100, 64),
    ],
)
def test_a_size_follows_the_data_within_what_the_configuration_accepts(config_class, values, side, size):
    assert Trainer.config_for(config_class, values, (1, side, side))["size"] == size


class Frames(ModelConfig, frozen=True):
    """Pictures that are twice as wide as high, or square."""

    height: Annotated[int, Meta(ge=8, le=64, multiple_of=8)] = 16
    width: Annotated[int, Meta(ge=8, le=64, multiple_of=8)] = 16

    def __post_init__(self) -> None:
        if self.width not in (self.height, 2 * self.height):
            raise ValueError("width must be the height, or twice as much")


@pytest.mark.parametrize(
    ("values", "shape", "followed"),
    [
        ({}, (24, 48), {"height": 24, "width": 48}),  # neither is possible beside the default of the other
        ({}, (20, 20), {"height": 24, "width": 24}),
        ({}, (20, 38), {"height": 32, "width": 64}),
        ({}, (500, 980), {"height": 32, "width": 64}),
        ({}, (900, 900), {"height": 64, "width": 64}),
        ({}, (3, 3), {"height": 8, "width": 8}),
        ({"width": 32}, (30, 40), {"height": 32, "width": 32}),
        ({"height": 16}, (30, 62), {"height": 16, "width": 32}),
        ({"height": 8, "width": 8}, (24, 48), {"height": 8, "width": 8}),
    ],
)
def test_height_and_width_follow_the_data_together(values, shape, followed):
    assert Trainer.config_for(Frames, values, (3, *shape)) == followed


def test_a_width_without_a_height_is_that_of_the_network():
    class Network(ModelConfig, frozen=True):
        size: int = 16
        width: int = 64

    assert Trainer.config_for(Network, {}, (3, 32, 48)) == {"size": 32}


@pytest.mark.parametrize("shape", [(32, 48), (48, 32)])
def test_a_size_is_the_shorter_side(shape):
    assert Trainer.config_for(Bounded, {}, (1, *shape)) == {"channels": 1, "size": 32}


class Waves(ModelConfig, frozen=True):
    """Lengths as networks have them."""

    length: Annotated[int, Meta(ge=1024, le=65536, multiple_of=1024)] = 8192


class Powers(ModelConfig, frozen=True):
    length: int = 8192

    def __post_init__(self) -> None:
        if self.length & (self.length - 1):
            raise ValueError("length must be a power of two")


@pytest.mark.parametrize(
    ("config_class", "longest", "length"),
    [(Waves, 7713, 8192), (Waves, 10, 1024), (Waves, 2**20, 65536), (Powers, 7713, 8192), (Powers, 8193, 16384)],
)
def test_a_length_follows_the_data_to_the_next_that_is_possible(config_class, longest, length):
    assert following(config_class, {}, "length", longest) == length


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_and_classes_follow_the_data_within_bounds_too(channels):
    shape = (channels, 32, 32)
    assert Trainer.config_for(Bounded, {}, shape, 7) == {"num_classes": 7, "channels": 1, "size": 32}
    assert "num_classes" not in Trainer.config_for(Bounded, {}, shape, 5000)
    assert Trainer.config_for(Bounded, {"conditional": True}, shape, 5000)["num_classes"] == 5000  # refused later
    assert Trainer.config_for(Conditions, {}, shape, 7) == {"size": 32}
    assert Trainer.config_for(Bounded, {}, (2,)) == {}


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("vae", {28: 28, 384: 256, 1: 1}),
        ("vanilla_gan", {28: 28, 384: 256}),
        ("dcgan", {28: 32, 33: 64, 5: 16, 900: 256}),
        ("cnn-gan", {28: 32, 384: 32}),
    ],
)
def test_every_built_in_architecture_has_a_size_for_any_data(name, sides):
    built_in = architecture(name)
    for side, size in sides.items():
        values = built_in.trainer_class().config_for(built_in.config_class(), {}, (3, side, side))
        assert built_in.config_class()(**values).size == size


@pytest.mark.plugins("zoo-vae")
def test_the_sizes_of_a_convolutional_vae_are_those_that_its_convolutions_halve():
    config_class = architecture("vae").config_class()
    values = {"network": "convolutional", "widths": (8, 8, 8)}
    assert in_words(accepted_sizes(config_class, values)) == "a multiple of 8 from 8 to 256"
    assert architecture("vae").trainer_class().config_for(config_class, values, (1, 28, 28))["size"] == 32


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], ""),
        ([32], "32"),
        ([1, 3], "1 or 3"),
        ([16, 32, 64, 128, 256], "16, 32, 64, 128 or 256"),
        (range(1, 257), "1 to 256"),
        (range(8, 97, 8), "a multiple of 8 from 8 to 96"),
        (range(5, 40, 8), "5, 13, 21, 29 or 37"),
        ([2**power for power in range(20)], "1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, … or 524288"),
    ],
)
def test_whole_numbers_in_words(values, words):
    assert in_words(values) == words


@pytest.mark.parametrize(
    ("field_type", "words"),
    [
        (Literal["b", "a"], "a or b"),
        (Annotated[int, Meta(ge=1, le=9)], "1 to 9"),
        (Annotated[int, Meta(ge=8, le=96, multiple_of=8)], "a multiple of 8 from 8 to 96"),
        (Annotated[float, Meta(gt=0, lt=1)], "above 0 to below 1"),
        (Annotated[int, Meta(ge=1)], ""),
        (bool, ""),
        (tuple[int, ...], ""),
    ],
)
def test_the_values_of_a_type_in_words(field_type, words):
    assert choices(field_type) == words


def test_what_a_field_takes():
    assert takes(Bounded, "num_classes", 100)
    assert not takes(Bounded, "num_classes", 101)
    assert not takes(Bounded, "classes", 5)
    assert accepted(Conditions, {"size": 8}, "depth", range(10)) == [1, 2, 3]


# what a user sees


class Network(Generator):
    """Pictures of one grey."""

    latent_shape = (2,)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.sample_shape = (getattr(config, "channels", 3), config.size, config.size)

    def forward(self, z, labels=None):
        return z.new_zeros(len(z), *self.sample_shape)


class Training(Trainer):
    """No training at all."""

    def build(self):
        """Build nothing."""

    def training_step(self, batch):
        return {}


class Stubborn(Training):
    """Takes the size of the data, whatever it is."""

    @classmethod
    def config_for(cls, config_class, values, data_shape, num_classes=None):
        return {"size": data_shape[1]} | values


class Wide(ModelConfig, frozen=True):
    """Takes any number of channels."""

    channels: Annotated[int, Meta(ge=1, le=8)] = 3
    size: Annotated[int, Meta(ge=1, le=64)] = 16


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Prepare the training of an architecture on two colour photos of 100 x 80; returns the trainer and what is told."""
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (100, 80), "red").save(tmp_path / "photos" / f"{name}.png")

    def run(*assignments, config=Bounded, trainer=Training, network=Network, **options):
        home = __name__
        small = Architecture(
            name="small",
            summary="Small pictures",
            config=f"{home}:{config.__name__}",
            generator=f"{home}:{network.__name__}",
            trainer=f"{home}:{trainer.__name__}",
        )
        monkeypatch.setattr(setup, "manager", lambda: SimpleNamespace(architecture=lambda name: small))
        told = []
        prepared, _ = setup.prepare_training(
            "small", tmp_path / "photos", assignments=assignments, tell=told.append, **options
        )
        return prepared, told

    return run


def test_a_size_and_channels_that_the_data_cannot_have_are_said_in_one_line_each(prepare):
    trainer, told = prepare()
    assert trainer.sample_shape == (1, 80, 80)
    assert not any("size of small" in line for line in told)
    assert told[1] == "the pictures are in colour, and small makes only pictures that are grey"
    _, told = prepare("model.channels=1")
    assert not any("only pictures" in line for line in told)
    _, told = prepare(config=Conditions)
    assert not any("size of small" in line for line in told)
    trainer, told = prepare("model.depth=4", "model.size=112", config=Conditions)
    assert trainer.config.size == 112
    assert not any("size of small" in line for line in told)
    trainer, told = prepare(config=Wide)
    assert told[1] == "pictures of 80 x 80 are reduced to 64 x 64, the largest size of small"


@pytest.mark.parametrize(
    ("config", "assignment", "message"),
    [
        (Bounded, "model.size=100", "model.size: Expected `int` <= 96; choose a multiple of 8 from 8 to 96"),
        (Bounded, "model.size=big", "model.size: Expected `int`, got `str`; choose a multiple of 8 from 8 to 96"),
        (Conditions, "model.size=30", "model.size: size must be a multiple of 4 from 8 to 128; choose a multiple of 4"),
        (Bounded, "model.channels=2", "model.channels: Invalid enum value 2; choose 1"),
        (Wide, "model.channels=4", "model.channels: Network makes pictures with 4 channels; zoo train reads pictures"),
        (Wide, "precision=fp8", "precision: Invalid enum value 'fp8'; choose auto, bf16, fp16 or fp32"),
    ],
)
def test_a_value_that_is_not_possible_is_refused_with_those_that_are(prepare, config, assignment, message):
    with pytest.raises(SettingsError) as refused:
        prepare(assignment, config=config)
    assert str(refused.value).startswith(message)


def test_a_value_that_came_from_the_data_is_not_reported_as_the_users(prepare):
    with pytest.raises(SettingsError) as refused:
        prepare(config=Wide, trainer=Stubborn)
    assert str(refused.value) == (
        "model.size: 80, as in the data photos, is not possible; Expected `int` <= 64; choose 1 to 64"
    )
    with pytest.raises(SettingsError, match=r"^model\.size: Expected `int` <= 64; choose 1 to 64$"):
        prepare("model.size=80", config=Wide, trainer=Stubborn)


class Halving(Network):
    """Has a condition of its own, which its configuration does not know."""

    def __init__(self, config: ModelConfig) -> None:
        if config.size % 32:
            raise ValueError("the size must be a multiple of 32")
        super().__init__(config)


def test_a_condition_of_the_network_itself_is_told_with_what_came_from_the_data(prepare):
    with pytest.raises(SettingsError) as refused:
        prepare(config=Conditions, network=Halving)
    assert str(refused.value) == (
        "small cannot be built, with size 80 as in the data photos: the size must be a multiple of 32; set other values "
        "of model.…"
    )
    with pytest.raises(SettingsError, match=r"^small cannot be built: the size must be a multiple of 32"):
        prepare("model.size=48", config=Conditions, network=Halving)
    assert prepare("model.size=64", config=Conditions, network=Halving)[0].config.size == 64


def test_a_file_with_a_value_that_is_not_possible_is_refused_with_those_that_are(prepare, tmp_path):
    file = tmp_path / "training.yaml"
    file.write_text("steps: 5\nmodel:\n  size: 300\n")
    with pytest.raises(RegistryError, match=r"line 3, model\.size: Expected `int` <= 96; choose a multiple of 8"):
        prepare(config_file=file)
