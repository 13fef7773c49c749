"""nll: the likelihood that a model states, against closed forms, in nats, bits per dimension and per character."""

import math

import pytest
import torch
from torch.distributions import Categorical, Normal

from zoo_core import Encoder, Generator, TrainingData
from zoo_core.errors import InterfaceError, MetricError
from zoo_core.metrics import evaluate
from zoo_core.metrics.log_prob import characters, negative_log_prob
from zoo_core.streams import dequantize


class Stated(Generator):
    """A generator of 2 x 2 pictures that nobody samples."""

    latent_shape, sample_shape = (1,), (1, 2, 2)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, z, labels=None):
        return torch.zeros(len(z), *self.sample_shape)


class Uniform(Stated):
    """The uniform density over [-1, 1], the range of pictures by default."""

    def log_prob(self, x, labels=None):
        assert x.min() >= -1
        assert x.max() <= 1
        return torch.full((len(x),), -x[0].numel() * math.log(2))


class UniformLogit(Stated):
    """The same pictures in another range: logits of the brightness, whose density is the logistic one."""

    def to_unit(self, x):
        return x.sigmoid()

    def from_unit(self, x):
        return (x.clamp(1e-7, 1 - 1e-7)).logit()

    def log_prob(self, x, labels=None):
        return (torch.nn.functional.logsigmoid(x) + torch.nn.functional.logsigmoid(-x)).flatten(1).sum(1)


class Levels(Stated):
    """Each of the 256 levels with a probability of its own."""

    log_prob_discrete = True

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.linspace(-1, 1, 256))

    def log_prob(self, x, labels=None):
        levels = (self.to_unit(x) * 255).round().long()
        return Categorical(logits=self.logits).log_prob(levels).flatten(1).sum(1)


class Points(Stated):
    """Points from a Gaussian, in a range of their own."""

    kind, sample_shape = "tensor", (3,)

    def log_prob(self, x, labels=None):
        return Normal(1.0, 2.0).log_prob(x).sum(1)


class Letters(Stated):
    """Texts in which every code, the end included, is one of four, all alike."""

    kind, sample_shape = "text", (6,)

    def log_prob(self, x, labels=None):
        assert x.dtype == torch.int64
        return -characters(x).float() * math.log(4)


