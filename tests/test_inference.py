"""Merged and packed layers compute what the model's own do; a model with unknown parts is left alone."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import zoo_core as zoo
from tests.builtin import architecture, every_bundled_model
from zoo_core.kinds.pictures import to_uint8
from zoo_core.sampling.inference import prepared


@pytest.fixture(autouse=True)
def without_gradients():
    """As samples are drawn: merged layers have no gradients."""
    with torch.no_grad():
        yield


def settled(*layers):
    """A chain in eval mode whose BatchNorm layers have seen something."""
    torch.manual_seed(0)
    return with_statistics(nn.Sequential(*layers))


def with_statistics(model):
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.running_mean is not None:
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return model.eval().requires_grad_(False)


class Upsampling(zoo.Generator):
    """What many tutorials write: nearest upsampling and 3 x 3 convolutions, and a view in the forward."""

    latent_shape, sample_shape = (16,), (3, 32, 32)

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(16, 32 * 8 * 8)
        blocks = [self.block(32, 24), self.block(24, 16)]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(16, 3, 3, padding=1), nn.Tanh())

    @staticmethod
    def block(width_in, width):
        convolution = nn.Conv2d(width_in, width, 3, padding=1)
        return nn.Sequential(nn.Upsample(scale_factor=2), convolution, nn.BatchNorm2d(width), nn.LeakyReLU(0.2))

    def forward(self, z, labels=None):
        pictures = self.layers(self.dense(z).view(-1, 32, 8, 8))
        return pictures.view(-1, *self.sample_shape)


# Untrained generators of the kinds that the bundled ones are not: an architecture, or a class, and its configuration.
FRESH = {
    "mlp, conditional": ("vanilla_gan", {"conditional": True}),
    "dcgan, 64": ("dcgan", {"width": 16}),
    "dcgan, conditional": ("dcgan", {"size": 32, "width": 16, "conditional": True}),
    "vae, conditional": ("vae", {"conditional": True}),
    "vae, convolutional": (
        "vae", {"size": 32, "network": "convolutional", "widths": (16, 32), "likelihood": "gaussian"},
    ),
    "upsampling": (Upsampling, {}),
}  # fmt: skip


def fresh(name):
    """An untrained generator, whose BatchNorm layers have seen something."""
    kind, options = FRESH[name]
    torch.manual_seed(0)
    if isinstance(kind, str):
        of_plugin = architecture(kind)
        return with_statistics(of_plugin.generator_class()(of_plugin.config_class()(**options)))
    return with_statistics(kind())


def generator_named(name, dtype=None):
    return fresh(name).to(dtype or torch.float32) if name in FRESH else zoo.load(name, device="cpu", dtype=dtype)


class Calls(TorchDispatchMode):
    """Names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def onednn_calls(model, x):
    """Names of oneDNN's packed operations in one call."""
    prepared(model)(x)  # the first one packs
    with Calls() as calls:
        prepared(model)(x)
    return [name.removeprefix("mkldnn::_") for name in calls.names if name.startswith("mkldnn::")]


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ELU()],
)
def test_a_linear_layer_with_its_norm_and_its_activation(activation):
    model = settled(nn.Linear(24, 40, bias=False), nn.BatchNorm1d(40), activation)
    z = torch.randn(32, 24)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=2e-6)
    chain = prepared(model)
    with Calls() as calls:
        chain(z)
    assert calls.names == ["mkldnn::_linear_pointwise", *(["aten::elu"] if isinstance(activation, nn.ELU) else [])]


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
    kind = "convolution_transpose" if isinstance(layer, nn.ConvTranspose2d) else "convolution"
    assert onednn_calls(model, x) == [f"{kind}_pointwise"]


def test_weights_that_were_packed_for_one_size_of_picture_are_right_for_another():
    model = settled(nn.ConvTranspose2d(6, 8, 4, 1), nn.ReLU(), nn.Conv2d(8, 5, 3, padding=1))
    for shape in ((16, 6, 1, 1), (32, 6, 5, 7), (16, 6, 1, 1), (3, 6, 20, 20)):
        x = torch.randn(shape)
        torch.testing.assert_close(prepared(model)(x), model(x), rtol=1e-5, atol=2e-6)


