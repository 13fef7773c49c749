"""Latents are a pure function of (seed, index), and no batch size changes a sample."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo_core
from tests.builtin import every_bundled_model
from zoo_core import Generator
from zoo_core.errors import SamplingError
from zoo_core.kinds.pictures import to_uint8
from zoo_core.sampling.batches import default_batch_size
from zoo_core.streams import draw_labels, latents


class Identity(Generator):
    """Returns its latents; counts the batches it is called with."""

    kind = "tensor"
    latent_shape = sample_shape = (3,)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.batches = []

    def forward(self, z, labels=None):
        self.batches.append(len(z))
        return z * self.weight


class Labelled(Identity):
    num_classes = 5

    def forward(self, z, labels=None):
        return labels[:, None].expand(-1, 3).float()


@given(seed=st.integers(0, 2**64 - 1), start=st.integers(0, 2**62), offset=st.integers(0, 9), size=st.integers(1, 9))
@settings(max_examples=60)
def test_a_latent_depends_on_seed_and_index_alone(seed, start, offset, size):
    many = latents(seed, start, 10, (size,))
    assert torch.equal(many[offset], latents(seed, start + offset, 1, (size,))[0])


def test_latents_are_the_inverse_normal_of_philox():
    """Against numpy's generator and the standard library's inverse normal."""
    raw = np.random.Philox(key=7, counter=5).random_raw(4)
    expected = [statistics.NormalDist().inv_cdf(((int(word) >> 12) + 0.5) / 2**52) for word in raw]
    torch.testing.assert_close(latents(7, 5, 1, (4,))[0], torch.tensor(expected), rtol=1e-6, atol=1e-7)


def test_latents_have_not_changed_since_they_were_first_published():
    golden = torch.tensor([[-2.271884, -0.701328, -1.21898], [0.005965, -0.589969, 1.612232]])
    torch.testing.assert_close(latents(0, 0, 2, (3,)), golden, rtol=0, atol=2e-6)


def test_latents_are_standard_normal_and_independent_between_seeds_and_indices():
    z = latents(1, 0, 20_000, (8,)).double()
    assert z.mean().abs() < 0.01
    assert abs(z.var() - 1) < 0.02
    assert abs((z**4).mean() - 3) < 0.1  # kurtosis of the normal
    correlations = torch.corrcoef(torch.cat([z, latents(2, 0, 20_000, (8,))], 1).T) - torch.eye(16)
    assert correlations.abs().max() < 0.04
    assert abs(torch.corrcoef(torch.stack([z[:-1, 0], z[1:, 0]]))[0, 1]) < 0.04


@pytest.mark.parametrize("cut", [0.1, 0.7, 2.0])
def test_truncation_squeezes_the_same_draws_into_the_cut_normal(cut):
    plain, truncated = latents(3, 0, 5000, (2,)), latents(3, 0, 5000, (2,), truncation=cut)
    assert truncated.abs().max() <= cut
    assert torch.equal(plain.flatten().argsort(), truncated.flatten().argsort())
    density = statistics.NormalDist().pdf(cut) / (statistics.NormalDist().cdf(cut) - 0.5)
    assert truncated.var().item() == pytest.approx(1 - cut * density, rel=0.05)


def test_labels_are_uniform_and_depend_on_seed_and_index_alone():
    drawn = draw_labels(0, 0, 50_000, 10)
    assert torch.equal(drawn[100:200], draw_labels(0, 100, 100, 10))
    counts = torch.bincount(drawn, minlength=10)
    assert (counts - 5000).abs().max() < 5 * 5000**0.5


@pytest.mark.parametrize("name", every_bundled_model)
def test_the_same_8_bit_pictures_come_for_every_batch_size_and_again(name):
    generator = zoo_core.load(name, device="cpu")
    reference = to_uint8(generator.sample(70, seed=5))
    for batch_size in (1, 7, 16, 64, 100):
        assert np.array_equal(to_uint8(generator.sample(70, seed=5, batch_size=batch_size)), reference)
    assert np.array_equal(to_uint8(zoo_core.load(name, device="cpu").sample(70, seed=5)), reference)
    assert np.array_equal(to_uint8(generator.sample(9, seed=5, start=33)), reference[33:42])


def test_forwards_are_bounded_by_the_batch():
    generator = Identity()
    generator.sample(50, batch_size=20)
    generator.sample(1)
    assert generator.batches == [20, 20, 10, 1]


@pytest.mark.plugins("zoo-dcgan")
def test_samples_are_float32_on_the_cpu_without_gradients():
    samples = zoo_core.load("dcgan-mnist", device="cpu").sample(3)
    assert (samples.dtype, samples.device.type, samples.requires_grad) == (torch.float32, "cpu", False)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert not samples.is_inference()


def test_the_generators_mode_is_given_back():
    generator = Identity().train()
    generator.sample(2)
    assert generator.training


def test_every_part_is_given_back_in_its_own_mode():
    class Nested(Identity):
        def __init__(self):
            super().__init__()
            self.frozen, self.trained = torch.nn.Dropout(), torch.nn.Dropout()

    generator = Nested().train()
    generator.frozen.eval()
    generator.sample(2)
    assert (generator.training, generator.frozen.training, generator.trained.training) == (True, False, True)


@pytest.mark.parametrize(
    ("shape", "expected"), [((3,), 256), ((1, 32, 32), 256), ((3, 64, 64), 80), ((3, 512, 512), 16)]
)
def test_a_default_batch_is_bounded_in_number_and_in_values(shape, expected):
    generator = Identity()
    generator.sample_shape = shape
    assert default_batch_size(generator) == expected


def test_given_labels_reach_their_samples_and_missing_ones_come_from_the_seed():
    labels = torch.tensor([4, 0, 3, 1, 2])
    assert Labelled().sample(5, labels=labels, batch_size=2)[:, 0].tolist() == [4, 0, 3, 1, 2]
    assert Labelled().sample(3, labels=2)[:, 0].tolist() == [2, 2, 2]
    drawn = Labelled().sample(40, seed=9)[:, 0]
    assert torch.equal(drawn, draw_labels(9, 0, 40, 5).float())


class OwnLatents(Identity):
    def latents(self, seed, start, count):
        return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed + start))


class WrongShape(Identity):
    def forward(self, z, labels=None):
        return z[:, :2]


class Infinite(Generator):
    """A picture, whose clamping would hide it."""

    latent_shape = sample_shape = (1, 4, 4)

    def forward(self, z, labels=None):
        return z / 0


class NotANumber(Identity):
    def forward(self, z, labels=None):
        return z / 0


@pytest.mark.parametrize(
    ("generator", "arguments", "problem"),
    [
        (Identity, {"n": 0}, "n must be at least 1"),
        (Identity, {"n": -1}, "n must be a whole number"),
        (Identity, {"n": 2.0}, "n must be a whole number"),
        (Identity, {"n": True}, "n must be a whole number"),
        (Identity, {"n": 1, "seed": -1}, "seed must be a whole number from 0 to 18446744073709551615"),
        (Identity, {"n": 1, "seed": 2**64}, "seed must be"),
        (Identity, {"n": 1, "start": -1}, "start must be"),
        (Identity, {"n": 1, "batch_size": 0}, "batch_size must be"),
        (Identity, {"n": 1, "truncation": 0}, "truncation must be a positive number"),
        (Identity, {"n": 1, "truncation": float("nan")}, "truncation must be"),
        (Identity, {"n": 1, "labels": 1}, "is unconditional: it takes no label"),
        (Labelled, {"n": 1, "labels": 5}, "labels must be from 0 to 4"),
        (Labelled, {"n": 3, "labels": torch.tensor([1, 2])}, "labels must be one class or 3 of them"),
        (OwnLatents, {"n": 1, "truncation": 1.0}, "draws latents of its own, for which truncation is not defined"),
        (WrongShape, {"n": 2}, r"returned \(2, 2\), not \(2, 3\)"),
        (NotANumber, {"n": 2}, "returned NaN or infinite values"),
        (Infinite, {"n": 2}, "returned NaN or infinite values"),
    ],
)
def test_what_cannot_be_sampled_is_said(generator, arguments, problem):
    with pytest.raises(SamplingError, match=problem):
        generator().sample(**arguments)


MILLION = """
import sys
from pathlib import Path
import torch
from zoo_core import Generator
from zoo_core.kinds.output import write_samples
from zoo_core.sampling.batches import sample_batches

