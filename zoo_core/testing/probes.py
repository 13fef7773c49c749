"""Probes of the contract's tests: running networks, training them, and corrupting their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_core.interfaces import Batch, Discriminator, Generator, Trainer
from zoo_core.modelfolder import CONFIG, WEIGHTS
from zoo_core.testing.architecture_under_test import COUNT, labels_for
from zoo_core.testing.expectation import expect, violation
from zoo_core.testing.static import expect_samples
from zoo_core.training.figures import checked_figures

_PUSHES = 300  # steps of Adam after which an unbounded logit is beyond 1
_Module = TypeVar("_Module", bound=nn.Module)


def latents(generator: Generator) -> Tensor:
    """Return the first COUNT latents of seed 0: (COUNT, *latent_shape)."""
    return generator.latents(0, 0, COUNT)


def forward(generator: Generator, labels: Tensor | None = None, *, z: Tensor | None = None) -> Tensor:
    """Return samples (COUNT, *sample_shape) in the model's range; by default for the first latents and all classes."""
    z = latents(generator) if z is None else z
    with torch.no_grad():
        x: Tensor = generator(z, labels if labels is not None else labels_for(generator, COUNT))
    return x


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


def is_deterministic(generator: Generator) -> bool:
    """Return whether two forward passes of the same latents in eval mode give equal samples."""
    z = latents(generator)
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
    """Return the module with a state other than the one it was built with."""
    for tensor in module.state_dict().values():  # they share memory with the module
        if tensor.is_floating_point():
            tensor.mul_(0.9).add_(0.01)
    return module


def on_meta_device(batch: Batch) -> Batch:
    """Return the batch without its values."""
    labels = batch.labels.to("meta") if batch.labels is not None else None
    return Batch(batch.samples.to("meta"), labels)


def train(trainer: Trainer, batch: Batch, steps: int) -> dict[str, list[float]]:
    """Run steps of a prepared trainer on one batch; return what each figure was, by name."""
    history: dict[str, list[float]] = {}
    for _ in range(steps):
        for name, value in checked_figures(trainer, trainer.training_step(batch)).items():
            history.setdefault(name, []).append(float(value))
        trainer.step += 1
    return history


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
