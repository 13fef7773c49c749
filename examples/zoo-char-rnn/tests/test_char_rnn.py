"""char-rnn: the contract, and the likelihood against an enumeration of all texts."""

import itertools
from typing import ClassVar

import pytest
import torch
from zoo_core.testing import ArchitectureContract

from zoo_char_rnn.model import END, CharRNN, CharRNNConfig

SMALL = {"alphabet": "ab", "length": 4, "width": 8, "embedding": 4}


class TestCharRNN(ArchitectureContract):
    architecture = "char-rnn"
    config: ClassVar = SMALL
    refused: ClassVar = [{"alphabet": ""}, {"alphabet": "aa"}, {"length": 1}, {"width": 0}]


@pytest.fixture
def model():
    """A network that prefers some texts to others, in float64."""
    torch.manual_seed(0)
    model = CharRNN(CharRNNConfig(**SMALL)).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(3)
    return model


def all_texts(alphabet, length):
    """Every text of the alphabet, (texts, length): END wherever it has ended, and texts that fill the length."""
    texts = [
        [*codes, *[END] * (length - len(codes))]
        for count in range(length + 1)
        for codes in itertools.product(range(1, alphabet + 1), repeat=count)
    ]
    return torch.tensor(texts)


def test_the_probabilities_of_all_texts_sum_to_one(model):
    texts = all_texts(2, 4)
    assert len(texts) == 31
    assert model.log_prob(texts).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_texts_are_drawn_as_often_as_their_likelihood_says(model):
    texts = all_texts(2, 4)
    draws = 20_000
    drawn = model.float().sample(draws, seed=0)
    counts = (drawn[:, None] == texts).all(2).sum(0)
    assert counts.sum() == draws, "every sample is a text that ends once"
    probabilities = model.log_prob(texts).exp()
    deviation = (draws * probabilities * (1 - probabilities)).sqrt()
    assert ((counts - draws * probabilities).abs() < 5 * deviation + 1).all()


def test_the_likeliest_character_is_all_that_top_k_of_one_leaves(model):
    samples = model.float().sample(8, seed=0, options={"top_k": 1})
    assert (samples == samples[0]).all()
    alone = samples[:1]
    assert torch.equal(model.logits(alone).argmax(2)[0, 0], alone[0, 0])


def test_a_low_temperature_gives_likelier_texts(model):
    model = model.float()
    cold, hot = (model.sample(500, options={"temperature": t}) for t in (0.3, 2.0))
    assert model.log_prob(cold).mean() > model.log_prob(hot).mean()


def test_a_text_grows_by_one_character_a_state(model):
    z = torch.randn(3, 4, dtype=torch.float64)
    states = list(model.states(z, options=model.options))
    assert len(states) == 4
    for position, (before, after) in enumerate(itertools.pairwise(states), 1):
        assert torch.equal(before[:, :position], after[:, :position])
        assert (before[:, position:] == END).all()
    assert torch.equal(states[-1], model(z))


def test_latents_that_share_their_first_numbers_share_their_first_characters(model):
    z = torch.randn(2, 4, dtype=torch.float64)
    z[1, :2] = z[0, :2]
    first, second = model(z)
    assert torch.equal(first[:2], second[:2])
