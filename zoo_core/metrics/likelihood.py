"""Bounds on the likelihood of data under a model that encodes: ELBO and importance-weighted bound.

ELBO: Kingma & Welling, arXiv 1312.6114. Importance-weighted bound (IWAE): Burda et al., arXiv 1509.00519. Both are
given as upper bounds on −log p(x) in nats per sample, as in the literature: lower is better. Every draw is a function
of (seed, index of the sample), so that neither the batch size nor the number of processes changes a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from zoo_core.errors import MetricError
from zoo_core.interfaces import Encoder, Generator
from zoo_core.interfaces.unit_range import check_ranges
from zoo_core.losses import kl_divergence
from zoo_core.metrics.conditions import Binarization
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.streams import binarize, latents

STATIC_SEED = 0  # of pixels that are drawn once for all seeds
_ROWS = 512  # latents decoded at a time


def choose_binarization(generator: Generator, requested: Binarization | None) -> Binarization:
    """Return what is done to the pixels: what was requested, or by default what fits the model's likelihood.

    Raises:
        MetricError: for a model whose likelihood is not of such pixels.
    """
    binary = generator.kind == "image" and getattr(generator, "binary", False)
    if requested is None:
        return "dynamic" if binary else "none"
    if requested != "none" and generator.kind != "image":
        raise MetricError(f"--binarization {requested} is for pictures, and this model's samples are of another kind")
    if requested != "none" and not binary:
        raise MetricError(
            f"the likelihood of this {type(generator).__qualname__} is of continuous pixels, a density: "
            f"on pixels that are black or white (--binarization {requested}) it would bound nothing"
        )
    return requested


def describe_pixels(binarization: Binarization, binary: bool) -> str:
    """Return what the pixels were, as the detail of a figure records it.

    Args:
        binary: whether the model's likelihood is of binary pixels.

    Example:
        >>> describe_pixels("dynamic", binary=True)
        'dynamic binarisation'
    """
    if binarization == "none":
        return "grey values under a likelihood of binary pixels: no bound" if binary else "continuous pixels, a density"
    return f"{binarization} binarisation"


def describe_values(generator: Generator, binarization: Binarization) -> str:
    """Return what the likelihood of an encoder is of, as the detail of a figure records it.

    Raises:
        MetricError: for a model that does not encode.
    """
    if not isinstance(generator, Encoder):
        raise MetricError(f"{type(generator).__qualname__} does not encode: it has no ELBO")
    if generator.kind == "image":
        return describe_pixels(binarization, generator.binary)
    return "discrete values" if is_discrete(generator) else "continuous values, a density"


def is_discrete(generator: Generator) -> bool:
    """Return whether the likelihood of a model is the probability of discrete values, and not a density."""
    if generator.log_prob_discrete is None:
        return generator.kind == "text" or bool(getattr(generator, "binary", False))
    return generator.log_prob_discrete


def labels_for(generator: Generator, labels: Tensor | None, what: str) -> tuple[Tensor, ...]:
    """Return the labels (N,) to pass to a conditional model, on its device; nothing for any other.

    Args:
        labels: of the data; None if it has none.
        what: what is measured, for the message.

    Raises:
        MetricError: if a conditional model has no labels, or one that it does not know.
    """
    if generator.num_classes is None:
        return ()
    if labels is None:
        raise MetricError(f"a conditional model needs labelled data for its {what}, and this data has no labels")
    if len(labels) and int(labels.max()) >= generator.num_classes:
        raise MetricError(
            f"the data has a label {int(labels.max())}, and the model knows {generator.num_classes} classes from 0"
        )
    return (labels.to(device_and_dtype(generator)[0]),)


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
    """Return an upper bound on −log p(x) for samples start … start + N − 1 of a data set: (N,), float64, in nats.

    Args:
        pictures: (N, *sample_shape): pictures uint8, samples of another kind in the model's own range.
        labels: (N,), for a conditional model.
        binarization: "dynamic" draws each pixel from its grey value with the seed; "static" makes the same draw for
            every seed; "none" keeps the grey values.
        importance_samples: k, the draws of z per sample for the importance-weighted bound, whatever the batch; None
            for the negative ELBO, with one draw.

    Raises:
        MetricError: for a deterministic encoder, or a conditional model without labels.
        InterfaceError: for a model that defines no likelihood, or whose `to_unit` and `from_unit` do not match.
    """
    assert isinstance(generator, Encoder)
    given = labels_for(generator, labels, "ELBO")
    x = _in_own_range(generator, pictures, start, seed, binarization)
    k = importance_samples
    with in_eval_mode(generator):
        parts = list(_in_parts(generator, x, given, start, seed, k or 1))
    if k is None:
        return torch.cat([negative_elbo for _, negative_elbo in parts])
    return math.log(k) - torch.cat([weights for weights, _ in parts]).logsumexp(1)


def _in_own_range(generator: Generator, data: Tensor, start: int, seed: int, binarization: Binarization) -> Tensor:
    """Samples of the data as an encoder takes them."""
    device, _ = device_and_dtype(generator)
    if generator.kind != "image":
        return data.to(device)
    unit = data.float() / 255
    if binarization != "none":
        unit = binarize(unit, STATIC_SEED if binarization == "static" else seed, start)
    check_ranges(generator, device)
    return generator.from_unit(unit.to(device))


@torch.no_grad()
def _in_parts(
    encoder: Generator, x: Tensor, labels: tuple[Tensor, ...], start: int, seed: int, draws: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield log p(x, z) − log q(z|x) of every draw, (n, draws), and −ELBO with the first, (n,): CPU, float64."""
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
