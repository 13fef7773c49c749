"""Generator, which turns latents into samples, and Encoder, which maps samples back to latents.

Shapes of samples and latents are written without the batch: a grey 28 x 28 picture is (1, 28, 28). N is the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from zoo_core.errors import InterfaceError, SamplingError
from zoo_core.interfaces.config import ModelConfig
from zoo_core.interfaces.options import Choices, SamplingOptions, check_options_class, chosen
from zoo_core.interfaces.unit_range import check_public, check_ranges
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.runtime.torch_defaults import torch_defaults
from zoo_core.streams import IndexedNoise


class Noise(Protocol):
    """Draws the random numbers of an ancestral sampler; what a stochastic generator is given as `noise`.

    Example:
        >>> class Walk(Generator):
        ...     kind, stochastic = "tensor", True
        ...     latent_shape = sample_shape = (2,)
        ...
        ...     def forward(self, z, labels=None, *, noise: Noise):
        ...         return z + noise(0, (2,)) + noise(1, (2,))
        >>> torch.equal(Walk().sample(8)[5:], Walk().sample(3, start=5))
        True
    """

    def __call__(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Return (N, *shape), standard normal, on the device and in the dtype of the latents.

        Sample i gets numbers that depend on (seed, i, step) only, whatever its batch. Two calls with one step and one
        shape return the same.

        Args:
            step: 0 to 2^31 - 1: of the sampler, or any other number that tells the draws of a sample apart.
            shape: the shape of what one sample needs.
        """
        ...


