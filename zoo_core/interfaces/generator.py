"""Generator, which turns latents into samples, and Encoder, which goes back.

Shapes are written without the batch: a grey 28 x 28 picture is (1, 28, 28); N is the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from zoo_core.errors import InterfaceError
from zoo_core.interfaces.config import ModelConfig


class Generator(nn.Module, ABC):
    """Turns latents into samples. A subclass implements `forward` and states three attributes.

    Attributes:
        kind: "image" for (channels, height, width) samples, "tensor" for anything without a picture.
        num_classes: how many labels a conditional generator knows; None for an unconditional one.
        class_names: of the labels in their order, as the training data names them; empty where it does not. Training
            sets them, and they are saved with the model.
        config: the ModelConfig that it was built from.
        latent_shape: the shape of one latent, e.g. (100,).
        sample_shape: the shape of one sample, e.g. (1, 32, 32).

    The last three may be attributes or properties; one that is missing raises InterfaceError when it is used.
    """

    kind: ClassVar[Literal["image", "tensor"]] = "image"
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    config: ModelConfig
    latent_shape: tuple[int, ...]
    sample_shape: tuple[int, ...]

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        if config is not None:
            self.config = config

    def __getattr__(self, name: str) -> Any:
        if name in ("config", "latent_shape", "sample_shape"):
            where = type(self).__qualname__
            if hasattr(type(self), name):
                raise InterfaceError(f"{where}.{name} is a property that raised AttributeError")
            raise InterfaceError(f"{where} has no {name}: set self.{name} in __init__, or make it a property")
        return super().__getattr__(name)

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples (N, *sample_shape) in the model's own range for latents (N, *latent_shape).

        `labels` are class indices (N,), int64, for a conditional generator and None otherwise.
        """

    def latents(self, seed: int, start: int, count: int) -> Tensor:
        """Latents start … start + count - 1 of the stream `seed`: (count, *latent_shape), float32, on the CPU.

        Latent i must depend on (seed, i) alone. The default is standard normal.
        """
        from zoo_core.streams import latents

        return latents(seed, start, count, self.latent_shape)

    def to_unit(self, x: Tensor) -> Tensor:
        """From the model's range to [0, 1]. The default takes the range to be [-1, 1], that of tanh."""
        return (x + 1) / 2

    def from_unit(self, x: Tensor) -> Tensor:
        """From [0, 1] to the model's range: the inverse of `to_unit`, used on training data."""
        return x * 2 - 1

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        labels: Tensor | int | str | None = None,
        truncation: float | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Draw samples start … start + n - 1 of the stream `seed`.

        Args:
            n: how many, at least 1.
            seed: 0 to 2^64 - 1. One seed gives the same samples for every batch size.
            start: index of the first.
            labels: for a conditional generator: one class for all, as a number or by its name, or (n,) classes;
                drawn from the seed where they are not given.
            truncation: draw latents from a normal cut at ± truncation standard deviations
                (the truncation trick, arXiv 1809.11096); smaller is more typical and less varied.
            batch_size: how many to compute at a time; bounds the memory and changes no sample.

        Returns:
            (n, *sample_shape), float32, on the CPU; images in [0, 1].

        Raises:
            SamplingError: for arguments outside these bounds, or a model that returns another shape or NaN.
        """
        from zoo_core.sampling.batches import sample

        return sample(self, n, seed=seed, start=start, labels=labels, truncation=truncation, batch_size=batch_size)

    def save(self, folder: str | Path) -> Path:
        """Write config.json and model.safetensors into `folder`, whole or not at all; returns its path.

        Raises:
            PluginError: where no installed plugin registers this class.
            OutputError: where the folder cannot be written.
        """
        from zoo_core.modelfolder import save

        return save(self, folder)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Self:
        """Load a model folder, verified strictly; in eval mode and frozen.

        Raises:
            ModelFolderError: where the folder is not a whole and matching model.
            InterfaceError: where it holds a generator of another class.
        """
        from zoo_core.modelfolder import load

        generator = load(folder, device=device, dtype=dtype)
        if not isinstance(generator, cls):
            raise InterfaceError(f"{folder} holds a {type(generator).__qualname__}, not a {cls.__qualname__}")
        return generator


class Encoder(ABC):
    """A mixin for generators that also map samples to latents: `class VAE(Generator, Encoder)`.

    Attributes:
        binary: whether `log_likelihood` is of pixels that are black or white, 0 or 1 in [0, 1], and of no others.
    """

    binary: bool = False

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The mean and, where the encoder is stochastic, the log variance of q(z|x).

        `x` is (N, *sample_shape) in the model's range; both results are (N, *latent_shape). A conditional
        encoder takes `labels`, (N,) class indices, as a second argument.
        """

    def log_likelihood(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """log p(x|z) in nats, (N,), of samples (N, *sample_shape) in the model's range, for z (N, *latent_shape).

        The prior of z is the standard normal. A model that overrides it has its ELBO and importance-weighted bound
        measured by `zoo eval --metric elbo,iwae`.

        Raises:
            InterfaceError: where the model states no likelihood.
        """
        raise InterfaceError(f"{type(self).__qualname__} states no likelihood: it has no log_likelihood of its own")

    def reconstruct(self, x: Tensor, labels: Tensor | None = None, *, sample: bool = False) -> Tensor:
        """x through the latent and back: (N, *sample_shape) in the model's range.

        Uses the mean of q(z|x); `sample=True` draws z from it with torch's global generator. `labels` are
        those of x, for a conditional model.
        """
        given = () if labels is None else (labels,)
        mean, logvar = self.encode(x, *given)
        if sample and logvar is not None:
            mean = mean + torch.randn_like(mean) * (logvar / 2).exp()
        decoded: Tensor = self(mean, *given)  # type: ignore[operator]  # a mixin of Generator, whose call is forward
        return decoded