def pictures(count=50):
    return torch.randint(0, 256, (count, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def measured(model, samples, labels=None, **options):
    data = TrainingData.from_tensors(samples, labels)
    return {figure.metric: figure for figure in evaluate(model, data, metrics=["nll"], **options)}


@pytest.mark.parametrize("model", [Uniform(), UniformLogit()], ids=["affine", "logit"])
def test_uniform_pixels_take_eight_bits_in_any_range(model):
    found = measured(model, pictures())
    assert list(found) == ["nll", "bits_per_dim"]
    assert found["bits_per_dim"].value == pytest.approx(8, rel=1e-3)
    assert found["nll"].value == pytest.approx(4 * 8 * math.log(2), rel=1e-3)
    assert (
        found["nll"].detail == found["bits_per_dim"].detail == "−log p(x): bound, 8-bit pixels, uniformly dequantised"
    )
    assert found["nll"].extractor is None


def test_dequantisation_bounds_the_probability_of_levels_from_above():
    """A Gaussian in [-1, 1]: the mean over u of log p(k + u) is at most log of the integral over level k, and near."""

    class Gaussian(Stated):
        def log_prob(self, x, labels=None):
            return Normal(0.1, 0.4).log_prob(x).flatten(1).sum(1)

    levels = pictures(400)
    edges = levels.double() / 128 - 1
    probability = Normal(0.1, 0.4).cdf(edges + 1 / 128) - Normal(0.1, 0.4).cdf(edges)
    exact = float(-probability.log().flatten(1).sum(1).mean())
    bounds = [measured(Gaussian(), levels, seed=seed)["nll"].value for seed in range(3)]
    assert bounds == pytest.approx([exact] * 3, rel=1e-3)
    assert sum(bounds) / 3 > exact - 1e-3
    assert len(set(bounds)) == 3


def test_probabilities_of_levels_are_taken_as_they_are():
    found = measured(Levels(), pictures())
    expected = Categorical(logits=torch.linspace(-1, 1, 256)).log_prob(pictures().long()).flatten(1).sum(1)
    assert found["nll"].value == pytest.approx(-float(expected.mean()), rel=1e-5)
    assert found["bits_per_dim"].value == pytest.approx(-float(expected.mean()) / 4 / math.log(2), rel=1e-5)
    assert found["nll"].detail == "−log p(x): exact, 8-bit pixels"


def test_a_density_of_anything_else_is_over_its_own_range():
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    found = measured(Points(), points)
    expected = -float(Normal(1.0, 2.0).log_prob(points).sum(1).mean())
    assert found["nll"].value == pytest.approx(expected, rel=1e-5)
    assert found["bits_per_dim"].value == pytest.approx(expected / 3 / math.log(2), rel=1e-5)
    assert found["nll"].detail == "−log p(x): exact, continuous values, a density"


def test_texts_are_measured_in_bits_per_character_with_the_end():
    texts = torch.tensor([[1, 2, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [0, 1, 1, 1, 1, 1], [2, 0, 0, 0, 0, 0]])
    assert characters(texts).tolist() == [3, 6, 1, 2]  # what fills up the line has no end of its own
    found = measured(Letters(), texts)
    assert list(found) == ["nll", "bits_per_character"]
    assert found["bits_per_character"].value == pytest.approx(2)
    assert found["nll"].value == pytest.approx(12 / 4 * 2 * math.log(2))  # nats of a whole text
    assert found["nll"].detail == "−log p(x): exact, discrete values"


def test_bits_of_a_character_are_those_of_the_corpus_and_no_mean_of_texts():
    class Ends(Letters):
        """Only the end costs anything: one bit."""

        def log_prob(self, x, labels=None):
            return torch.full((len(x),), -math.log(2))

    texts = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    assert measured(Ends(), texts)["bits_per_character"].value == pytest.approx(2 / 8)


def test_binary_pixels_are_drawn_as_for_the_elbo():
    class Coins(Stated):
        binary = True

        def log_prob(self, x, labels=None):
            assert set(x.unique().tolist()) <= {-1.0, 1.0}
            return torch.full((len(x),), -4 * math.log(2))

    found = measured(Coins(), pictures())
    assert found["bits_per_dim"].value == pytest.approx(1)
    assert found["nll"].detail == "−log p(x): exact, dynamic binarisation"
    with pytest.raises(MetricError, match="would bound nothing"):
        measured(Uniform(), pictures(), binarization="static")
    with pytest.raises(MetricError, match="is for pictures"):
        measured(Points(), torch.zeros(4, 3), binarization="dynamic")


def test_a_bound_says_that_it_is_one():
    class Bounded(Points):
        log_prob_bound = "lower"

    assert measured(Bounded(), torch.zeros(4, 3))["nll"].detail.startswith("−log p(x): bound, ")
    Bounded.log_prob_bound = "upper"
    with pytest.raises(MetricError, match='log_prob_bound must be "exact" or "lower"'):
        measured(Bounded(), torch.zeros(4, 3))


def test_a_conditional_model_is_given_the_labels():
    class Two(Points):
        num_classes = 2

        def log_prob(self, x, labels=None):
            return Normal(labels.float(), 1.0).log_prob(x[:, 0])

    labels = torch.arange(10) % 2
    points = labels[:, None].float().expand(-1, 3)
    told, mistold = (measured(Two(), points, some)["nll"].value for some in (labels, 1 - labels))
    assert told == pytest.approx(math.log(2 * math.pi) / 2)
    assert mistold == pytest.approx(told + 0.5)
    with pytest.raises(MetricError, match="needs labelled data for its likelihood"):
        measured(Two(), points)
    with pytest.raises(MetricError, match="has a label 2, and the model knows 2 classes"):
        measured(Two(), points, labels + 1)


def test_no_draw_depends_on_the_batch():
    class Gaussian(Stated):
        def log_prob(self, x, labels=None):
            return Normal(0.0, 0.5).log_prob(x).flatten(1).sum(1)

    def values(some, start):
        return negative_log_prob(Gaussian(), some, None, start=start, seed=3, binarization="none")

    parts = torch.cat([values(pictures()[:7], 0), values(pictures()[7:], 7)])
    assert torch.equal(parts, values(pictures(), 0))
    sizes = [measured(Gaussian(), pictures(), seed=3, batch_size=size)["nll"].value for size in (1, 7, 64)]
    assert sizes == pytest.approx([float(parts.mean())] * 3, rel=1e-12)


def test_dequantised_pixels_stay_in_their_level_and_fill_it():
    levels = torch.arange(256, dtype=torch.uint8).expand(200, 256)
    drawn = dequantize(levels, seed=1, start=0) * 256
    assert torch.equal(drawn.floor(), levels.float())
    assert drawn.min() > 0
    assert drawn.max() < 256
    assert float((drawn - levels).mean()) == pytest.approx(0.5, abs=0.01)
    assert float((drawn - levels).var()) == pytest.approx(1 / 12, rel=0.02)
    assert torch.equal(dequantize(levels[5:], seed=1, start=5) * 256, drawn[5:])


class Silent(Points):
    log_prob = Generator.log_prob


class Scalar(Points):
    def log_prob(self, x, labels=None):
        return x.sum()


class Never(Points):
    def log_prob(self, x, labels=None):
        return torch.where(x[:, 0] > 0, -math.inf, 0.0)


class Thresholded(Uniform):
    def from_unit(self, x):
        return (x > 0.5).float()

    def to_unit(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "samples", "words"),
    [
        (Silent(), torch.zeros(4, 3), "Silent states no likelihood: it has no log_prob of its own"),
        (Scalar(), torch.zeros(4, 3), r"Scalar.log_prob returned \(\), not \(4,\): one number for each sample"),
        (Never(), torch.tensor([[0.0] * 3, [1.0] * 3]), "Never.log_prob is -inf for sample 1 of the data"),
        (Thresholded(), pictures(), "from_unit has no slope.*set log_prob_discrete = True"),
    ],
    ids=["silent", "scalar", "impossible", "no slope"],
)
def test_what_states_no_likelihood_is_refused(model, samples, words):
    with pytest.raises(MetricError, match=words):
        measured(model, samples)


def test_the_base_class_has_no_likelihood():
    with pytest.raises(InterfaceError, match="states no likelihood"):
        Silent().log_prob(torch.zeros(1, 3))


def test_the_elbo_of_discrete_values_is_stated_in_bits_too_and_that_of_a_density_is_not():
    class Coded(Letters, Encoder):
        def encode(self, x):
            return torch.zeros(len(x), 1), torch.zeros(len(x), 1)

        def log_likelihood(self, x, z, labels=None):
            return self.log_prob(x)

    texts = TrainingData.from_tensors(torch.tensor([[1, 2, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3]]))
    figures = evaluate(Coded(), texts, metrics=["elbo", "iwae"], importance_samples=3)
    assert [figure.metric for figure in figures] == [
        "elbo", "elbo_bits_per_character", "iwae", "iwae_bits_per_character",
    ]  # fmt: skip
    assert [figure.value for figure in figures[1::2]] == pytest.approx([2, 2])

    class Dense(Coded):
        kind, sample_shape = "tensor", (3,)

        def log_likelihood(self, x, z, labels=None):
            return Normal(0.0, 1.0).log_prob(x).sum(1)

    figures = evaluate(Dense(), TrainingData.from_tensors(torch.zeros(4, 3)), metrics=["elbo"])
    assert [(figure.metric, figure.detail) for figure in figures] == [
        ("elbo", "bound on −log p(x) in nats, continuous values, a density")
    ]
