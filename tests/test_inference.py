"""Merged and packed layers compute what the model's own do; what is not known to be safe is left alone."""

import copy

import pytest
import torch
from torch import nn

import zoo_core as zoo
from zoo_core.inference import prepared
from zoo_core.sampling import draw_labels

BUNDLED = ["vanilla-gan-mnist", "dcgan-mnist", "dcgan-mnist-conditional", "cnn-gan-mnist", "vae-mnist"]


def settled(*layers):
    """A chain in eval mode whose BatchNorm layers have seen something."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    for layer in model:
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return model.eval().requires_grad_(False)


def kinds(model):
    return [type(layer).__name__ for layer in model]


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ELU()],
)
def test_a_linear_layer_with_its_norm_and_its_activation(activation):
    model = settled(nn.Linear(24, 40, bias=False), nn.BatchNorm1d(40), activation)
    z = torch.randn(32, 24)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=2e-6)
    assert len(prepared(model)) == (2 if isinstance(activation, nn.ELU) else 1)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 8, 3, 2, 1),
        nn.Conv2d(6, 8, 4, 1, 0, bias=False),
        nn.Conv2d(6, 8, 3, padding=2, dilation=2, groups=2),
        nn.ConvTranspose2d(6, 8, 4, 2, 1),
        nn.ConvTranspose2d(6, 8, 5, 2, padding=2, output_padding=1, bias=False),
    ],
)
def test_a_convolution_with_its_norm_and_its_activation(layer):
    model = settled(layer, nn.BatchNorm2d(8), nn.ReLU())
    x = torch.randn(16, 6, 8, 8)
    torch.testing.assert_close(prepared(model)(x), model(x), rtol=1e-5, atol=5e-6)
    assert len(prepared(model)) == 1


@pytest.mark.parametrize("bias", [True, False])
def test_upsampling_and_a_convolution_are_one_transposed_convolution(bias):
    model = settled(nn.Upsample(scale_factor=2), nn.Conv2d(6, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU())
    x = torch.randn(16, 6, 8, 8)
    assert kinds(prepared(model)) == ["_FusedTransposedConvolution"]
    torch.testing.assert_close(prepared(model)(x), model(x), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(6, 8, 3, padding=1)),
        (nn.Upsample(scale_factor=3), nn.Conv2d(6, 8, 3, padding=1)),
        (nn.Upsample(size=(16, 16)), nn.Conv2d(6, 8, 3, padding=1)),
        (nn.Upsample(scale_factor=2), nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect")),
        (nn.Upsample(scale_factor=2), nn.Conv2d(6, 8, 5, padding=2)),
    ],
)
def test_other_upsampling_stays_as_it_is(layers):
    model = settled(*layers)
    x = torch.randn(16, 6, 8, 8)
    assert kinds(prepared(model))[0] == "Upsample"
    torch.testing.assert_close(prepared(model)(x), model(x), rtol=1e-5, atol=2e-6)


def test_the_model_itself_is_left_as_it_is():
    model = settled(nn.Linear(24, 40), nn.BatchNorm1d(40), nn.Tanh())
    before = copy.deepcopy(model.state_dict())
    prepared(model)
    assert kinds(model) == ["Linear", "BatchNorm1d", "Tanh"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_it_is_prepared_once_and_again_when_its_weights_change():
    model = settled(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh())
    z = torch.randn(16, 4)
    first = prepared(model)
    assert prepared(model) is first
    for change in (lambda: model[0].weight.mul_(3), lambda: model[1].running_mean.add_(1)):
        change()
        torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=1e-6)
    model[0].weight = nn.Parameter(torch.randn(4, 4), requires_grad=False)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=1e-6)


def test_layers_with_hooks_are_called_as_they_are():
    model = settled(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh())
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append("called"))
    prepared(model)(torch.randn(16, 4))
    assert seen == ["called"]


def test_parametrised_layers_and_subclasses_are_left_alone():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    model = settled(Doubled(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    z = torch.randn(16, 4)
    assert prepared(model)[0] is model[0]
    assert prepared(model)[1] is model[1]
    assert torch.equal(prepared(model)(z), model(z))


def test_a_forward_of_its_own_is_kept():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = settled(nn.Linear(4, 4), nn.Tanh())
            self.scale = nn.Parameter(torch.tensor(3.0), requires_grad=False)

        def forward(self, z):
            return self.body(z) * self.scale

    model, z = Scaled().eval(), torch.randn(16, 4)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=1e-6)
    assert kinds(prepared(model).body) == ["_PackedLinear"]


def test_a_model_of_unknown_parts_is_returned_as_it_is():
    class Unknown(nn.Module):
        def forward(self, z):
            return z * 2

    model = Unknown()
    assert prepared(model) is model
    with torch.device("meta"):
        assert isinstance(prepared(nn.Sequential(nn.Linear(2, 2)))[0], nn.Linear)


def test_float64_stays_with_torchs_own_layers():
    model = settled(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()).double()
    z = torch.randn(16, 4, dtype=torch.float64)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BUNDLED)
def test_rows_do_not_depend_on_the_others_of_their_batch(name):
    generator = zoo.load(name, device="cpu")
    function, z, labels = prepared(generator), generator.latents(0, 0, 128), torch.arange(128) % 10
    with torch.no_grad():
        whole = function(z, labels)
        for part in (slice(0, 16), slice(16, 64), slice(32, 128), slice(112, 128)):
            assert torch.equal(function(z[part], labels[part]), whole[part])


@pytest.mark.parametrize("name", BUNDLED)
def test_samples_are_those_of_the_models_own_layers_within_a_step_of_8_bits(name):
    generator = zoo.load(name, device="cpu")
    with torch.no_grad():
        labels = draw_labels(0, 0, 64, generator.num_classes) if generator.num_classes else None
        plain = generator.to_unit(generator(generator.latents(0, 0, 64), labels)).clamp(0, 1)
    torch.testing.assert_close(generator.sample(64), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", BUNDLED)
def test_bfloat16_stays_near_the_reference(name):
    """The share of pixels beyond one 8-bit step is measured in benchmarks/sampling.py; here is only a bound."""
    reference = zoo.load(name, device="cpu").sample(64)
    coarse = zoo.load(name, device="cpu", dtype=torch.bfloat16).sample(64)
    assert (coarse - reference).abs().mean() < 2 / 255


def test_preparing_imports_no_compiler(run_python):
    code = """
import sys
import zoo_core as zoo
zoo.load("dcgan-mnist", device="cpu").sample(1)
print([name for name in ("torch._inductor", "torch._dynamo", "sympy") if name in sys.modules])
"""
    assert run_python(code) == ["[]"]
