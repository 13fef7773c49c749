"""A sample is the same, bit for bit, alone and in any batch; and alone it costs one sample."""

import random
from functools import reduce

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo_core import Generator
from zoo_core.sampling.whole_blocks import BLOCK, WholeBlocks


class Network(Generator):
    """A generator made of any function of its layers; records the batches that it is called with."""

    kind = "tensor"

    def __init__(self, function, latent_shape, **layers):
        super().__init__()
        self.function, self.latent_shape = function, latent_shape
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.eval().requires_grad_(False)
        self.sample_shape = tuple(function(self, torch.zeros(2, *latent_shape)).shape[1:])
        self.batches = []

    def forward(self, z, labels=None):
        self.batches.append(len(z))
        return self.function(self, z)


def attention(network, x):
    heads = [part.unflatten(-1, (4, -1)).transpose(1, 2) for part in network.a(x).chunk(3, -1)]
    return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def attention_by_hand(network, x):
    q, k, v = network.a(x).chunk(3, -1)
    return torch.baddbmm(torch.zeros(()), (q @ k.transpose(1, 2)).softmax(-1), v)


def modulated(network, x):
    """The layer of StyleGAN 2: a kernel for each sample, all in one grouped convolution."""
    kernels = (network.kernel * network.a(x)[:, None, :, None, None]).flatten(0, 1)
    return F.conv2d(torch.ones(1, 8 * len(x), 8, 8), kernels, padding=1, groups=len(x)).view(-1, 8, 8, 8)


HELPED = {
    "linear": lambda: Network(lambda m, x: torch.sigmoid(m.a(x)), (100,), a=nn.Linear(100, 37)),
    "no bias": lambda: Network(lambda m, x: F.silu(m.a(x), inplace=True), (100,), a=nn.Linear(100, 37, bias=False)),
    "batch in columns": lambda: Network(lambda m, x: (m.a.weight @ x.t()).t(), (100,), a=nn.Linear(100, 37)),
    "vector": lambda: Network(lambda m, x: (x @ m.a.weight[0])[:, None], (100,), a=nn.Linear(100, 1)),
    "einsum": lambda: Network(lambda m, x: torch.einsum("bi,oi->bo", x, m.a.weight), (99,), a=nn.Linear(99, 7)),
    "chain": lambda: Network(lambda m, x: m.a(x), (9,), a=nn.Sequential(nn.Linear(9, 70), nn.GELU(), nn.Linear(70, 9))),
    "convolution": lambda: Network(
        lambda m, x: m.b(F.silu(m.n(m.a(F.interpolate(x, scale_factor=2))))),
        (8, 9, 9),
        a=nn.Conv2d(8, 32, 3, padding=1),
        n=nn.GroupNorm(8, 32),
        b=nn.Conv2d(32, 3, 1),
    ),
    "transposed": lambda: Network(lambda m, x: torch.tanh(m.a(x)), (48, 16, 16), a=nn.ConvTranspose2d(48, 3, 4, 2, 1)),
    "one dimension": lambda: Network(lambda m, x: m.a(x), (4, 500), a=nn.Conv1d(4, 8, 9, padding=4)),
    "instance norm": lambda: Network(lambda m, x: m.a(x), (3, 30, 30), a=nn.InstanceNorm2d(3)),
    "odd attention": lambda: Network(attention, (10, 64), a=nn.Linear(64, 192)),
    "attention by hand": lambda: Network(attention_by_hand, (33, 24), a=nn.Linear(24, 72)),
    "modulated": lambda: Network(modulated, (12,), a=nn.Linear(12, 8), kernel=nn.Parameter(torch.randn(8, 8, 3, 3))),
    "recurrent": lambda: Network(lambda m, x: m.a(x)[0], (5, 16), a=nn.GRU(16, 32, batch_first=True)),
    "spectrum": lambda: Network(lambda m, x: torch.fft.irfft(2 * torch.fft.rfft(x), n=100), (100,)),
}
UNKNOWN = {
    "LSTM": lambda: Network(lambda m, x: m.a(x)[0], (5, 16), a=nn.LSTM(16, 32, batch_first=True)),
    "bilinear": lambda: Network(lambda m, x: m.a(x, x), (20,), a=nn.Bilinear(20, 20, 7)),
    "fused transformer": lambda: Network(
        lambda m, x: m.a(x), (10, 64), a=nn.TransformerEncoderLayer(64, 4, 64, batch_first=True)
    ),
}


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [*HELPED, *UNKNOWN])
def test_a_sample_is_bit_equal_in_every_batch(name, threads):
    torch.manual_seed(0)
    network = (HELPED | UNKNOWN)[name]()
    reference = network.sample(64, seed=1)
    for size in (1, 3, 7, 20):
        assert torch.equal(network.sample(10, seed=1, batch_size=size), reference[:10]), size


def test_a_sample_of_a_recurrent_network_in_half_precision_is_bit_equal_in_every_batch():
    torch.manual_seed(0)
    network = HELPED["recurrent"]().bfloat16()
    reference = network.sample(64, seed=1)
    for size in (1, 2, 3, 20):
        assert torch.equal(network.sample(10, seed=1, batch_size=size), reference[:10]), size