def test_a_transposed_convolution_of_one_pixel_is_a_linear_layer():
    model = settled(nn.ConvTranspose2d(6, 8, 4, 1, bias=True), nn.BatchNorm2d(8), nn.ReLU())
    assert onednn_calls(model, torch.randn(16, 6, 1, 1)) == ["linear_pointwise"]


@pytest.mark.parametrize("bias", [True, False])
def test_upsampling_and_a_convolution_are_one_transposed_convolution(bias):
    model = settled(nn.Upsample(scale_factor=2), nn.Conv2d(6, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU())
    x = torch.randn(16, 6, 8, 8)
    assert onednn_calls(model, x) == ["convolution_transpose_pointwise"]
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
    assert "convolution_transpose_pointwise" not in onednn_calls(model, x)
    torch.testing.assert_close(prepared(model)(x), model(x), rtol=1e-5, atol=2e-6)


def test_the_model_itself_is_left_as_it_is():
    model = settled(nn.Linear(24, 40), nn.BatchNorm1d(40), nn.Tanh())
    before = copy.deepcopy(model.state_dict())
    prepared(model)
    assert [type(layer).__name__ for layer in model] == ["Linear", "BatchNorm1d", "Tanh"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def change_in_place(model):
    model[0].weight.mul_(3)


def change_statistics(model):
    model[1].running_mean.add_(1)


def change_behind_the_version_counter(model):
    model[0].weight.data.mul_(0.5)


def change_by_loading(model):
    model.load_state_dict({name: value * 2 for name, value in model.state_dict().items()}, assign=True)


def change_a_layer(model):
    model[2] = nn.ReLU()


def change_a_setting(model):
    model[1].eps = 0.5


CHANGES = [change_in_place, change_statistics, change_behind_the_version_counter, change_by_loading]
CHANGES += [change_a_layer, change_a_setting]


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_prepared_once_and_again_when_the_model_changes(change):
    model = settled(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh())
    z = torch.randn(16, 4)
    first = prepared(model)
    assert prepared(model) is first
    before = first(z)
    change(model)
    assert not torch.equal(prepared(model)(z), before)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=1e-6)


def test_samples_follow_weights_that_are_averaged_between_calls():
    generator = generator_named("mlp, conditional").train()
    first = generator.sample(4, labels=0)
    for parameter in generator.parameters():
        parameter.data.lerp_(torch.randn_like(parameter), 0.1)
    second = generator.sample(4, labels=0)
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, copy.deepcopy(generator).sample(4, labels=0), rtol=0, atol=0)


def test_what_was_prepared_goes_with_the_model():
    def used(model):
        prepared(model)(torch.randn(16, 16))
        return weakref.ref(model)

    models = [
        used(settled(nn.Linear(16, 4), nn.Tanh())),
        used(generator_named("upsampling")),
        used(nn.Identity().eval()),
    ]
    gc.collect()
    assert [model() for model in models] == [None, None, None]


class Scaled(nn.Module):
    """A forward of its own, which takes its chain apart."""

    def __init__(self):
        super().__init__()
        self.body = settled(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
        self.scale = 3.0

    def forward(self, z):
        middle = self.body[:2](z) + self.body[0].bias
        return self.body(z) * self.scale + sum(layer(middle) for layer in self.body)


def test_a_forward_of_its_own_is_kept_and_finds_the_layers_where_they_were():
    model, z = Scaled().eval(), torch.randn(16, 4)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=2e-6)
    assert onednn_calls(model, z) == ["linear_pointwise"] * 2
    model.scale = 5.0
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-5, atol=2e-6)


def test_a_linear_layer_over_three_dimensions_is_normed_over_the_second():
    model = settled(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU())
    x = torch.randn(16, 5, 6)
    assert torch.equal(prepared(model)(x), model(x))


class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def with_hook(layer):
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    return layer


def with_another_forward(layer):
    layer.forward = lambda x: x + 1
    return layer


def in_training(layer):
    layer.train = lambda mode=True: layer
    layer.training = True
    return layer


