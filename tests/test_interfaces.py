"""What a Generator promises and what it asks of its subclass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import zoo_core
from tests.builtin import architecture, every_bundled_model
from zoo_core import Encoder, Generator, ModelConfig
from zoo_core.conditioning import append_one_hot
from zoo_core.errors import InterfaceError, SamplingError


class Config(ModelConfig, frozen=True):
    width: int = 3


class Bare(Generator):
    def forward(self, z, labels=None):
        return z


class WithProperties(Bare):
    @property
    def latent_shape(self):
        return (self.config.width,)

    @property
    def sample_shape(self):
        return self.nothing_of_that_name


@pytest.mark.parametrize("name", ["config", "latent_shape", "sample_shape"])
def test_a_missing_attribute_says_what_to_do_when_it_is_used(name):
    generator = Bare()
    with pytest.raises(InterfaceError, match=f"Bare has no {name}: set self.{name} in __init__, or make it a property"):
        getattr(generator, name)


def test_attributes_may_be_properties_and_a_failing_one_is_named():
    generator = WithProperties(Config(width=7))
    assert generator.latent_shape == (7,)
    with pytest.raises(InterfaceError, match="sample_shape is a property that raised AttributeError"):
        generator.sample_shape  # noqa: B018 - reading it is what is tested


def test_an_ordinary_missing_attribute_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        Bare().no_such_thing  # noqa: B018


def test_the_configuration_is_stored_when_given():
    assert Bare(Config(width=5)).config == Config(width=5)


def test_forward_is_the_one_thing_that_must_be_written():
    class Nothing(Generator):
        pass

    with pytest.raises(TypeError, match="forward"):
        Nothing()


def test_to_unit_and_from_unit_are_inverse_between_tanh_and_pictures():
    x = torch.tensor([-1.0, -0.5, 0.0, 1.0])
    assert Bare().to_unit(x).tolist() == [0.0, 0.25, 0.5, 1.0]
    torch.testing.assert_close(Bare().from_unit(Bare().to_unit(x)), x)


class Halving(Generator, Encoder):
    """Encodes to half the value with a variance, decodes to twice the latent."""

    kind = "tensor"
    latent_shape = sample_shape = (2,)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, z, labels=None):
        return 2 * z

    def encode(self, x):
        return x / 2, torch.zeros_like(x)


def test_reconstruct_uses_the_mean_and_samples_when_asked():
    x = torch.tensor([[1.0, 2.0]])
    assert torch.equal(Halving().reconstruct(x), x)
    torch.manual_seed(0)
    assert not torch.equal(Halving().reconstruct(x, sample=True), x)


@pytest.mark.parametrize("name", every_bundled_model)
def test_a_loaded_model_is_in_eval_mode_frozen_and_nowhere_on_meta(name):
    generator = zoo_core.load(name, device="cpu")
    assert not any(module.training for module in generator.modules())
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert not any(tensor.is_meta for tensor in [*generator.parameters(), *generator.buffers()])
    assert isinstance(generator, Generator)


@pytest.mark.plugins("zoo-dcgan")
def test_a_model_loads_in_the_dtype_asked_for():
    generator = zoo_core.load("dcgan-mnist", device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.bfloat16}
    reference = zoo_core.load("dcgan-mnist", device="cpu").sample(4)
    assert (generator.sample(4) - reference).abs().mean() < 0.02


class Exact(Generator, Encoder):
    """Pictures in [-1, 1] whose code is the picture itself, doubled; nothing but its range can spoil what comes back."""

    latent_shape = sample_shape = (3, 2, 2)

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)  # gives the model a dtype

    def forward(self, z, labels=None):
        return z / 2

    def encode(self, x):
        return 2 * x, None


class Unit(Exact):
    """The same in [0, 1]."""

    def to_unit(self, x):
        return x

    def from_unit(self, x):
        return x


class Standardised(Exact):
    """The same with the mean and the deviation of each channel taken out, as in many published models."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3])[:, None, None])

    def to_unit(self, x):
        return x * 0.2 + self.mean

    def from_unit(self, x):
        return (x - self.mean) / 0.2


class Binary(Unit):
    """Black or white alone: its from_unit has no inverse between the two."""

    def from_unit(self, x):
        return (x > 0.5).to(x.dtype)

    def to_unit(self, x):
        return x


class ClampedAlone(Exact):
    """Overrides to_unit alone, and needs no more: the inverse stays what it was."""

    def to_unit(self, x):
        return super().to_unit(x).clamp(0, 1)


RANGES = [Exact, Unit, Standardised, ClampedAlone]
pictures = st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12)