class Tiny(Generator):
    latent_shape = (2,)
    sample_shape = (1, 8, 8)
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 64)
    def forward(self, z, labels=None):
        return torch.tanh(self.layer(z)).unflatten(1, (1, 8, 8))

generator = Tiny()
def peak(n, out):
    write_samples(sample_batches(generator, n, batch_size=4096), n, generator, Path(sys.argv[1]) / out)
    return peak_memory()
few = peak(20_000, "few.npz")
print(peak(1_000_000, "many.npz") - few)
"""


@pytest.mark.slow
def test_a_million_samples_need_no_more_memory_than_a_few(tmp_path, run_python):
    (rise,) = run_python(MILLION, tmp_path)
    assert int(rise) < 16 * 2**20  # the array itself is 64 MB
    with np.load(tmp_path / "many.npz") as archive:
        assert archive["arr_0"].shape == (1_000_000, 8, 8, 1)


def test_the_type_of_a_model_is_that_of_most_of_its_values():
    """A float64 scale before float32 layers must not turn the latents into float64."""

    class Mixed(Generator):
        def __init__(self):
            super().__init__()
            self.latent_shape, self.sample_shape = (4,), (1, 4, 4)
            self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
            self.layer = torch.nn.Linear(4, 16)

        def forward(self, z, labels=None):
            return torch.tanh(self.layer(z)).unflatten(1, (1, 4, 4)) * self.scale.to(z.dtype)

    assert Mixed().sample(3).shape == (3, 1, 4, 4)


def test_tables_in_another_type_do_not_decide_which_type_a_model_computes_in():
    class WithTable(Identity):
        def __init__(self):
            super().__init__()
            self.register_buffer("schedule", torch.ones(1000, dtype=torch.float64))

        def forward(self, z, labels=None):
            assert z.dtype == torch.float32
            return z

    assert WithTable().sample(3).shape == (3, 3)


def test_a_model_without_parameters_samples_in_float32():
    class Bare(Generator):
        def __init__(self):
            super().__init__()
            self.latent_shape, self.sample_shape = (16,), (1, 4, 4)

        def forward(self, z, labels=None):
            assert z.dtype == torch.float32
            return torch.tanh(z).unflatten(1, (1, 4, 4))

    assert Bare().sample(3).shape == (3, 1, 4, 4)
