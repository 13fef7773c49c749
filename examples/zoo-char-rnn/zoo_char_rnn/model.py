"""A recurrent network over characters (Graves, 2013, arXiv 1308.0850): sampling, and the exact likelihood of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_core import Generator, ModelConfig, SamplingOptions

END = 0  # the code after the last character of a text, and of everything beyond it


class CharRNNConfig(ModelConfig, frozen=True):
    """Configuration of a character model. `zoo train` takes the alphabet and the length from the data.

    Args:
        alphabet: the characters that the model knows; character i has the code i + 1.
        length: codes in a text, its end included.
        width: units of the recurrent layer.
        embedding: dimensions in which a character is represented.
    """

    alphabet: Annotated[str, Meta(min_length=1, max_length=65536)] = "abcdefghijklmnopqrstuvwxyz"
    length: Annotated[int, Meta(ge=2, le=4096)] = 16
    width: Annotated[int, Meta(ge=1, le=8192)] = 256
    embedding: Annotated[int, Meta(ge=1, le=4096)] = 32

    def __post_init__(self) -> None:
        if len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError("alphabet must hold each character once")


class CharRNNOptions(SamplingOptions, frozen=True):
    """Choices when texts are drawn.

    Args:
        temperature: divides the logits: below 1 for likelier texts, above 1 for more varied ones.
        top_k: draw each character from this many likeliest ones; 0 for all.
    """

    temperature: Annotated[float, Meta(gt=0, le=10)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=65536)] = 0


class CharRNN(Generator):
    """Maps z (N, length) to texts (N, length), int64: one latent decides about one character.

    Φ(z) is uniform, and the character is the first whose cumulative probability exceeds it. A text is thus a function
    of its latent, and close latents share their first characters.
    """

    kind = "text"
    Options = CharRNNOptions
    config: CharRNNConfig

    def __init__(self, config: CharRNNConfig) -> None:
        super().__init__(config)
        self.latent_shape = self.sample_shape = (config.length,)
        codes = len(config.alphabet) + 1
        self.embed = nn.Embedding(codes + 1, config.embedding)  # the last one is what stands before the first character
        self.recurrent = nn.GRU(config.embedding, config.width, batch_first=True)
        self.output = nn.Linear(config.width, codes)

    def states(self, z: Tensor, labels: Tensor | None = None, *, options: CharRNNOptions) -> Iterator[Tensor]:
        """Yield the texts (N, length) after every character, END where nothing is written yet."""
        count, length = z.shape
        uniform = torch.special.ndtr(z)
        codes = torch.full((count, length), END, dtype=torch.int64, device=z.device)
        last = torch.full((count,), self.embed.num_embeddings - 1, device=z.device)
        ended = torch.zeros(count, dtype=torch.bool, device=z.device)
        memory = None
        for position in range(length):
            hidden, memory = self.recurrent(self.embed(last)[:, None], memory)
            probabilities = _probabilities(self.output(hidden[:, 0]), options)
            last = _first_above(probabilities, uniform[:, position]).masked_fill(ended, END)
            ended = ended | (last == END)
            codes = torch.cat([codes[:, :position], last[:, None], codes[:, position + 1 :]], 1)
            yield codes

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (N, length, codes) of each code of the texts x (N, length), given those before it."""
        before = F.pad(x[:, :-1], (1, 0), value=self.embed.num_embeddings - 1)
        hidden, _ = self.recurrent(self.embed(before))
        logits: Tensor = self.output(hidden)
        return logits

    def log_prob(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log p(x) in nats, (N,), of texts x (N, length): of their characters and the first END."""
        nats = F.cross_entropy(self.logits(x).transpose(1, 2), x, reduction="none")
        return -(nats * counted(x)).sum(1)


def counted(x: Tensor) -> Tensor:
    """Return which codes of the texts x (N, length) carry information, (N, length): all up to the first END."""
    return (x == END).cumsum(1) - (x == END).long() == 0


def _probabilities(logits: Tensor, options: CharRNNOptions) -> Tensor:
    logits = logits / options.temperature
    if 0 < options.top_k < logits.shape[1]:
        least = logits.topk(options.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    return logits.softmax(1)


def _first_above(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return the first code (N,) whose cumulative probability exceeds the uniform numbers (N,)."""
    below = (probabilities.cumsum(1) <= uniform[:, None]).sum(1)
    return below.clamp(max=probabilities.shape[1] - 1)  # rounding may leave the sum a little below 1
