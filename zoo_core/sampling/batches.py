"""Sampling in batches: the same samples whatever the size of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo_core.errors import SamplingError
from zoo_core.interfaces.options import Choices
from zoo_core.sampling.forward import Forward, OnStep, no_steps
from zoo_core.sampling.labels import Labels, check_labels
from zoo_core.sampling.whole_blocks import BLOCK
from zoo_core.streams import check_stream, check_truncation, check_whole, draw_labels, latents

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator

# The default batch has this many samples, or fewer if they are large: 2^20 values are 80 colour pictures of 64 x 64.
# With 256 samples instead of 64, small networks are up to a seventh faster; large ones only need more memory.
LARGEST_DEFAULT_BATCH, DEFAULT_BATCH_VALUES = 256, 2**20


def sample_batches(
    generator: Generator,
    n: int,
    *,
    seed: int = 0,
    start: int = 0,
    labels: Labels | None = None,
    truncation: float | None = None,
    options: Choices | None = None,
    batch_size: int | None = None,
    on_step: OnStep = no_steps,
) -> Iterator[Tensor]:
    """Draw samples one batch at a time, so that memory is bounded by the batch, whatever n is.

    The arguments are those of `Generator.sample`. They are checked at once, before the first batch is requested.

    Args:
        on_step: called after each step of a batch, if the model makes its samples in steps.

    Yields:
        Batches (at most batch_size, *sample_shape), as `Generator.sample` returns samples.

    Raises:
        SamplingError: if an argument is out of range, or does not fit the generator.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> [tuple(batch.shape) for batch in sample_batches(generator, 20, batch_size=16)]
        [(16, 1, 28, 28), (4, 1, 28, 28)]
    """
    given = check_arguments(generator, n, seed, start, labels, truncation, batch_size)
    forward = Forward(generator, generator.choose(options), seed, on_step=on_step)
    return _batches(forward, n, start, given, truncation, batch_size or default_batch_size(generator))


def check_arguments(
    generator: Generator,
    n: int,
    seed: int,
    start: int,
    labels: Labels | None,
    truncation: float | None,
    batch_size: int | None,
) -> Tensor | None:
    """Return the labels (n,) that are given, or None; raise SamplingError for an argument that is out of range."""
    check_stream(seed, start, n)
    if n < 1:
        raise SamplingError(f"n must be at least 1, not {n}")
    if batch_size is not None:
        check_whole("batch_size", batch_size, 1, 2**31)
    if truncation is not None:
        check_truncation(truncation)
        if type(generator).latents is not _default_latents():
            raise SamplingError(
                f"{type(generator).__qualname__} draws latents of its own, for which truncation is not defined"
            )
    return check_labels(generator, labels, n, start=start)


def render(
    generator: Generator,
    z: Tensor,
    labels: Labels | None = None,
    *,
    options: Choices | None = None,
    seed: int = 0,
    start: int = 0,
    same_noise: bool = False,
    batch_size: int | None = None,
    on_step: OnStep = no_steps,
) -> Iterator[Tensor]:
    """Generate samples from the given latents, one batch at a time.

    A stochastic model gets for row i the noise of sample start + i of the seed, so that the latents of samples give
    these samples.

    Args:
        z: latents (N, *latent_shape), N at least 1.
        labels: for a conditional generator: as for `Generator.sample`.
        options: as for `Generator.sample`.
        seed: seed of the noise.
        start: index of the noise of the first row.
        same_noise: give every row the noise of the first, so that nothing but latents and labels tells rows apart.
        batch_size: by default as large as `default_batch_size` returns.
        on_step: called after each step of a batch, if the model makes its samples in steps.

    Yields:
        Batches (at most batch_size, *sample_shape), as `Generator.sample` returns samples.

    Raises:
        SamplingError: for latents of another shape, missing labels, labels for an unconditional model, or options that
            the model has not.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> (samples,) = render(generator, generator.latents(0, 0, 3))
        >>> torch.equal(samples, generator.sample(3, seed=0))
        True
    """
    if tuple(z.shape[1:]) != generator.latent_shape or not len(z):
        raise SamplingError(f"latents must be of shape (N, {', '.join(map(str, generator.latent_shape))})")
    check_stream(seed, start, len(z))
    given = check_labels(generator, labels, len(z), required=True)
    forward = Forward(generator, generator.choose(options), seed, same_noise=same_noise, on_step=on_step)
    return _rendered(forward, z, given, start, batch_size or default_batch_size(generator))


def _rendered(forward: Forward, z: Tensor, labels: Tensor | None, start: int, batch_size: int) -> Iterator[Tensor]:
    for offset in range(0, len(z), batch_size):
        part = slice(offset, offset + batch_size)
        first = start if forward.same_noise else start + offset
        yield forward(z[part], labels[part] if labels is not None else None, first)


def default_batch_size(generator: Generator) -> int:
    """Return the default batch size: a multiple of BLOCK, limited by the number of samples and by memory."""
    block_values = BLOCK * math.prod(generator.sample_shape)
    return BLOCK * max(1, min(LARGEST_DEFAULT_BATCH // BLOCK, DEFAULT_BATCH_VALUES // max(1, block_values)))


def sample(
    generator: Generator,
    n: int,
    *,
    seed: int = 0,
    start: int = 0,
    labels: Labels | None = None,
    truncation: float | None = None,
    options: Choices | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Draw n samples of a generator: (n, *sample_shape), on the CPU. Arguments and values as for `Generator.sample`.

    Example:
        >>> import zoo_core as zoo
        >>> sample(zoo.load("vanilla-gan-mnist"), 3, seed=0).shape
        torch.Size([3, 1, 28, 28])
    """
    batches = sample_batches(
        generator,
        n,
        seed=seed,
        start=start,
        labels=labels,
        truncation=truncation,
        options=options,
        batch_size=batch_size,
    )
    return torch.cat(list(batches))


def _batches(
    forward: Forward, n: int, start: int, labels: Tensor | None, truncation: float | None, batch_size: int
) -> Iterator[Tensor]:
    for offset in range(0, n, batch_size):
        count = min(batch_size, n - offset)
        of_batch = labels[offset : offset + count] if labels is not None else None
        yield forward(*inputs(forward, start + offset, count, of_batch, truncation), start + offset)


def inputs(
    forward: Forward, first: int, count: int, labels: Tensor | None, truncation: float | None
) -> tuple[Tensor, Tensor | None]:
    """The latents and the labels of samples first … first + count - 1 of the seed; labels that are given stay."""
    generator, seed = forward.generator, forward.seed
    if truncation is None:
        z = generator.latents(seed, first, count)
    else:
        z = latents(seed, first, count, generator.latent_shape, truncation)
    if labels is None and generator.num_classes is not None:
        labels = draw_labels(seed, first, count, generator.num_classes)
    return z, labels


def _default_latents() -> object:
    from zoo_core.interfaces import Generator

    return Generator.latents
