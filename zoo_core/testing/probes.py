"""Probes of the contract's tests: running networks, and corrupting their files."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_core.interfaces import Batch, Discriminator, Generator, SamplingOptions
from zoo_core.modelfolder import CONFIG, WEIGHTS
from zoo_core.streams import IndexedNoise
from zoo_core.testing.architecture_under_test import COUNT, labels_for, output_of
from zoo_core.testing.expectation import expect, violation
from zoo_core.testing.static import expect_samples
from zoo_core.training.run_folder import RunFolder

_PUSHES = 300  # steps of Adam after which an unbounded logit is beyond 1
_Module = TypeVar("_Module", bound=nn.Module)
_Network = TypeVar("_Network", bound=Generator)


def latents(generator: Generator) -> Tensor:
    """Return the first COUNT latents of seed 0: (COUNT, *latent_shape)."""
    return generator.latents(0, 0, COUNT)


def forward(
    generator: Generator,
    labels: Tensor | None = None,
    *,
    z: Tensor | None = None,
    options: SamplingOptions | None = None,
) -> Tensor:
    """Return samples (COUNT, *sample_shape) in the model's range; by default for the first latents and all classes."""
    z = latents(generator) if z is None else z
    return output_of(generator, z, labels if labels is not None else labels_for(generator, COUNT), options)


def in_parts(generator: Generator, z: Tensor, size: int) -> Tensor:
    """Return what `forward` does for latents (COUNT, *latent_shape), computed in batches of this size."""
    labels = labels_for(generator, COUNT)
    parts = [slice(first, first + size) for first in range(0, COUNT, size)]
    of_part = [labels[part] if labels is not None else None for part in parts]
    return torch.cat(
        [output_of(generator, z[part], few, start=part.start) for part, few in zip(parts, of_part, strict=True)]
    )


class Recorder:
    """The noise of a stochastic generator for its latents, which remembers what it was asked for.

    Attributes:
        draws: step and shape of each call, in order.
    """

    def __init__(self, z: Tensor, seed: int = 0) -> None:
        self._noise = IndexedNoise(seed, 0, z)
        self.draws: list[tuple[int, tuple[int, ...]]] = []

    def __call__(self, step: int, shape: tuple[int, ...]) -> Tensor:
        self.draws.append((int(step), tuple(shape)))
        return self._noise(step, shape)


def with_noise(generator: Generator, options: SamplingOptions, seed: int = 0) -> tuple[Tensor, Recorder]:
    """Return samples as `forward` does, with the noise of this seed, and what was asked of the noise."""
    z = latents(generator)
    noise = Recorder(z, seed)
    with torch.no_grad():
        x: Tensor = generator(z, labels_for(generator, COUNT), **generator.extras(options, noise))
    return x, noise


def states_of(generator: Generator) -> Iterator[Tensor]:
    """Yield what `states` does, for the first latents and all classes."""
    z = latents(generator)
    extras = generator.extras(generator.options, IndexedNoise(0, 0, z))
    with torch.no_grad():
        yield from generator.states(z, labels_for(generator, COUNT), **extras)


class Exportable(nn.Module):
    """A generator with its options inside, which takes its noise as tensors: what torch.export can take.

    Args:
        generator: the generator.
        draws: step and shape of each draw of noise, in the order of the tensors.
    """

    def __init__(self, generator: Generator, draws: Sequence[tuple[int, tuple[int, ...]]]) -> None:
        super().__init__()
        self.generator, self._draws = generator, list(draws)

    def forward(self, z: Tensor, labels: Tensor | None, noises: list[Tensor]) -> Any:
        drawn = dict(zip(self._draws, noises, strict=True))
        extras = self.generator.extras(self.generator.options, lambda step, shape: drawn[int(step), tuple(shape)])
        return self.generator(z, labels, **extras)


def expect_sound_samples(generator: Generator) -> None:
    """Raise ContractError unless forward returns finite samples in the stated shape, in float32."""
    try:
        x = forward(generator)
    except Exception as error:  # whatever torch raises for shapes that do not fit
        raise violation(
            f"{type(generator).__qualname__}.forward takes latents (N, *latent_shape), here "
            f"{(COUNT, *generator.latent_shape)}",
            "sampling passes these",
            "correct latent_shape or the first layer",
            f"{type(error).__name__}: {error}",
        ) from error
    expect_samples(generator, x, "forward(z)")
    expect(
        bool(torch.isfinite(x).all()),
        f"samples of {type(generator).__qualname__} are finite",
        "NaN and infinity cannot be drawn or measured",
        "look for a division by zero, or a log or root of a negative number",
    )