ACTIVATIONS = [nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU]
NORMS = [nn.BatchNorm2d, lambda width: nn.GroupNorm(1, width), nn.InstanceNorm2d]
UPSAMPLING = [
    lambda a, b: [nn.ConvTranspose2d(a, b, 4, 2, 1)],
    lambda a, b: [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1)],
    lambda a, b: [nn.Conv2d(a, b, 5, padding="same")],
    lambda a, b: [nn.Conv2d(a, b, 1)],
]


def any_network(seed):
    """A network of convolutions, norms and activations, in a chain that is merged, or layer by layer."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    first = width = choose.choice([4, 16, 48])
    layers: list[nn.Module] = []
    for _ in range(choose.randint(1, 4)):
        width, before = choose.choice([3, 8, 48, 96]), width
        layers += choose.choice(UPSAMPLING)(before, width)
        layers += [choose.choice(NORMS)(width)] if choose.random() < 0.5 else []
        layers += [choose.choice(ACTIVATIONS)()]
    shape = (first, *2 * [choose.choice([2, 4, 7, 8])])
    if choose.random() < 0.5:
        return Network(lambda network, x: network.layers(x), shape, layers=nn.Sequential(*layers))
    return Network(
        lambda network, x: reduce(lambda y, layer: layer(y), network.layers, x), shape, layers=nn.ModuleList(layers)
    )


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))])
def test_any_network_of_convolutions_is_bit_equal_in_every_batch(seed):
    before = torch.get_num_threads()
    torch.set_num_threads(1 + seed % 4)
    try:
        network = any_network(seed)
        reference = network.sample(33, seed=1)
        for size in (1, 2, 5, 17):
            assert torch.equal(network.sample(18, seed=1, batch_size=size), reference[:18]), size
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", HELPED)
def test_a_network_of_known_operations_computes_no_more_samples_than_asked_for(name):
    network = HELPED[name]()
    network.sample(1)
    network.sample(7, batch_size=3)
    assert network.batches == [1, 3, 3, 1]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_operation_is_found_once_and_then_computed_in_whole_blocks(name):
    network = UNKNOWN[name]()
    network.sample(1)
    network.sample(20)
    assert network.batches == [1, BLOCK, 2 * BLOCK]


def test_a_single_large_sum_is_computed_for_two():
    network = Network(lambda m, x: m.a(x) * x.mean(dim=(1, 2, 3), keepdim=True), (3, 128, 128), a=nn.Conv2d(3, 3, 1))
    alone = network.sample(1)
    assert network.batches == [1, 2]
    assert torch.equal(alone, network.sample(32)[:1])


def test_a_random_number_within_a_network_needs_whole_blocks():
    def noisy(network, x):
        return x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    network = Network(noisy, (3,))
    assert torch.equal(network.sample(1), network.sample(16)[:1])


def test_weights_keep_their_sizes():
    layer = nn.Linear(100, 37).requires_grad_(False)
    with WholeBlocks(layer.parameters()) as blocks:
        layer(torch.ones(BLOCK, 100))
        assert not blocks.helped
        layer(torch.ones(BLOCK - 1, 100))
    assert (blocks.helped, blocks.needed) == (True, 1)


def test_a_convolution_is_computed_at_once_only_where_that_is_proved(monkeypatch):
    """A kernel whose last bits depend on the batch, as a library may have one for some number of threads."""
    computed = []

    def convolution(x, *arguments, **more):
        computed.append(len(x))
        return original(x, *arguments, **more) + 1e-6 * (len(x) > 2)

    from zoo_core.sampling import whole_blocks

    original = torch.ops.aten.convolution.default
    monkeypatch.setattr(whole_blocks, "_proved", {})
    weight, x = torch.randn(8, 4, 3, 3), torch.randn(BLOCK, 4, 20, 20)
    arguments = (weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    blocks = WholeBlocks([weight])
    many = whole_blocks._convolution(blocks, convolution, x, *arguments)
    assert computed == [16, 2] + 8 * [2]
    assert torch.equal(many[:2], whole_blocks._convolution(blocks, convolution, x[:2], *arguments))
    assert torch.equal(many[4:5], whole_blocks._convolution(blocks, convolution, x[4:5], *arguments))


COMPILED = """
import torch
from torch import nn
from zoo_core import Generator

class Compiled(Generator):
    kind, latent_shape, sample_shape = "tensor", (8,), (4,)

    def __init__(self):
        super().__init__()
        self.layers = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 4)), backend="eager")

    def forward(self, z, labels=None):
        return self.layers(z)

generator = Compiled().eval()
print(torch.equal(generator.sample(16)[:3], generator.sample(3)))
"""


@pytest.mark.slow
def test_a_compiled_network_is_watched_without_a_word(run_python):
    assert run_python(COMPILED) == ["True"]


LARGE = """
import sys
import torch
from torch import nn
from zoo_core import Generator

class Large(Generator):
    latent_shape, sample_shape = (8, 16, 16), (3, 256, 256)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Upsample(scale_factor=16), nn.Conv2d(8, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 3, 3, padding=1)
        )

    def forward(self, z, labels=None):
        return torch.tanh(self.layers(z))

generator = Large().eval()
before = peak_memory()
generator.sample(3, batch_size=int(sys.argv[1]))
print(peak_memory() - before)
"""


@pytest.mark.slow
def test_a_batch_of_one_bounds_the_memory_of_large_pictures(run_python):
    one, three = (int(run_python(LARGE, str(size))[0]) for size in (1, 3))
    assert one < 0.6 * three
