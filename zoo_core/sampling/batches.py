"""Sampling in batches: the same samples whatever the size of a batch."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo_core.errors import SamplingError
from zoo_core.kinds.by_name import kind_named
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.sampling.inference import prepared
from zoo_core.sampling.labels import Labels, check_labels
from zoo_core.sampling.whole_blocks import BLOCK, WholeBlocks
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
    batch_size: int | None = None,
) -> Iterator[Tensor]:
    """Draw samples one batch at a time, so that memory is bounded by the batch, whatever n is.

    The arguments are those of `Generator.sample`. They are checked at once, before the first batch is requested.

    Yields:
        Batches (at most batch_size, *sample_shape), float32 on the CPU; images in [0, 1].

    Raises:
        SamplingError: if an argument is out of range, or does not fit the generator.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> [tuple(batch.shape) for batch in sample_batches(generator, 20, batch_size=16)]
        [(16, 1, 28, 28), (4, 1, 28, 28)]
    """
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
    given = check_labels(generator, labels, n, start=start)
    return _batches(generator, n, seed, start, given, truncation, batch_size or default_batch_size(generator))


def render(
    generator: Generator, z: Tensor, labels: Labels | None = None, *, batch_size: int | None = None
) -> Iterator[Tensor]:
    """Generate samples from the given latents, one batch at a time.

    Args:
        z: latents (N, *latent_shape), N at least 1.
        labels: for a conditional generator: as for `Generator.sample`.
        batch_size: by default as large as `default_batch_size` returns.

    Yields:
        Batches (at most batch_size, *sample_shape), float32 on the CPU; images in [0, 1].

    Raises:
        SamplingError: for latents of another shape, missing labels, or labels for an unconditional model.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> (samples,) = render(generator, generator.latents(0, 0, 3))
        >>> torch.equal(samples, generator.sample(3, seed=0))
        True
    """
    if tuple(z.shape[1:]) != generator.latent_shape or not len(z):
        raise SamplingError(f"latents must be of shape (N, {', '.join(map(str, generator.latent_shape))})")
    given = check_labels(generator, labels, len(z), required=True)
    return _rendered(generator, z, given, batch_size or default_batch_size(generator))


def _rendered(generator: Generator, z: Tensor, labels: Tensor | None, batch_size: int) -> Iterator[Tensor]:
    forward = _Forward(generator)
    for start in range(0, len(z), batch_size):
        part = slice(start, start + batch_size)
        yield forward(z[part], labels[part] if labels is not None else None)


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
    batch_size: int | None = None,
) -> Tensor:
    """Draw n samples of a generator: (n, *sample_shape), float32 on the CPU. Arguments as for `Generator.sample`.

    Example:
        >>> import zoo_core as zoo
        >>> sample(zoo.load("vanilla-gan-mnist"), 3, seed=0).shape
        torch.Size([3, 1, 28, 28])
    """
    batches = sample_batches(
        generator, n, seed=seed, start=start, labels=labels, truncation=truncation, batch_size=batch_size
    )
    return torch.cat(list(batches))


def _batches(
    generator: Generator,
    n: int,
    seed: int,
    start: int,
    labels: Tensor | None,
    truncation: float | None,
    batch_size: int,
) -> Iterator[Tensor]:
    forward = _Forward(generator)
    for offset in range(0, n, batch_size):
        count = min(batch_size, n - offset)
        first = start + offset
        if truncation is None:
            z = generator.latents(seed, first, count)
        else:
            z = latents(seed, first, count, generator.latent_shape, truncation)
        of_batch = labels[offset : offset + count] if labels is not None else None
        if of_batch is None and generator.num_classes is not None:
            of_batch = draw_labels(seed, first, count, generator.num_classes)
        yield forward(z, of_batch)


@dataclass
class _Sizes:
    """In which batches a model is computed, as far as its forward passes have shown; shared by all threads.

    Attributes:
        multiple: every batch is filled up to a multiple of this.
        alike: sizes of batches in which no operation needs help, so that they run without being watched.
    """

    multiple: int = 1
    alike: set[int] = field(default_factory=set)


_sizes: weakref.WeakKeyDictionary[nn.Module, dict[tuple[object, ...], _Sizes]] = weakref.WeakKeyDictionary()
_sizes_lock = threading.Lock()


def _sizes_of(generator: Generator, dtype: torch.dtype) -> _Sizes:
    """What is known of a model on the CPU, in this type and with this number of threads."""
    with _sizes_lock:
        return _sizes.setdefault(generator, {}).setdefault((dtype, torch.get_num_threads()), _Sizes())


class _Forward:
    """The forward pass of a generator for batches of any size, computed so that no sample depends on its batch."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._kind = kind_named(generator.kind)
        self._device, self._dtype = device_and_dtype(generator)
        # Other devices choose every kernel by the size of its operation: there, whole batches are filled up.
        self._watched = self._device.type == "cpu"
        self._sizes = _sizes_of(generator, self._dtype) if self._watched else _Sizes(BLOCK)
        with in_eval_mode(generator):
            self._function = prepared(generator)

    def __call__(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Return the samples, (N, *sample_shape), float32 on the CPU; images in [0, 1].

        Args:
            z: (N, *latent_shape).
            labels: (N,) class indices, or None.
        """
        z = z.to(self._device, self._dtype)
        labels = labels.to(self._device) if labels is not None else None
        while True:
            multiple = self._sizes.multiple
            filled = torch.cat([z, z[-1:].expand(-len(z) % multiple, *z.shape[1:])])
            of_filled = torch.nn.functional.pad(labels, (0, len(filled) - len(z))) if labels is not None else None
            with in_eval_mode(self._generator), torch.no_grad():
                output = self._run(filled, of_filled)
                if len(filled) % self._sizes.multiple == 0:
                    return self._to_public_range(output, len(filled))[: len(z)].cpu()

    def _run(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if not self._watched or len(z) in self._sizes.alike:
            unwatched: Tensor = self._function(z, labels)
            return unwatched
        with WholeBlocks.of(self._generator) as blocks:
            output: Tensor = self._function(z, labels)
        self._sizes.multiple = max(self._sizes.multiple, blocks.needed)
        if len(z) % BLOCK == 0 and not blocks.helped:
            self._sizes.alike.add(len(z))
        return output

    def _to_public_range(self, output: Tensor, count: int) -> Tensor:
        name, expected = type(self._generator).__qualname__, (count, *self._generator.sample_shape)
        if tuple(output.shape) != expected:
            raise SamplingError(f"{name} returned {tuple(output.shape)}, not {expected}")
        if output.dtype in (torch.float16, torch.bfloat16):
            output = output.float()
        if output.is_floating_point() and not _is_finite(output):
            raise SamplingError(f"{name} returned NaN or infinite values")
        return self._kind.to_public(output, self._generator)


def _is_finite(values: Tensor) -> bool:
    """Whether all values are finite: NaN shows in the extremes too, so that one pass over the values is enough."""
    return not values.numel() or all(math.isfinite(end) for end in torch.stack(torch.aminmax(values)).tolist())


def _default_latents() -> object:
    from zoo_core.interfaces import Generator

    return Generator.latents