def is_deterministic(generator: Generator, z: Tensor | None = None) -> bool:
    """Return whether two forward passes of the same latents in eval mode give equal samples."""
    z = latents(generator) if z is None else z
    return torch.equal(forward(generator, z=z), forward(generator, z=z))


def highest_logit(discriminator: Discriminator | None, x: Tensor, labels: Tensor | None, sign: int) -> float:
    """Return how high `sign` times a logit gets when D is trained for nothing else; stops beyond 1."""
    assert discriminator is not None
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    highest = -float("inf")
    for _ in range(_PUSHES):
        logits = sign * discriminator(x, labels)
        highest = max(highest, logits.max().item())
        if highest > 1:
            break
        optimizer.zero_grad()
        (-logits.mean()).backward()
        optimizer.step()
    return highest


def disturbed(module: _Module) -> _Module:
    """Return the module with a state other than the one it was built with, in which no layer is zero any more.

    Every weight gets normal noise in the size of an ordinary initialisation, always the same. Layers that are built
    as zeros, as the last ones of diffusion models, would hide what comes before them. Tables in buffers keep their
    form: noise could make a variance negative. Those that are not saved, but computed when the module is built, stay.
    """
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                deviation = 0.3 / math.sqrt(max(1, parameter[0].numel())) if parameter.ndim > 1 else 0.1
                noise = torch.randn(parameter.shape, generator=random) * deviation
                parameter.add_(noise.to(parameter))
        saved = module.state_dict(keep_vars=True)
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point() and name in saved:
                buffer.mul_(0.9)
    return module


def awake(network: _Network) -> _Network:
    """Return the generator disturbed, or as it was built where its samples would not be finite."""
    woken = disturbed(copy.deepcopy(network))
    return woken if bool(torch.isfinite(forward(woken)).all()) else network


def alike(x: Tensor, y: Tensor) -> bool:
    """Return whether two tensors of samples are equal up to rounding.

    Rounding can be a last bit in every layer, and where samples are whole numbers it turns one into the next: a few
    may then differ.
    """
    if x.shape != y.shape:
        return False
    x, y = x.double(), y.double()
    near = (x - y).abs() <= 1e-4 * max(1.0, x.abs().max().item())
    whole = bool((x == x.round()).all())
    return int((~near).sum()) <= (max(1, x.numel() // 100) if whole else 0)


def on_meta_device(batch: Batch) -> Batch:
    """Return the batch without its values."""
    labels = batch.labels.to("meta") if batch.labels is not None else None
    return Batch(batch.samples.to("meta"), labels)


def stopped_in_the_middle(run: Path, other: Path, step: int) -> None:
    """Make another folder of a finished run, as it was when it had just written the checkpoint of a step."""
    run_folder, copied = RunFolder(run), RunFolder(other)
    checkpoint = f"step-{step:08d}"
    shutil.copytree(run_folder.checkpoints / checkpoint, copied.checkpoints / checkpoint)
    record = run_folder.recorded() or {}
    copied.begin({key: value for key, value in record.items() if key != "finished"})


def _corrupt_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def corrupt(folder: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return corrupt


def _corrupt_config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def corrupt(folder: Path) -> None:
        stated = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        change(stated)
        (folder / CONFIG).write_text(json.dumps(stated), encoding="utf-8")

    return corrupt


def _widen_first(tensors: dict[str, Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = torch.zeros(*tensors[name].shape, 2)


# What is wrong with a model folder, and a function that makes it so.
CORRUPTIONS: dict[str, Callable[[Path], None]] = {
    "a missing tensor": _corrupt_weights(lambda tensors: tensors.popitem()),
    "an unexpected tensor": _corrupt_weights(lambda tensors: tensors.update(stranger=torch.zeros(1))),
    "a tensor of another shape": _corrupt_weights(_widen_first),
    "a field that no configuration has": _corrupt_config(lambda stated: stated["config"].update(stranger=1)),
    "another sample_shape": _corrupt_config(lambda stated: stated["sample_shape"].append(7)),
}
