"""The forward pass of a generator for batches of any size, computed so that no sample depends on its batch."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor, nn

from zoo_core.errors import InterfaceError, SamplingError
from zoo_core.interfaces.generator import last_of
from zoo_core.interfaces.options import SamplingOptions
from zoo_core.kinds.by_name import kind_named
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.sampling.inference import prepared
from zoo_core.sampling.whole_blocks import BLOCK, WholeBlocks
from zoo_core.streams import IndexedNoise

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator

# Called after each step of a batch with its number from 1, the number of steps if it is known, and that of the samples.
OnStep = Callable[[int, "int | None", int], object]


def no_steps(step: int, steps: int | None, samples: int) -> None:
    """Ignore a step."""


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
_MOST_SIZES = 64  # for how many choices of options one model's are kept


def _sizes_of(generator: Generator, dtype: torch.dtype, options: SamplingOptions) -> _Sizes:
    """What is known of a model on the CPU, in this type, with this number of threads and with these options.

    The options decide which operations a forward pass consists of.
    """
    key = (dtype, torch.get_num_threads(), msgspec.json.encode(options))
    with _sizes_lock:
        known = _sizes.setdefault(generator, {})
        if len(known) >= _MOST_SIZES and key not in known:
            known.clear()
        return known.setdefault(key, _Sizes())


class Forward:
    """The forward pass of a generator for batches of any size, computed so that no sample depends on its batch.

    Args:
        generator: the model.
        options: what its forward pass is given as `options`, if it takes them.
        seed: seed of the noise of a stochastic model.
        same_noise: whether all rows of a batch have the noise of the first.
        on_step: called after each step of a batch, if the model makes its samples in steps.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> forward = Forward(generator, generator.options)
        >>> forward(generator.latents(0, 0, 3), None, 0).shape
        torch.Size([3, 1, 28, 28])
    """

    def __init__(
        self,
        generator: Generator,
        options: SamplingOptions,
        seed: int = 0,
        *,
        same_noise: bool = False,
        on_step: OnStep = no_steps,
    ) -> None:
        self.generator, self.seed, self.same_noise = generator, seed, same_noise
        self._options, self._on_step = options, on_step
        self._kind = kind_named(generator.kind)
        self._device, self._dtype = device_and_dtype(generator)
        # Other devices choose every kernel by the size of its operation: there, whole batches are filled up.
        self._watched = self._device.type == "cpu"
        self._sizes = _sizes_of(generator, self._dtype, options) if self._watched else _Sizes(BLOCK)
        self._in_steps = generator.makes_states() and _is_called_as_its_class_says(generator)
        steps = getattr(options, "steps", None)
        self._steps = steps if isinstance(steps, int) else None  # until a batch has shown how many there are

    @functools.cached_property
    def _function(self) -> Any:
        with in_eval_mode(self.generator):
            return prepared(self.generator)

    def __call__(self, z: Tensor, labels: Tensor | None, first: int) -> Tensor:
        """Return the samples, (N, *sample_shape), on the CPU; images in [0, 1].

        Args:
            z: (N, *latent_shape).
            labels: (N,) class indices, or None.
            first: index of the sample in the first row, whose noise it gets.
        """
        while True:
            arguments, extras = self._filled(z, labels, first, self._sizes.multiple)
            with in_eval_mode(self.generator), torch.no_grad():
                output = self._run(arguments, extras)
                filled = len(arguments[0])
                if filled % self._sizes.multiple == 0:
                    return self._to_public_range(output, filled)[: len(z)].cpu()

    def states(self, z: Tensor, labels: Tensor | None, first: int) -> Iterator[Tensor]:
        """Yield the states through which the samples of `__call__` come to be, the last of which are these samples.

        While it is suspended, nothing of how a forward pass is computed holds: modes are entered for each step anew.

        Yields:
            (N, *sample_shape) after each step, on the CPU; images in [0, 1].
        """
        # A whole number of blocks needs no help that is known only at the end of a forward pass.
        (filled, of_filled), extras = self._filled(z, labels, first, BLOCK)
        remaining = self._function.states(filled, of_filled, **extras)
        blocks = WholeBlocks.of(self.generator) if self._watched else contextlib.nullcontext()
        for step in itertools.count():
            with in_eval_mode(self.generator), torch.no_grad(), blocks:
                state = next(remaining, None)
            if state is None:
                if not step:
                    raise InterfaceError(f"{type(self.generator).__qualname__}.states yielded nothing")
                return
            with in_eval_mode(self.generator), torch.no_grad():
                shown = self._to_public_range(state, len(filled))[: len(z)].cpu()
            self._on_step(step + 1, self._steps if self._steps and step < self._steps else None, len(z))
            yield shown

    def _filled(
        self, z: Tensor, labels: Tensor | None, first: int, multiple: int
    ) -> tuple[tuple[Tensor, Tensor | None], dict[str, Any]]:
        """The arguments of a batch that is filled up to a multiple with copies of its last row."""
        z = z.to(self._device, self._dtype)
        filled = torch.cat([z, z[-1:].expand(-len(z) % multiple, *z.shape[1:])])
        labels = labels.to(self._device) if labels is not None else None
        of_filled = torch.nn.functional.pad(labels, (0, len(filled) - len(z))) if labels is not None else None
        noise = IndexedNoise(self.seed, first, filled, count=len(z), same=self.same_noise)
        return (filled, of_filled), self.generator.extras(self._options, noise)

    def _run(self, arguments: tuple[Tensor, Tensor | None], extras: dict[str, Any]) -> Tensor:
        count = len(arguments[0])
        if not self._watched or count in self._sizes.alike:
            return self._computed(arguments, extras)
        with WholeBlocks.of(self.generator) as blocks:
            output = self._computed(arguments, extras)
        self._sizes.multiple = max(self._sizes.multiple, blocks.needed)
        if count % BLOCK == 0 and not blocks.helped:
            self._sizes.alike.add(count)
        return output

    def _computed(self, arguments: tuple[Tensor, Tensor | None], extras: dict[str, Any]) -> Tensor:
        if not self._in_steps:
            output: Tensor = self._function(*arguments, **extras)
            return output
        step = 0

        def report(state: Tensor) -> None:
            nonlocal step
            step += 1
            known = self._steps is not None and step <= self._steps
            self._on_step(step, self._steps if known else None, len(state))

        output = last_of(self._function.states(*arguments, **extras), self.generator, report)
        self._steps = step
        return output

    def _to_public_range(self, output: Tensor, count: int) -> Tensor:
        name, expected = type(self.generator).__qualname__, (count, *self.generator.sample_shape)
        if tuple(output.shape) != expected:
            raise SamplingError(f"{name} returned {tuple(output.shape)}, not {expected}")
        if output.dtype in (torch.float16, torch.bfloat16):
            output = output.float()
        if output.is_floating_point() and not _is_finite(output):
            raise SamplingError(f"{name} returned NaN or infinite values")
        return self._kind.to_public(output, self.generator)


def _is_finite(values: Tensor) -> bool:
    """Whether all values are finite: NaN shows in the extremes too, so that one pass over the values is enough."""
    return not values.numel() or all(math.isfinite(end) for end in torch.stack(torch.aminmax(values)).tolist())


def _is_called_as_its_class_says(model: nn.Module) -> bool:
    """Whether a call of this model runs the `forward` of its class and nothing else: no hook, and not compiled."""
    hooked = model._forward_hooks or model._forward_pre_hooks or "forward" in vars(model)
    return not hooked and model._compiled_call_impl is None