class Generator(nn.Module, ABC):
    """Turns latents into samples. A subclass implements `forward` and sets `latent_shape` and `sample_shape`.

    Args:
        config: the configuration to build it from, kept as `self.config`; a subclass may set `self.config` itself.

    Attributes:
        kind: what samples are: "image" (channels, height, width), "audio" (channels, length), "text" (length,),
            "tensor" for anything else, or the name of a kind that a plugin brings.
        Options: the SamplingOptions that a user may choose when sampling. Where a class names Options of its own, its
            `forward` or `states` is given `options`.
        options: the model's own options, the defaults of `sample`; saved in config.json.
        stochastic: whether `forward` or `states` is also given `noise`, for samplers that draw more than the latent.
        num_classes: number of labels of a conditional generator; None for an unconditional one.
        class_names: names of the labels in their order, as the training data has them; empty if it has none. Training
            sets them, and they are saved with the model.
        log_prob_bound: whether `log_prob`, if the model has it, is "exact" or a "lower" bound.
        log_prob_discrete: whether it is the probability of discrete values, such as the 256 levels of a pixel or the
            codes of a text; otherwise it is a density. None, the default: discrete for text, a density for all else.
        config: the ModelConfig that it was built from.
        latent_shape: the shape of one latent, e.g. (100,).
        sample_shape: the shape of one sample, e.g. (1, 32, 32).

    The last three may be attributes or properties. Using one that is missing raises InterfaceError.

    Example:
        >>> class Ring(Generator):
        ...     kind = "tensor"
        ...     latent_shape = sample_shape = (2,)
        ...
        ...     def forward(self, z, labels=None):
        ...         return z / z.norm(dim=1, keepdim=True)
        >>> ring = Ring()
        >>> ring.sample(3, seed=1).shape
        torch.Size([3, 2])
    """

    kind: ClassVar[str] = "image"
    Options: ClassVar[type[SamplingOptions]] = SamplingOptions
    stochastic: ClassVar[bool] = False
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    log_prob_bound: Literal["exact", "lower"] = "exact"
    log_prob_discrete: bool | None = None
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

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        if "Options" in vars(cls):
            check_options_class(cls.__qualname__, cls.Options)
        if "states" in vars(cls) and "forward" not in vars(cls):
            cls.forward = Generator._last_state

    @property
    def options(self) -> SamplingOptions:
        """The model's own options, the defaults of `sample`; those of the class until others are set.

        Example:
            >>> ring.options
            SamplingOptions()
        """
        own: SamplingOptions | None = self.__dict__.get("_options")
        return self.Options() if own is None else own

    @options.setter
    def options(self, options: SamplingOptions) -> None:
        if not isinstance(options, self.Options):
            name, wanted = type(self).__qualname__, self.Options.__qualname__
            raise InterfaceError(f"{name}.options must be a {wanted}, not a {type(options).__qualname__}")
        self.__dict__["_options"] = options

    @classmethod
    def has_options(cls) -> bool:
        """Return whether the class names Options of its own, so that `forward` or `states` is given `options`.

        Example:
            >>> Ring.has_options()
            False
        """
        return cls.Options is not SamplingOptions

    def choose(self, options: Choices | None) -> SamplingOptions:
        """Return the options of one call: the model's own, with those in their place that are given.

        Args:
            options: as for `sample`.

        Raises:
            SamplingError: for an option that the model does not have, or a value out of its bounds.

        Example:
            >>> ring.choose({"steps": 10})
            Traceback (most recent call last):
            zoo_core.errors.SamplingError: options: Ring has no options, so that steps cannot be chosen
        """
        return chosen(type(self).__qualname__, self.options, options, has_options=self.has_options())

    def extras(self, options: SamplingOptions, noise: Noise) -> dict[str, Any]:
        """Return what `forward` and `states` of this class are given besides latents and labels, by name.

        Example:
            >>> ring.extras(ring.options, noise=lambda step, shape: torch.zeros(1, *shape))
            {}
        """
        given: dict[str, Any] = {"options": options} if self.has_options() else {}
        return given | ({"noise": noise} if type(self).stochastic else {})

    if TYPE_CHECKING:
        # A class decides what both take beside z and labels: `options`, `noise`, or neither.
        forward: Callable[..., Tensor]
        states: Callable[..., Iterator[Tensor]]
    else:

        @abstractmethod
        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            """Map latents to samples.

            A class with Options of its own takes `*, options` as well, and a stochastic one `*, noise`. A class that
            makes its samples in steps implements `states` instead, and gets this method from the core.

            Args:
                z: latents (N, *latent_shape).
                labels: class indices (N,), int64, for a conditional generator; None otherwise.

            Returns:
                Samples (N, *sample_shape), in the model's own range.

            Example:
                >>> ring(torch.tensor([[3.0, 4.0]]))
                tensor([[0.6000, 0.8000]])
            """

        def states(self, z: Tensor, labels: Tensor | None = None) -> Iterator[Tensor]:
            """Yield what becomes of the latents step by step: the last of it are the samples.

            Implementing it instead of `forward` gives a progress bar within a batch, and films of how samples come to
            be. It takes what `forward` takes.

            Yields:
                (N, *sample_shape) after each step, in the model's own range.

            Example:
                >>> class Growing(Generator):
                ...     kind = "tensor"
                ...     latent_shape = sample_shape = (2,)
                ...
                ...     def states(self, z, labels=None):
                ...         for step in range(3):
                ...             yield z * step
                >>> Growing()(torch.ones(1, 2))
                tensor([[2., 2.]])
            """
            raise InterfaceError(f"{type(self).__qualname__} makes its samples in one step: it has no states")

    @classmethod
    def makes_states(cls) -> bool:
        """Return whether the samples come in steps: `states` is what makes them, and `forward` its last state.

        A subclass that overrides `forward` makes them in another way, whatever states its base class has.

        Example:
            >>> Ring.makes_states()
            False
        """
        return cls.forward is Generator._last_state

    def _last_state(self, z: Tensor, labels: Tensor | None = None, **given: Any) -> Tensor:
        """The `forward` of a class that implements `states`: what the iterator yields last."""
        given = self.extras(self.options, IndexedNoise(0, 0, z)) | given
        return last_of(self.states(z, labels, **given), self)

    def latents(self, seed: int, start: int, count: int) -> Tensor:
        """Draw latents start … start + count - 1 of the stream `seed`, by default from the standard normal.

        Args:
            seed: 0 to 2^64 - 1.
            start: index of the first latent.
            count: number of latents.

        Returns:
            (count, *latent_shape), float32, on the CPU. Latent i depends on (seed, i) only; an override must keep that.

        Example:
            >>> torch.equal(ring.latents(0, 5, 1), ring.latents(0, 0, 8)[5:6])
            True
        """
        from zoo_core.streams import latents

        return latents(seed, start, count, self.latent_shape)

    def to_unit(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) from the model's range to [0, 1]; by default from [-1, 1], the range of tanh.

        Example:
            >>> ring.to_unit(torch.tensor([-1.0, 0.0, 1.0]))
            tensor([0.0000, 0.5000, 1.0000])
        """
        return (x + 1) / 2

    def from_unit(self, x: Tensor) -> Tensor:
        """Map samples (N, *sample_shape) from [0, 1] to the model's range, for training data and `reconstruct`.

        It is the inverse of `to_unit`: a model that overrides one overrides the other too. Where pictures go through
        both, `unit_range.check_ranges` compares them and raises InterfaceError if they do not match.

        Example:
            >>> ring.from_unit(torch.tensor([0.0, 0.5, 1.0]))
            tensor([-1.,  0.,  1.])
        """
        return x * 2 - 1

    def log_prob(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log p(x) in nats, or a lower bound on it. `zoo eval --metric nll` measures models that override it.

        `log_prob_bound` says whether it is exact. `log_prob_discrete` says what it is: the probability of discrete
        values, such as the 256 levels of each pixel as `from_unit` maps them, or the codes of a text up to and with the
        end (code 0), whatever follows; or a density over the model's own range, the one of `forward`. For a density,
        `zoo eval` dequantises pictures and takes the slope of `from_unit` into account, which must map each value by
        itself.

        Args:
            x: samples (N, *sample_shape) in the model's own range, on its device; int64 for text.
            labels: class indices (N,) for a conditional model, which returns log p(x|label).

        Returns:
            (N,), in nats.

        Raises:
            InterfaceError: if the model states no likelihood.

        Example:
            >>> ring.log_prob(torch.ones(1, 2))
            Traceback (most recent call last):
            zoo_core.errors.InterfaceError: Ring states no likelihood: it has no log_prob of its own
        """
        raise InterfaceError(f"{type(self).__qualname__} states no likelihood: it has no log_prob of its own")

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        labels: Tensor | int | str | Sequence[int | str] | None = None,
        truncation: float | None = None,
        options: Choices | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Draw samples start … start + n - 1 of the stream `seed`.

        Args:
            n: number of samples, at least 1.
            seed: 0 to 2^64 - 1. One seed gives the same samples for every batch size.
            start: index of the first sample.
            labels: classes for a conditional generator: one for all samples, by number or by name; several in a list,
                of which each sample gets one if there are n, and sample i the one at i modulo their number otherwise;
                or a tensor (n,). By default they are drawn from the seed.
            truncation: draw latents from a normal that is cut off at ± truncation standard deviations (the truncation
                trick, arXiv 1809.11096). Smaller values give more typical and less varied samples.
            options: choices for a model whose class has Options: a dictionary of those that differ from
                `self.options`, or all of them.
            batch_size: number of samples to compute at a time; limits memory and changes no sample.

        Returns:
            (n, *sample_shape), on the CPU: float32, images in [0, 1]; text int64; of kind "tensor" in the dtype of the
            model's output, half precision as float32.

        Raises:
            SamplingError: if an argument is outside these bounds, or the model returns another shape or NaN.

        Example:
            >>> in_two_parts = torch.cat([ring.sample(2, seed=7), ring.sample(2, seed=7, start=2)])
            >>> torch.equal(in_two_parts, ring.sample(4, seed=7))
            True
        """
        from zoo_core.sampling.batches import sample

        if device_and_dtype(self)[0].type == "meta":
            raise SamplingError(f"{type(self).__qualname__} was built on the meta device and has no weights to sample")
        with torch_defaults():
            return sample(
                self,
                n,
                seed=seed,
                start=start,
                labels=labels,
                truncation=truncation,
                options=options,
                batch_size=batch_size,
            )

    def save(self, folder: str | Path) -> Path:
        """Write config.json and model.safetensors into a folder; both appear complete, or not at all.

        Args:
            folder: created if it does not exist; its other files are kept.

        Returns:
            The path of the folder.

        Raises:
            PluginError: if no installed plugin registers this class.
            InterfaceError: if the weights do not match the configuration.
            OutputError: if the folder cannot be written.

        Example:
            >>> import tempfile
            >>> import zoo_core as zoo
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     saved = zoo.load("vae-mlp-mnist", device="cpu").save(folder)
            ...     sorted(path.name for path in saved.iterdir())
            ['config.json', 'model.safetensors']
        """
        from zoo_core.modelfolder import save

        return save(self, folder)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Self:
        """Load a model folder whose generator is of this class. Its configuration and weights are checked strictly.

        Args:
            folder: a model folder, as `save` and `zoo train` write it.
            device: cpu, cuda, cuda:N or mps.
            dtype: dtype of the floating-point weights; by default the stored one.

        Returns:
            The generator, in eval mode and without gradients.

        Raises:
            ModelFolderError: if the folder is not a complete and consistent model.
            InterfaceError: if it holds a generator of another class.

        Example:
            >>> import zoo_core as zoo
            >>> Generator.load(zoo.pull("vae-mlp-mnist")).sample_shape
            (1, 28, 28)
        """
        from zoo_core.modelfolder import load

        generator = load(folder, device=device, dtype=dtype)
        if not isinstance(generator, cls):
            raise InterfaceError(f"{folder} holds a {type(generator).__qualname__}, not a {cls.__qualname__}")
        return generator


def last_of(
    states: Iterator[Tensor], generator: Generator, seen: Callable[[Tensor], object] = lambda state: None
) -> Tensor:
    """Return what a generator's `states` yields last, and call `seen` with each. Raises InterfaceError for none.

    Example:
        >>> import zoo_core as zoo
        >>> last_of(iter([torch.zeros(1), torch.ones(1)]), zoo.load("vanilla-gan-mnist"))
        tensor([1.])
    """
    last = None
    for last in states:
        seen(last)
    if last is None:
        raise InterfaceError(f"{type(generator).__qualname__}.states yielded nothing")
    return last


class Encoder(ABC):
    """A mixin for generators that also map samples to latents: `class VAE(Generator, Encoder)`.

    `encode` and `log_likelihood` take samples in the model's own range, as `forward` returns them; `reconstruct` takes
    and returns what `Generator.sample` returns. `from_unit` and `to_unit` lead from one to the other.

    Attributes:
        binary: whether `log_likelihood` holds only for binary pixels, 0 or 1 in the range [0, 1].

    Example:
        >>> class Halving(Generator, Encoder):
        ...     kind = "tensor"
        ...     latent_shape = sample_shape = (2,)
        ...
        ...     def forward(self, z, labels=None):
        ...         return 2 * z
        ...
        ...     def encode(self, x):
        ...         return x / 2, None
        >>> halving = Halving()
        >>> halving.reconstruct(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    binary: bool = False

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the mean and the log variance of q(z|x). A conditional encoder takes class indices (N,) as well.

        Args:
            x: samples (N, *sample_shape) in the model's own range; for pictures in [0, 1], `from_unit` leads there.

        Returns:
            The mean (N, *latent_shape), and the log variance (N, *latent_shape), or None if the encoder is not
            stochastic.

        Example:
            >>> mean, logvar = halving.encode(torch.ones(1, 2))
            >>> mean, logvar
            (tensor([[0.5000, 0.5000]]), None)
        """

    def log_likelihood(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log p(x|z) in nats. `zoo eval --metric elbo,iwae` measures models that override it.

        Args:
            x: samples (N, *sample_shape) in the model's own range.
            z: latents (N, *latent_shape), whose prior is the standard normal.
            labels: class indices (N,) for a conditional model.

        Returns:
            (N,), in nats.

        Raises:
            InterfaceError: if the model defines no likelihood.

        Example:
            >>> halving.log_likelihood(torch.ones(1, 2), torch.ones(1, 2))
            Traceback (most recent call last):
            zoo_core.errors.InterfaceError: Halving states no likelihood: it has no log_likelihood of its own
        """
        raise InterfaceError(f"{type(self).__qualname__} states no likelihood: it has no log_likelihood of its own")

    def reconstruct(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        sample: bool = False,
        options: Choices | None = None,
        seed: int = 0,
        start: int = 0,
    ) -> Tensor:
        """Encode samples and decode them again. Both are in the range of `Generator.sample`: images in [0, 1].

        Args:
            x: samples (N, *sample_shape); images in [0, 1]. They may be on any device and of any floating dtype.
            labels: their class indices (N,), for a conditional model.
            sample: draw z from q(z|x) with torch's global generator; by default z is the mean.
            options: choices for decoding, as for `Generator.sample`.
            seed: seed of the noise of a stochastic generator.
            start: index of the noise of the first sample.

        Returns:
            (N, *sample_shape), on the device and in the dtype of `x`; images in [0, 1].

        Raises:
            SamplingError: for samples of another shape or dtype, pictures outside [0, 1], or options that it has not.
            InterfaceError: for a model whose `to_unit` and `from_unit` do not match.

        Example:
            >>> halving.reconstruct(torch.zeros(3, 2)).shape
            torch.Size([3, 2])
        """
        assert isinstance(self, Generator)
        device, dtype = device_and_dtype(self)
        chosen_options = self.choose(options)
        with torch_defaults():
            check_public(self, x)
            own = x.to(device)
            if self.kind == "image":
                check_ranges(self, device)
                own = self.from_unit(own)
            given = () if labels is None else (labels.to(device),)
            mean, logvar = self.encode(own.to(dtype), *given)
            if sample and logvar is not None:
                mean = mean + torch.randn_like(mean) * (logvar / 2).exp()
            extras = self.extras(chosen_options, IndexedNoise(seed, start, mean))
            decoded: Tensor = self(mean, *given, **extras).to(x.dtype)
            if self.kind == "image":
                decoded = self.to_unit(decoded).clamp(0, 1)
            return decoded.to(x)
