"""What is tested: an architecture with a configuration, and the networks, inputs and data made from it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.errors import ContractError
from zoo_core.interfaces import Architecture, ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Discriminator, Encoder, Generator, Trainer

COUNT = 16  # samples in the batches that the tests make, or one of each class where there are more


def demand(kept: bool, asked: str, reason: str, found: object = None) -> None:
    """Raise ContractError, which says what the contract asks, why, and what was found, unless it is kept."""
    __tracebackhide__ = True  # pytest shows the test, not this line
    if not kept:
        told = "" if found is None else f"; found: {found}"
        raise ContractError(f"the contract asks that {asked}, because {reason}{told}")


@dataclass(frozen=True)
class Subject:
    """An architecture with a configuration.

    Args:
        architecture: as the plugin registers it.
        module: the one that its entry point names.
        values: of the configuration's fields; the others have their defaults.
    """

    architecture: Architecture
    module: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Subject:
        """The installed architecture of that name. Raises UnknownArchitectureError, which says what to do."""
        from zoo_core.plugins import manager

        return cls(manager().architecture(name), manager().owner(name).module, values)

    @cached_property
    def config(self) -> ModelConfig:
        """Made as `zoo train` makes it. Raises ContractError."""
        config_class = self.architecture.config_class()
        try:
            return msgspec.convert(dict(self.values), config_class)
        except Exception as error:  # a plugin's __post_init__ may fail in any way
            given = f"with {dict(self.values)}" if self.values else "from its defaults alone"
            raise ContractError(
                f"the contract asks that a {config_class.__qualname__} can be made {given}, because `zoo train "
                f"{self.architecture.name}` must run without a setting; found: {error}"
            ) from error

    @property
    def roles(self) -> dict[str, type]:
        """The classes of the architecture by role: config, generator and, where it has them, the others."""
        found = {
            "config": self.architecture.config_class(),
            "generator": self.architecture.generator_class(),
            "discriminator": self.architecture.discriminator_class(),
            "trainer": self.architecture.trainer_class(),
        }
        return {role: of_role for role, of_role in found.items() if of_role is not None}

    def generator(self) -> Generator:
        """A new one in eval mode, of the same weights every time."""
        import torch

        torch.manual_seed(0)
        return self.architecture.generator_class()(self.config).eval()

    def discriminator(self) -> Discriminator | None:
        """A new one in eval mode, of the same weights every time; None where the architecture has none."""
        import torch

        discriminator_class = self.architecture.discriminator_class()
        if discriminator_class is None:
            return None
        torch.manual_seed(0)
        return discriminator_class(self.config).eval()

    def trainer(self, settings: Mapping[str, Any], sample_shape: tuple[int, ...]) -> Trainer | None:
        """A new one, not built yet; None where the architecture cannot be trained."""
        trainer_class = self.architecture.trainer_class()
        if trainer_class is None:
            return None
        return trainer_class(self.config, msgspec.convert(dict(settings), trainer_class.Settings), sample_shape)


def labels_for(generator: Generator, count: int | None = None) -> Tensor | None:
    """Every class in turn, (count,) int64, for a conditional generator; None for another."""
    import torch

    if generator.num_classes is None:
        return None
    return torch.arange(count or batch_size(generator)) % generator.num_classes


def batch_size(generator: Generator) -> int:
    """Of a batch that has every class in it."""
    return max(COUNT, generator.num_classes or 0)


def encode(generator: Encoder, x: Tensor, labels: Tensor | None) -> Any:
    """What `encode` returns; an encoder that is not conditional takes no labels."""
    return generator.encode(x) if labels is None else generator.encode(x, labels)  # type: ignore[call-arg]


def example_samples(generator: Generator, count: int) -> Tensor:
    """Data to train on, (count, *sample_shape) in the model's range, the same every time.

    Pictures have a bright left or a bright right half; the rest is normal around 1.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    shape = tuple(generator.sample_shape)
    if generator.kind != "image":
        return 1 + 0.5 * torch.randn(count, *shape, generator=random)
    pictures = 0.1 + 0.1 * torch.rand(count, *shape, generator=random)
    half = shape[-1] // 2
    pictures[::2, ..., :half] += 0.7
    pictures[1::2, ..., half:] += 0.7
    return generator.from_unit(pictures)


def own_docstring(documented: type) -> str:
    """The docstring that stands in the class itself: one that is inherited describes another."""
    return inspect.cleandoc(vars(documented).get("__doc__") or "")