@pytest.mark.parametrize("kind", RANGES)
@given(values=pictures)
def test_whatever_the_range_of_a_model_it_reconstructs_what_sample_returns(kind, values):
    x = torch.tensor(values).reshape(1, 3, 2, 2)
    torch.testing.assert_close(kind().reconstruct(x), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", RANGES)
def test_a_reconstruction_is_in_the_public_range_on_the_device_and_in_the_dtype_of_what_was_given(kind):
    class Far(kind):
        def forward(self, z, labels=None):
            return 100 * z

    x = kind().sample(5, seed=1)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        again = Far().to(torch.bfloat16).reconstruct(x.to(dtype))
        assert (again.dtype, again.device) == (dtype, x.device)
        assert 0 <= again.min() <= again.max() <= 1


def test_a_model_of_binary_pixels_may_map_every_grey_to_one_of_them():
    x = torch.tensor([0.0, 1.0, 0.7]).repeat(4).reshape(1, 3, 2, 2)
    assert torch.equal(Binary().reconstruct(x), x.round())


def test_a_model_that_makes_no_pictures_reconstructs_in_its_own_range():
    x = torch.tensor([[-300.0, 7.0]])
    assert torch.equal(Halving().reconstruct(x), x)


class ToUnitAlone(Exact):
    def to_unit(self, x):
        return x


class GammaAlone(Exact):
    """Black and white come back, and every grey is brighter."""

    def to_unit(self, x):
        return super().to_unit(x).clamp(0, 1) ** 0.45


class FromUnitAlone(Exact):
    def from_unit(self, x):
        return x


class Mismatched(Unit):
    """Its base overrides both; it overrides one of them again."""

    def to_unit(self, x):
        return x / 255


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ToUnitAlone, "0 becomes -1; override from_unit as the inverse of to_unit, which ToUnitAlone overrides alone"),
        (GammaAlone, "0.25 becomes 0.5.*override from_unit"),
        (FromUnitAlone, "0 becomes 0.5; override to_unit as the inverse of from_unit, which FromUnitAlone overrides"),
        (Mismatched, "0.25 becomes 0.00098; override from_unit as the inverse of to_unit, which Mismatched overrides"),
    ],
)
def test_a_range_that_is_overridden_on_one_side_alone_is_noticed_before_a_picture_goes_through(kind, words):
    with pytest.raises(InterfaceError, match=rf"{kind.__name__}: to_unit\(from_unit\(x\)\) is not x: {words}"):
        kind().reconstruct(torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            torch.full((1, 3, 2, 2), -1.0),
            "pictures are in .0, 1., as sample returns them, not from -1 to -1; Exact.to_unit",
        ),
        (torch.full((1, 3, 2, 2), 255.0), "not from 255 to 255"),
        (torch.full((1, 3, 2, 2), float("nan")), "not from nan to nan"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "not torch.uint8; divide 8-bit pixels by 255"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.int64), "floating values in .0, 1., not torch.int64"),
        (torch.zeros(3, 2, 2), r"of shape \(N, 3, 2, 2\), not \(3, 2, 2\)"),
        (np.zeros((1, 3, 2, 2)), "must be a tensor .N, 3, 2, 2., not ndarray"),
    ],
)
def test_what_cannot_be_reconstructed_is_refused(x, words):
    with pytest.raises(SamplingError, match=words):
        Exact().reconstruct(x)


@pytest.mark.parametrize("name", every_bundled_model)
def test_a_bundled_model_that_encodes_gives_back_what_it_is_shown(name):
    model = zoo_core.load(name, device="cpu")
    if not isinstance(model, Encoder):
        pytest.skip("it does not encode")
    x = model.sample(4)
    again = model.reconstruct(x)
    assert (again - x).abs().mean() < 0.05
    assert 0 <= again.min() <= again.max() <= 1


@pytest.mark.plugins("zoo-vae", "zoo-dcgan")
def test_a_class_loads_only_its_own_models():
    vae = architecture("vae").generator_class()
    folder = zoo_core.pull("dcgan-mnist")
    with pytest.raises(InterfaceError, match="holds a DCGANGenerator, not a VAE"):
        vae.load(folder)


def test_conditioning_is_exported_for_batches_of_any_size():
    class Appending(torch.nn.Module):
        def forward(self, features, labels):
            return append_one_hot(features, labels, 3)

    batch = torch.export.Dim("batch")
    inputs = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    exported = torch.export.export(Appending(), inputs, dynamic_shapes=({0: batch}, {0: batch})).module()
    for count in (2, 7):
        features, labels = torch.randn(count, 2), torch.arange(count) % 3
        assert torch.equal(exported(features, labels), append_one_hot(features, labels, 3))
