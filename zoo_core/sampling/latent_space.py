"""Exploration of a latent space: walks between samples, single dimensions, and reconstructions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import SamplingError
from zoo_core.interfaces import Encoder, Generator
from zoo_core.interfaces.options import Choices
from zoo_core.sampling.batches import default_batch_size, render
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.sampling.forward import OnStep, no_steps
from zoo_core.sampling.labels import Labels, check_labels
from zoo_core.streams import draw_labels, latents


def spherical_interpolation(a: Tensor, b: Tensor, fraction: float) -> Tensor:
    """Return a point on the great circle from a to b (Shoemake, 1985; for latents White, 2016, arXiv 1609.04468).

    A straight line between two normal latents passes through points that are shorter than any that the model was
    trained on; an arc does not. Where a and b point in the same or in opposite directions, or one of them is 0, the
    line is used.

    Args:
        a: (N, *shape).
        b: (N, *shape).
        fraction: 0 for a, 1 for b.

    Returns:
        (N, *shape), in the type of `a`.

    Example:
        >>> halfway = spherical_interpolation(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)
        >>> round(halfway.norm().item(), 4)  # as long as both ends
        1.0
    """
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    cosine = torch.nn.functional.cosine_similarity(flat_a, flat_b).clamp(-1, 1)
    angle = torch.acos(cosine)[:, None]
    sine = torch.sin(angle)
    on_line = (sine < 1e-6) | (flat_a.norm(dim=1) * flat_b.norm(dim=1) == 0)[:, None]
    sine = torch.where(on_line, torch.ones_like(sine), sine)
    of_a = torch.where(on_line, torch.full_like(angle, 1 - fraction), torch.sin((1 - fraction) * angle) / sine)
    of_b = torch.where(on_line, torch.full_like(angle, fraction), torch.sin(fraction * angle) / sine)
    return (of_a * flat_a + of_b * flat_b).reshape(a.shape).to(a.dtype)


def interpolate(
    generator: Generator,
    walks: int,
    *,
    through: int = 4,
    frames: int = 24,
    seed: int = 0,
    label: Labels | None = None,
    truncation: float | None = None,
    options: Choices | None = None,
    on_step: OnStep = no_steps,
) -> Iterator[Tensor]:
    """Walk through the latent space in closed loops, frame by frame.

    Walk i passes through samples i, i + walks, i + 2 · walks, … of the seed, and back to the first. With a conditional
    model, the class stays the same during a walk; with a stochastic one, so does the noise, which is that of sample i.
    Such a walk therefore passes through the latents of the other samples, and not quite through these samples.

    Args:
        walks: number of walks, side by side in every frame.
        through: number of samples that each walk passes through, 2 or more.
        frames: number of frames from one sample to the next.
        label: class of all walks, or several that take turns, as for `Generator.sample`; by default, each walk has the
            class of its first sample.
        truncation: as for `Generator.sample`.
        options: as for `Generator.sample`.
        on_step: called after each step of a frame, if the model makes its samples in steps.

    Yields:
        through · frames tensors (walks, *sample_shape), as `Generator.sample` returns samples.

    Raises:
        SamplingError: if a number is out of range, or for options that the model has not.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> walk = list(interpolate(generator, walks=2, through=3, frames=2))
        >>> len(walk), walk[0].shape
        (6, torch.Size([2, 1, 28, 28]))
    """
    if walks < 1 or through < 2 or frames < 1:
        raise SamplingError("walks and frames must be at least 1, and through at least 2")
    chosen = generator.choose(options)
    if truncation is None:
        z = generator.latents(seed, 0, walks * through)
    else:
        z = latents(seed, 0, walks * through, generator.latent_shape, truncation)
    stops = z.reshape(through, walks, *generator.latent_shape)
    labels = check_labels(generator, label, walks)
    if labels is None and generator.num_classes is not None:
        labels = draw_labels(seed, 0, walks, generator.num_classes)
    for leg in range(through):
        begin, end = stops[leg], stops[(leg + 1) % through]
        for frame in range(frames):
            between = spherical_interpolation(begin, end, frame / frames)
            yield torch.cat(list(render(generator, between, labels, options=chosen, seed=seed, on_step=on_step)))


def traverse(
    generator: Generator,
    z: Tensor,
    *,
    steps: int = 9,
    span: float = 3.0,
    label: int | str | None = None,
    options: Choices | None = None,
    seed: int = 0,
    on_step: OnStep = no_steps,
) -> tuple[Tensor, list[int]]:
    """Vary one latent dimension at a time from −span to span, and keep the others (β-VAE, Higgins et al., 2017).

    Args:
        z: (latent_size,), the latent to start from.
        steps: number of values of each dimension.
        span: range of each dimension, in standard deviations.
        label: class, for a conditional model.
        options: as for `Generator.sample`.
        seed: seed of the noise of a stochastic model; every sample gets that of sample 0.
        on_step: called after each step of a batch, if the model makes its samples in steps.

    Returns:
        Samples (latent_size, steps, *sample_shape), and the dimension of each row; the rows that change most come
        first.

    Raises:
        SamplingError: for a model whose latents are not vectors, or if a number is out of range.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> samples, dimensions = traverse(generator, generator.latents(0, 0, 1)[0], steps=3)
        >>> samples.shape[1:], sorted(dimensions) == list(range(*generator.latent_shape))
        (torch.Size([3, 1, 28, 28]), True)
    """
    if len(generator.latent_shape) != 1:
        raise SamplingError(
            f"{type(generator).__qualname__} has latents of shape {generator.latent_shape}: only the dimensions of a "
            "vector can be varied one at a time; use interpolate instead"
        )
    if steps < 2 or not (math.isfinite(span) and span > 0):
        raise SamplingError("a traversal needs at least 2 steps and a span above 0")
    if isinstance(label, list | tuple | Tensor) and len(label) != 1:
        raise SamplingError(f"a traversal varies one sample: it takes one class, not {len(label)}")
    labels = check_labels(generator, label, 1, required=True)
    (size,) = generator.latent_shape
    values = torch.linspace(-span, span, steps, dtype=torch.float32, device="cpu")
    moved = z.expand(size, steps, size).clone()
    moved.diagonal(dim1=0, dim2=2).copy_(values[:, None].expand(steps, size))
    of_all = labels.expand(size * steps) if labels is not None else None
    batches = render(
        generator, moved.flatten(0, 1), of_all, options=options, seed=seed, same_noise=True, on_step=on_step
    )
    samples = torch.cat(list(batches))
    samples = samples.reshape(size, steps, *generator.sample_shape)
    values = samples if samples.is_floating_point() else samples.double()
    order = values.var(1).flatten(1).sum(1).argsort(descending=True, stable=True).tolist()
    return samples[order], order


@torch.no_grad()
def reconstruct(
    generator: Generator, samples: Tensor, label: Labels | None = None, *, options: Choices | None = None
) -> Tensor:
    """Encode samples, and decode the mean of q(z|x), in batches and in eval mode.

    Args:
        samples: (N, *sample_shape), N at least 1; images in [0, 1].
        label: class of the samples, or several, as for `Generator.sample`; for a conditional model.
        options: as for `Generator.sample`. A stochastic model gets for sample i the noise of index i of seed 0.

    Returns:
        (N, *sample_shape), float32 on the CPU; images in [0, 1].

    Raises:
        SamplingError: for a model that does not encode, a missing label, a label for an unconditional model, or options
            that the model has not.

    Example:
        >>> import zoo_core as zoo
        >>> reconstruct(zoo.load("vae-mlp-mnist"), torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """
    if not isinstance(generator, Encoder):
        raise SamplingError(f"{type(generator).__qualname__} does not encode, so it cannot reconstruct; a VAE can")
    labels = check_labels(generator, label, len(samples), required=True)
    chosen = generator.choose(options)
    parts = []
    with in_eval_mode(generator):
        for start in range(0, len(samples), batch := default_batch_size(generator)):
            part = slice(start, start + batch)
            of_part = labels[part] if labels is not None else None
            # A class may override `reconstruct`, and then takes no more than it needs.
            how: dict[str, Any] = {"options": chosen} if generator.has_options() else {}
            if type(generator).stochastic:
                how["start"] = start
            again = generator.reconstruct(samples[part], of_part, **how)
            parts.append(again.float().cpu())
    return torch.cat(parts)
