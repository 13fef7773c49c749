"""What the contract's tests do to networks: run them, train them, spoil their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_core.errors import ContractError
from zoo_core.interfaces import Batch, Discriminator, Generator, Trainer
from zoo_core.modelfolder import CONFIG, WEIGHTS
from zoo_core.testing.static import demand_samples
from zoo_core.testing.subject import COUNT, demand, labels_for

_PUSHES = 300  # steps of Adam after which a logit that is free to move is beyond 1
_Module = TypeVar("_Module", bound=nn.Module)


def latents(generator: Generator) -> Tensor:
    """The first COUNT latents of seed 0: (COUNT, *latent_shape)."""
    return generator.latents(0, 0, COUNT)


def forward(generator: Generator, labels: Tensor | None = None, *, z: Tensor | None = None) -> Tensor:
    """Samples (COUNT, *sample_shape) in the model's range, by default of the first latents and every class in turn."""
    z = latents(generator) if z is None else z
    with torch.no_grad():
        x: Tensor = generator(z, labels if labels is not None else labels_for(generator, COUNT))
    return x


def demand_sound_samples(generator: Generator) -> None:
    """Raise ContractError unless forward returns finite samples of the stated shape, in float32."""
    try:
        x = forward(generator)
    except Exception as error:  # whatever torch raises for shapes that do not fit
        raise ContractError(
            f"the contract asks that {type(generator).__qualname__}.forward takes latents (N, *latent_shape), here "
            f"{(COUNT, *generator.latent_shape)}; it raises {type(error).__name__}: {error}"
        ) from error
    demand_samples(generator, x, "forward(z)")
    finite = bool(torch.isfinite(x).all())
    demand(finite, f"samples of {type(generator).__qualname__} are finite", "NaN and infinity are no samples")


def is_deterministic(generator: Generator) -> bool:
    """Whether two forwards of the same latents in eval mode give the same."""
    z = latents(generator)
    return torch.equal(forward(generator, z=z), forward(generator, z=z))


def highest_logit(discriminator: Discriminator | None, x: Tensor, labels: Tensor | None, sign: int) -> float:
    """How high `sign` times a logit gets where D is trained for nothing else; stops beyond 1."""
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
    """The module with another state than it was built with."""
    for tensor in module.state_dict().values():  # which share their memory with the module
        if tensor.is_floating_point():
            tensor.mul_(0.9).add_(0.01)
    return module


def on_meta_device(batch: Batch) -> Batch:
    """The batch without its values."""
    labels = batch.labels.to("meta") if batch.labels is not None else None
    return Batch(batch.samples.to("meta"), labels)


def train(trainer: Trainer, batch: Batch, steps: int) -> dict[str, list[float]]:
    """So many steps of a prepared trainer on the same batch; its figures, by name."""
    course: dict[str, list[float]] = {}
    for _ in range(steps):
        for name, value in trainer.training_step(batch).items():
            course.setdefault(name, []).append(float(value))
        trainer.step += 1
    return course


def _change_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return spoil


def _change_config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        stated = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        change(stated)
        (folder / CONFIG).write_text(json.dumps(stated), encoding="utf-8")

    return spoil


def _widen_first(tensors: dict[str, Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = torch.zeros(*tensors[name].shape, 2)


# What is wrong with a folder, and how to make it so.
SPOILT: dict[str, Callable[[Path], None]] = {
    "a tensor too few": _change_weights(lambda tensors: tensors.popitem()),
    "a tensor too many": _change_weights(lambda tensors: tensors.update(stranger=torch.zeros(1))),
    "a tensor of another shape": _change_weights(_widen_first),
    "a field that no configuration has": _change_config(lambda stated: stated["config"].update(stranger=1)),
    "another sample_shape": _change_config(lambda stated: stated["sample_shape"].append(7)),
}
