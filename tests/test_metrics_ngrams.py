"""n-grams: distances of distributions of characters against closed forms, and texts from codes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo_core import Generator, ModelConfig, SamplingOptions, TrainingData
from zoo_core.errors import InterfaceError, MetricError
from zoo_core.metrics import evaluate
from zoo_core.metrics.ngrams import jensen_shannon_distance, ngram_counts, ngram_figures


def test_a_text_has_as_many_ngrams_as_characters_and_an_end():
    for n in (1, 2, 3, 4):
        assert sum(ngram_counts(["word", "", "a"], n).values()) == 5 + 1 + 2
    assert len(ngram_counts(["aa"], 1)) == 2  # a, and the end
    assert len(ngram_counts(["aa"], 2)) == 3  # start a, a a, a end


def test_beginnings_and_ends_count():
    assert ngram_figures(["ab"], ["ba"])["ngram_1"] == 0
    assert ngram_figures(["ab"], ["ba"])["ngram_2"] == 1
    assert ngram_figures(["aaa"], ["aaaa"])["ngram_1"] > 0  # longer ones end less often


def test_the_distance_has_the_closed_form_of_two_coins():
    p, q = 0.2, 0.6
    middle = (p + q) / 2

    def entropy(share):
        return -share * math.log2(share) - (1 - share) * math.log2(1 - share)

    expected = math.sqrt(entropy(middle) - (entropy(p) + entropy(q)) / 2)
    assert jensen_shannon_distance({"a": 20, "b": 80}, {"a": 3, "b": 2}) == pytest.approx(expected)
    assert jensen_shannon_distance({"a": 1, "b": 1}, {"b": 1, "c": 1}) == pytest.approx(math.sqrt(0.5))


counts = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 100), min_size=1)


@given(counts, counts, counts)
def test_the_distance_is_a_metric_between_0_and_1(first, second, third):
    distance = jensen_shannon_distance(first, second)
    assert 0 <= distance <= 1
    assert distance == pytest.approx(jensen_shannon_distance(second, first))
    assert jensen_shannon_distance(first, first) == 0
    assert distance <= jensen_shannon_distance(first, third) + jensen_shannon_distance(third, second) + 1e-9


class LettersConfig(ModelConfig, frozen=True):
    alphabet: str = "abc"


class Letters(Generator):
    """Draws rows of a table of codes, in order."""

    kind, latent_shape, sample_shape = "text", (1,), (4,)

    def __init__(self, table, config=None):
        super().__init__(config)
        self.register_buffer("table", table)

    def latents(self, seed, start, count):
        return torch.arange(start, start + count).float()[:, None]

    def forward(self, z, labels=None):
        return self.table[z[:, 0].long() % len(self.table)]


CODES = torch.tensor([[1, 2, 0, 3], [3, 3, 3, 3], [0, 1, 1, 1]])


def test_texts_are_those_that_the_generator_decodes():
    class Own(Letters):
        def decode(self, codes):
            return ["x" * int(row.sum()) for row in codes]

    figures = evaluate(Own(CODES), TrainingData.from_tensors(CODES.flip(0)), metrics=["ngrams"], n=3)
    assert [figure.value for figure in figures] == [0, 0, 0, 0, 1, 0]
    with pytest.raises(InterfaceError, match="has no decode"):
        evaluate(Letters(CODES), TrainingData.from_tensors(CODES), metrics=["ngrams"], n=3)


def test_a_model_that_repeats_the_data_is_told_from_one_that_makes_something_new():
    data = TrainingData.from_tensors(CODES, name="mine")
    same = {figure.metric: figure for figure in evaluate(Letters(CODES, LettersConfig()), data, n=6)}
    assert list(same) == ["ngram_1", "ngram_2", "ngram_3", "ngram_4", "distinct", "novel"]
    assert [figure.value for figure in same.values()] == [0, 0, 0, 0, 0.5, 0]
    figure = same["ngram_2"]
    assert (figure.samples, figure.dataset, figure.extractor) == (6, "mine", None)
    assert figure.detail == "against 3 texts, with their beginnings and ends"
    model = Letters(torch.tensor([[2, 2, 0, 0], [1, 2, 0, 0]]), LettersConfig())
    other = {figure.metric: figure.value for figure in evaluate(model, data, metrics=["ngrams"], n=4, repeats=2)}
    assert (other["novel"], other["distinct"]) == (0.5, 0.5)
    assert 0 < other["ngram_1"] <= other["ngram_4"] <= 1


def test_only_texts_have_ngrams():
    class Points(Letters):
        kind = "tensor"

    with pytest.raises(MetricError, match="ngrams is of samples of kind text, and this model's are of kind tensor"):
        evaluate(Points(CODES), TrainingData.from_tensors(CODES), metrics=["ngrams"])
    with pytest.raises(MetricError, match="texts are codes, int64"):
        evaluate(Letters(CODES, LettersConfig()), TrainingData.from_tensors(CODES.float()), metrics=["ngrams"])


class LetterOptions(SamplingOptions, frozen=True):
    code: int = 1


class OneLetter(Generator):
    """Texts of one letter, which an option chooses."""

    kind, Options = "text", LetterOptions
    latent_shape = sample_shape = (3,)

    def forward(self, z, labels=None, *, options):
        return torch.tensor([options.code, 0, 0]).expand(len(z), 3)

    def decode(self, codes):
        return ["".join("ab"[code - 1] for code in row if code) for row in codes.tolist()]


def test_texts_are_drawn_with_the_options_that_the_figures_name():
    data = TrainingData.from_tensors(torch.tensor([[2, 0, 0]] * 4))
    of_default, of_chosen = (
        {figure.metric: figure for figure in evaluate(OneLetter(), data, metrics=["ngrams"], n=4, options=options)}
        for options in (None, {"code": 2})
    )
    assert of_default["ngram_1"].value > 0.5
    assert of_chosen["ngram_1"].value == 0
    assert (of_default["ngram_1"].options, of_chosen["ngram_1"].options) == ({}, {"code": 2})
