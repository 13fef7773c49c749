"""The architecture under test: one configuration of it, and the networks, inputs and data made from that."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.interfaces import Architecture, ModelConfig
from zoo_core.testing.expectation import violation

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Discriminator, Encoder, Generator, SamplingOptions, Trainer

COUNT = 16  # samples in a batch of the tests, or one of each class if there are more classes
ALPHABET = "abcdefgh"  # of texts, for a configuration that leaves it to the data


@dataclass(frozen=True)
class ArchitectureUnderTest:
    """An architecture with one configuration.

    Args:
        architecture: as the plugin registers it.
        module: the module that the plugin's entry point names.
        values: values of configuration fields; the others have their defaults, or are as data for the tests says.
        options: values of sampling options; the others have their defaults.
    """

    architecture: Architecture
    module: str
    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any], options: Mapping[str, Any]) -> ArchitectureUnderTest:
        """Return the installed architecture with that name. Raises UnknownArchitectureError, which says what to do."""
        from zoo_core.plugins import manager

        return cls(manager().architecture(name), manager().owner(name).module, values, options)

    @cached_property
    def config(self) -> ModelConfig:
        """The configuration, made in the way of `zoo train`. Raises ContractError."""
        config_class = self.architecture.config_class()
        try:
            return msgspec.convert(_values_of_data(config_class) | dict(self.values), config_class)
        except Exception as error:  # a plugin's __post_init__ may fail in any way
            given = f"with {dict(self.values)}" if self.values else "from its defaults alone"
            raise violation(
                f"a {config_class.__qualname__} can be made {given}",
                f"`zoo train {self.architecture.name}` must run without any setting",
                "give every field a default, or correct `config` of the test",
                f"{type(error).__name__}: {error}",
            ) from error

    @property
    def roles(self) -> dict[str, type]:
        """The classes of the architecture by role: config, generator and what else it has of them."""
        generator = self.architecture.generator_class()
        classes = {
            "config": self.architecture.config_class(),
            "generator": generator,
            "options": generator.Options if generator.has_options() else None,
            "discriminator": self.architecture.discriminator_class(),
            "trainer": self.architecture.trainer_class(),
        }
        return {role: of_role for role, of_role in classes.items() if of_role is not None}

    def generator(self) -> Generator:
        """Return a new generator in eval mode with the options of the test, with the same weights every time."""
        with _seeded():
            generator = self.architecture.generator_class()(self.config).eval()
        if self.options:
            generator.options = generator.choose(self.options)
        return generator

    def discriminator(self) -> Discriminator | None:
        """Return a new discriminator in eval mode, with the same weights every time, or None without one."""
        discriminator_class = self.architecture.discriminator_class()
        if discriminator_class is None:
            return None
        with _seeded():
            return discriminator_class(self.config).eval()

    def trainer(self, settings: Mapping[str, Any], sample_shape: tuple[int, ...]) -> Trainer | None:
        """Return a new trainer that is not built yet, or None if the architecture cannot be trained."""
        trainer_class = self.architecture.trainer_class()
        if trainer_class is None:
            return None
        return trainer_class(self.config, msgspec.convert(dict(settings), trainer_class.Settings), sample_shape)


def _values_of_data(config_class: type[ModelConfig]) -> dict[str, Any]:
    """What data states of itself and the class cannot know: the characters of texts."""
    described = {field.name: field for field in msgspec.structs.fields(config_class)}
    alphabet = described.get("alphabet")
    return {"alphabet": ALPHABET} if alphabet is not None and (alphabet.required or alphabet.default == "") else {}


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Seed torch for what is built inside, and leave the random state of the caller's tests as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def labels_for(generator: Generator, count: int | None = None) -> Tensor | None:
    """Return every class in turn, (count,) int64, for a conditional generator, and None for another."""
    import torch

    if generator.num_classes is None:
        return None
    return torch.arange(count or batch_size(generator)) % generator.num_classes


def batch_size(generator: Generator) -> int:
    """Return the size of a batch that contains every class."""
    return max(COUNT, generator.num_classes or 0)


def encode(generator: Encoder, x: Tensor, labels: Tensor | None) -> Any:
    """Call `encode`, which takes no labels if the encoder is not conditional."""
    return generator.encode(x) if labels is None else generator.encode(x, labels)  # type: ignore[call-arg]


def example_samples(generator: Generator, count: int) -> Tensor:
    """Return data to train on, (count, *sample_shape) in the model's range, the same every time.

    There are two sorts, in turn: pictures that are bright in their left or in their right half, tones of two
    frequencies, texts of two characters in this or the other order. Other samples are normal with mean 1, or whole
    numbers if the model makes such.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    shape = tuple(generator.sample_shape)
    if generator.kind == "image":
        return _pictures(generator, count, random)
    if generator.kind == "audio":
        time = torch.arange(shape[-1]) * (2 * torch.pi / shape[-1])
        pitch = torch.tensor([2.0, 5.0]).repeat(count)[:count, None]
        phase = 0.5 * torch.rand(count, 1, generator=random)
        return (0.5 * torch.sin(pitch * time + phase))[:, None].repeat(1, shape[0], 1)
    codes = _codes(generator)
    if codes is not None:
        samples = torch.full((count, *shape), codes[0])
        samples[::2, ..., ::2] = codes[1]
        samples[1::2, ..., 1::2] = codes[1]
        return samples
    return 1 + 0.5 * torch.randn(count, *shape, generator=random)


def _pictures(generator: Generator, count: int, random: Any) -> Tensor:
    import torch

    shape = tuple(generator.sample_shape)
    pictures = 0.1 + 0.1 * torch.rand(count, *shape, generator=random)
    half = shape[-1] // 2
    pictures[::2, ..., :half] += 0.7
    pictures[1::2, ..., half:] += 0.7
    return generator.from_unit(pictures)


def alphabet_of(generator: Generator) -> str | None:
    """Return the characters whose codes are 1, 2, …; None for a generator that decodes its codes itself."""
    alphabet = getattr(generator.config, "alphabet", None)
    return alphabet if isinstance(alphabet, str) and not hasattr(generator, "decode") else None


def _codes(generator: Generator) -> tuple[int, int] | None:
    """Two codes of what the generator makes, different if possible; None for one that makes no whole numbers."""
    alphabet = alphabet_of(generator) if generator.kind == "text" else None
    if alphabet:
        return 1, min(2, len(alphabet))
    made = output_of(generator, generator.latents(0, 0, COUNT), labels_for(generator, COUNT))
    if made.is_floating_point() or made.is_complex():
        return None
    return int(made.min()), int(made.max())


def output_of(
    generator: Generator, z: Tensor, labels: Tensor | None, options: SamplingOptions | None = None, *, start: int = 0
) -> Tensor:
    """Return what `forward` makes of latents (N, *latent_shape), without gradients; its own options by default.

    Args:
        start: index of the first sample, whose noise a stochastic generator is given.
    """
    import torch

    from zoo_core.streams import IndexedNoise

    extras = generator.extras(options or generator.options, IndexedNoise(0, start, z))
    with torch.no_grad():
        x: Tensor = generator(z, labels, **extras)
    return x


def own_docstring(documented: type) -> str:
    """Return the docstring that the class itself has: an inherited one describes another class."""
    return inspect.cleandoc(vars(documented).get("__doc__") or "")
