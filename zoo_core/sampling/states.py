"""How samples come to be: some of the states through which a model that samples in steps brings them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo_core.errors import SamplingError
from zoo_core.interfaces.options import Choices
from zoo_core.sampling.batches import check_arguments, default_batch_size, inputs
from zoo_core.sampling.forward import Forward, OnStep, no_steps
from zoo_core.sampling.labels import Labels

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator

MOST_STATES = 60  # shown in one film


def sample_states(
    generator: Generator,
    n: int,
    *,
    seed: int = 0,
    start: int = 0,
    labels: Labels | None = None,
    truncation: float | None = None,
    options: Choices | None = None,
    batch_size: int | None = None,
    most: int = MOST_STATES,
    on_step: OnStep = no_steps,
) -> list[Tensor]:
    """Draw samples, and return some of the states through which they come to be; the other arguments as `sample`.

    Args:
        most: the largest number of states, 2 or more.
        on_step: called after each step of a batch.

    Returns:
        At most `most` states (n, *sample_shape) as samples are returned, evenly spaced, the first and the last among
        them. The last one holds the samples.

    Raises:
        SamplingError: for a model that makes its samples in one step, or an argument that is out of range.

    Example:
        >>> from zoo_core import Generator
        >>> class Growing(Generator):
        ...     kind = "tensor"
        ...     latent_shape = sample_shape = (2,)
        ...
        ...     def states(self, z, labels=None):
        ...         for step in range(1, 101):
        ...             yield z * step
        >>> states = sample_states(Growing(), 5, most=4)
        >>> len(states) <= 4, torch.equal(states[-1], Growing().sample(5))
        (True, True)
    """
    require_states(generator)
    given = check_arguments(generator, n, seed, start, labels, truncation, batch_size)
    forward = Forward(generator, generator.choose(options), seed, on_step=on_step)
    size = batch_size or default_batch_size(generator)
    batches = []
    for offset in range(0, n, size):
        count = min(size, n - offset)
        of_batch = given[offset : offset + count] if given is not None else None
        z, drawn = inputs(forward, start + offset, count, of_batch, truncation)
        batches.append(_thinned(forward.states(z, drawn, start + offset), most))
    longest = max(map(len, batches))
    # A batch of a sampler that ended sooner stays as it is in the end.
    return [torch.cat([states[min(index, len(states) - 1)] for states in batches]) for index in range(longest)]


def require_states(generator: Generator) -> None:
    """Raise SamplingError for a model that makes its samples in one step.

    Example:
        >>> import zoo_core as zoo
        >>> require_states(zoo.load("vanilla-gan-mnist"))
        Traceback (most recent call last):
        zoo_core.errors.SamplingError: VanillaGANGenerator makes its samples in one step: it has no states to show
    """
    if not generator.makes_states():
        name = type(generator).__qualname__
        raise SamplingError(f"{name} makes its samples in one step: it has no states to show")


def _thinned(states: Iterator[Tensor], most: int) -> list[Tensor]:
    """At most so many of the states, evenly spaced, and the last one; memory holds no more of them.

    How many there will be is not known: whenever there are too many, every other one is dropped.
    """
    kept: list[Tensor] = []
    last, stride = None, 1
    for index, state in enumerate(states):
        last = state
        if index % stride == 0:
            if len(kept) == most - 1:
                kept, stride = kept[::2], 2 * stride
            if index % stride == 0:
                kept.append(state)
    assert last is not None  # Forward.states raises for none
    return kept if kept[-1] is last else [*kept, last]
