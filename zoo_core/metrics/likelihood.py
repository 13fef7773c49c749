"""How likely a model with an encoder finds the data: the ELBO (Kingma & Welling, arXiv 1312.6114) and the
importance-weighted bound (Burda et al., arXiv 1509.00519).

Both are given as upper bounds on −log p(x) in nats per picture, as the literature does: less is better. Every draw is
a function of (seed, the picture's index), so that neither the batch nor the number of processes changes a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from zoo_core.errors import MetricError
from zoo_core.interfaces import Encoder, Generator
from zoo_core.losses import kl_divergence
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.streams import binarize, latents

IMPORTANCE_SAMPLES = 50  # k
Binarization = Literal["dynamic", "static", "none"]
_STATIC_SEED = 0
_ROWS = 512  # latents that are decoded at a time


def choose_binarization(generator: Generator, asked: Binarization | None) -> Binarization:
    """What is done to the pixels: what was asked for, or what fits the model's likelihood.

    Raises:
        MetricError: where the model has no likelihood of such pixels.
    """
    if not isinstance(generator, Encoder):
        raise MetricError(f"{type(generator).__qualname__} does not encode: it has no ELBO")
    if asked is None:
        return "dynamic" if generator.binary else "none"
    if asked != "none" and not generator.binary:
        raise MetricError(
            f"the likelihood of this {type(generator).__qualname__} is of continuous pixels, a density: "
            f"on pixels that are black or white (--binarization {asked}) it would bound nothing"
        )
    return asked


def describe(binarization: Binarization, binary: bool) -> str:
    """What the pixels were, for whoever reads the figure."""
    if binarization == "none":
        return "grey values under a likelihood of binary pixels: no bound" if binary else "continuous pixels, a density"
    return f"{binarization} binarisation"


def upper_bound(
    generator: Generator,
    pictures: Tensor,
    labels: Tensor | None,
    *,
    start: int,
    seed: int,
    binarization: Binarization,
    importance_samples: int | None,
) -> Tensor:
    """An upper bound on −log p(x) of pictures start … start + N − 1 of a data set: (N,), float64, in nats.

    Args:
        pictures: (N, *sample_shape), uint8.
        labels: (N,), for a conditional model.
        binarization: dynamic draws each pixel from its grey value, by the seed; static draws it once for every seed;
            none takes the grey values.
        importance_samples: k, how many draws of z the importance-weighted bound takes, whatever the batch; None for
            the negative ELBO, with one draw.

    Raises:
        MetricError: where the encoder is deterministic, or a conditional model gets no labels.
        InterfaceError: where the model states no likelihood.
    """
    assert isinstance(generator, Encoder)
    if generator.num_classes is not None and labels is None:
        raise MetricError("a conditional model needs labelled data for its ELBO, and this data has no labels")
    unit = pictures.float() / 255
    if binarization != "none":
        unit = binarize(unit, _STATIC_SEED if binarization == "static" else seed, start)
    device, _ = device_and_dtype(generator)
    given = (labels.to(device),) if labels is not None and generator.num_classes is not None else ()
    x = generator.from_unit(unit.to(device))
    k = importance_samples
    parts = list(_in_parts(generator, x, given, start, seed, k or 1))
    if k is None:
        return torch.cat([negative_elbo for _, negative_elbo in parts])
    return math.log(k) - torch.cat([weights for weights, _ in parts]).logsumexp(1)


@torch.no_grad()
def _in_parts(
    encoder: Generator, x: Tensor, labels: tuple[Tensor, ...], start: int, seed: int, draws: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """log p(x, z) − log q(z|x) of every draw, (n, draws), and −ELBO with the first, (n,), on the CPU in float64."""
    assert isinstance(encoder, Encoder)
    step = max(1, _ROWS // draws)
    for first in range(0, len(x), step):
        some, own = x[first : first + step], tuple(label[first : first + step] for label in labels)
        mean, logvar = encoder.encode(some, *own)
        if logvar is None:
            raise MetricError(f"the encoder of {type(encoder).__qualname__} is deterministic: it has no ELBO")
        mean, logvar = mean.flatten(1).float(), logvar.flatten(1).float()
        noise = latents(seed, start + first, len(some), (draws, mean.shape[1])).to(mean)
        z = mean[:, None] + noise * (logvar[:, None] / 2).exp()
        repeated = [value.repeat_interleave(draws, 0) for value in (some, *own)]
        likelihood = encoder.log_likelihood(
            repeated[0], z.reshape(-1, *encoder.latent_shape), repeated[1] if own else None
        )
        likelihood = likelihood.cpu().double().reshape(len(some), draws)
        prior_less_posterior = (noise.square() - z.square() + logvar[:, None]).cpu().double().sum(2) / 2
        divergence = kl_divergence(mean, logvar).cpu().double()
        yield likelihood + prior_less_posterior, divergence - likelihood[:, 0]
