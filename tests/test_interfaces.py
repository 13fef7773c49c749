"""What a Generator promises and what it asks of its subclass."""

import pytest
import torch
from torch import nn

import zoo_core
from tests.builtin import architecture, every_bundled_model
from zoo_core import Encoder, Generator, ModelConfig
from zoo_core.errors import InterfaceError


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


@pytest.mark.plugins("zoo-vae")
def test_the_vae_reconstructs_what_it_is_shown():
    vae = zoo_core.load("vae-mnist", device="cpu")
    x = vae.sample(8, seed=3)
    assert (vae.reconstruct(x) - x).abs().mean() < 0.05


@pytest.mark.plugins("zoo-vae", "zoo-dcgan")
def test_a_class_loads_only_its_own_models():
    vae = architecture("vae").generator_class()
    folder = zoo_core.pull("dcgan-mnist")
    with pytest.raises(InterfaceError, match="holds a DCGANGenerator, not a VAE"):
        vae.load(folder)
