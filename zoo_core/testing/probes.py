"""Probes of the contract's tests: running networks, training them, and corrupting their files."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_core.interfaces import Batch, Discriminator, Encoder, Generator, Trainer
from zoo_core.modelfolder import CONFIG, WEIGHTS
from zoo_core.testing.architecture_under_test import COUNT, encode, labels_for
from zoo_core.testing.expectation import expect, violation
from zoo_core.testing.static import expect_samples
from zoo_core.training.figures import checked_figures
from zoo_core.training.run_folder import RunFolder

_PUSHES = 300  # steps of Adam after which an unbounded logit is beyond 1
_Module = TypeVar("_Module", bound=nn.Module)
_Network = TypeVar("_Network", bound=Generator)


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
    """Return the module with a state other than the one it was built with, in which no layer is zero any more.

    Every weight gets normal noise in the size of an ordinary initialisation, always the same. Layers that are built
    as zeros, as the last ones of diffusion models, would hide what comes before them. Tables in buffers keep their
    form: noise could make a variance negative.
    """
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                deviation = 0.3 / math.sqrt(max(1, parameter[0].numel())) if parameter.ndim > 1 else 0.1
                noise = torch.randn(parameter.shape, generator=random) * deviation
                parameter.add_(noise.to(parameter))
        for buffer in module.buffers():
            if buffer.is_floating_point():
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


def reads_values(step: Callable[[], object]) -> bool:
    """Return whether a step fails on the meta device because it reads the value of a tensor, as `item` does."""
    try:
        step()
    except RuntimeError as error:
        return "item() cannot be called on meta" in str(error)
    except Exception:  # whatever else fails is not about reading
        return False
    return False


def train(trainer: Trainer, batch: Batch, steps: int) -> dict[str, list[float]]:
    """Run steps of a prepared trainer on one batch; return what each figure was, by name."""
    history: dict[str, list[float]] = {}
    for _ in range(steps):
        for name, value in checked_figures(trainer, trainer.training_step(batch)).items():
            history.setdefault(name, []).append(float(value))
        trainer.step += 1
    return history


def untouched(trainer: Trainer, batch: Batch, steps: int) -> list[str]:
    """Return the names of the parameters that training leaves as they were, or an empty list once all have changed.

    A parameter that an optimizer steps with a gradient of zero counts as touched if its network's output depends on it:
    the last bias of a Wasserstein critic shifts all its logits alike, so that no difference of them depends on it.
    """
    at_first: dict[str, Tensor] = {}
    left: dict[str, nn.Parameter] = {}
    stepped: set[int] = set()
    hooks = [optimizer.register_step_pre_hook(_noting(stepped)) for optimizer in trainer.optimizers.values()]
    for _ in range(steps):
        for name, parameter in _trainable(trainer):  # again in every step: a trainer may add layers
            if name not in at_first:
                at_first[name], left[name] = parameter.detach().clone(), parameter
        train(trainer, batch, 1)
        left = {name: parameter for name, parameter in left.items() if torch.equal(parameter, at_first[name])}
        if not left:
            break
    for hook in hooks:
        hook.remove()
    return [
        name
        for name, parameter in left.items()
        if not (id(parameter) in stepped and _shows(trainer.modules[name.partition(".")[0]], parameter, batch))
    ]


def _trainable(trainer: Trainer) -> Iterator[tuple[str, nn.Parameter]]:
    for network, module in trainer.modules.items():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                yield f"{network}.{name}", parameter


def _noting(stepped: set[int]) -> Callable[..., None]:
    """A hook that notes the parameters that have a gradient when an optimizer takes a step."""

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            stepped.update(id(parameter) for parameter in group["params"] if parameter.grad is not None)

    return note


def _shows(module: nn.Module, parameter: nn.Parameter, batch: Batch) -> bool:
    """Whether the output of a network changes with a parameter; taken for granted of a network of another kind."""
    if not isinstance(module, (Generator, Discriminator)):
        return True

    def output() -> list[Tensor]:
        x = batch.samples[:COUNT]
        labels = batch.labels[:COUNT] if batch.labels is not None else None
        if isinstance(module, Discriminator):
            return [module(x, labels)]
        codes = encode(module, x, labels)[0] if isinstance(module, Encoder) else x
        return [forward(module), codes]

    was_training = module.training
    module.eval()
    with torch.no_grad():
        before = output()
        parameter.add_(1.0)
        after = output()
        parameter.sub_(1.0)
    module.train(was_training)
    return any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


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