@pytest.mark.parametrize(
    "strange",
    [
        lambda: Doubled(8, 8),
        lambda: nn.Dropout(0.5),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        lambda: nn.utils.spectral_norm(nn.Linear(8, 8)),
        lambda: with_hook(nn.Linear(8, 8)),
        lambda: with_another_forward(nn.Linear(8, 8)),
        lambda: in_training(nn.BatchNorm1d(8, momentum=0)),
        lambda: nn.BatchNorm1d(8, track_running_stats=False),
    ],
)
def test_a_model_with_an_unknown_part_is_bit_for_bit_its_own(strange):
    model = settled(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), strange(), nn.Linear(8, 8), nn.Tanh())
    assert prepared(model) is model


def test_a_hook_that_comes_later_is_called():
    model, seen = settled(nn.Linear(4, 4), nn.Tanh()), []
    prepared(model)(torch.randn(16, 4))
    model[0].register_forward_hook(lambda *_: seen.append("called"))
    prepared(model)(torch.randn(16, 4))
    assert seen == ["called"]


def test_where_gradients_or_autocast_are_on_the_own_layers_compute():
    model = settled(nn.Linear(4, 4), nn.Tanh())
    z = torch.randn(16, 4, requires_grad=True)
    with torch.enable_grad():
        expected, found = (torch.autograd.grad(function(z).sum(), z)[0] for function in (model, prepared(model)))
    assert torch.equal(expected, found)
    with torch.autocast("cpu", torch.bfloat16):
        assert prepared(model)(z).dtype == model(z).dtype == torch.bfloat16


def test_weights_without_values_are_left_alone():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2)).eval()
    assert prepared(model) is model


def test_float64_stays_with_torchs_own_layers():
    model = settled(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()).double()
    z = torch.randn(16, 4, dtype=torch.float64)
    torch.testing.assert_close(prepared(model)(z), model(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*every_bundled_model, *FRESH])
def test_rows_do_not_depend_on_the_others_of_their_batch(name, dtype):
    generator = generator_named(name, dtype)
    function, z = prepared(generator), generator.latents(0, 0, 272).to(dtype)
    labels = torch.arange(272) % generator.num_classes if generator.num_classes else None
    whole = function(z, labels)
    for start, count in ((0, 16), (16, 48), (32, 96), (112, 16), (128, 64), (16, 256)):
        rows = slice(start, start + count)
        assert torch.equal(function(z[rows], labels[rows] if generator.num_classes else None), whole[rows])


@pytest.mark.parametrize("name", [*every_bundled_model, *FRESH])
def test_samples_are_those_of_the_models_own_layers_but_for_rounding(name):
    generator = generator_named(name)
    labels = torch.arange(64) % generator.num_classes if generator.num_classes else None
    plain = generator.to_unit(generator(generator.latents(0, 0, 64), labels)).clamp(0, 1)
    samples = generator.sample(64, labels=labels)
    error = (samples - plain).abs()
    assert error.max() <= 8e-6  # each is up to 4.6e-6 from float64 here
    assert error.mean() <= 2e-7
    steps = abs(to_uint8(samples).astype(int) - to_uint8(plain).astype(int))
    assert steps.max() <= 1
    assert (steps > 0).mean() < 1e-4


@pytest.mark.parametrize("name", every_bundled_model)
def test_bfloat16_stays_near_the_reference(name):
    """The share of pixels beyond one 8-bit step is measured in benchmarks/sampling.py; here is only a bound."""
    reference = to_uint8(zoo.load(name, device="cpu").sample(64)).astype(int)
    steps = abs(to_uint8(zoo.load(name, device="cpu", dtype=torch.bfloat16).sample(64)).astype(int) - reference)
    assert (steps > 1).mean() < 0.05
    assert steps.max() <= 32


@pytest.mark.plugins("zoo-dcgan")
def test_preparing_imports_no_compiler(run_python):
    code = """
import sys
import zoo_core as zoo
zoo.load("dcgan-mnist", device="cpu").sample(1)
print([name for name in ("torch._inductor", "torch._dynamo", "sympy") if name in sys.modules])
"""
    assert run_python(code) == ["[]"]
