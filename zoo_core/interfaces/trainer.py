"""Trainer, one training run, and Batch, the input of one training step."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from zoo_core.errors import InterfaceError
from zoo_core.files.paths import user_path
from zoo_core.interfaces import settings as run_settings
from zoo_core.interfaces.config import ModelConfig
from zoo_core.interfaces.config_values import following, following_sides, takes
from zoo_core.interfaces.options import SamplingOptions
from zoo_core.interfaces.parent import Parent
from zoo_core.interfaces.stage import Stage
from zoo_core.runtime.devices import type_of
from zoo_core.runtime.precision import autocast
from zoo_core.runtime.processes import ALONE

if TYPE_CHECKING:
    import numpy as np

    from zoo_core.data.training_data import TrainingData

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Batch:
    """One batch of training data. Its length is N.

    Attributes:
        samples: (N, *sample_shape) on the trainer's device: pictures as float32 in the model's range, sounds as float32
            in [-1, 1], texts as int64 codes; samples of any other kind in the dtype of the data.
        labels: class indices (N,), int64; None if the data has no labels.

    Example:
        >>> batch = Batch(torch.zeros(4, 1, 8, 8), labels=torch.tensor([0, 1, 2, 3]))
        >>> len(batch)
        4
    """

    samples: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @classmethod
    def join(cls, parts: list[Batch]) -> Batch:
        """Concatenate batches into one.

        Example:
            >>> len(Batch.join([batch, batch]))
            8
        """
        if len(parts) == 1:
            return parts[0]
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(torch.cat([part.samples for part in parts]), torch.cat(labels) if labels else None)

    def split(self, parts: int) -> list[Batch]:
        """Split the batch into equal parts, in order.

        Args:
            parts: number of parts, which divides N.

        Example:
            >>> [part.labels.tolist() for part in batch.split(2)]
            [[0, 1], [2, 3]]
        """
        if parts == 1:
            return [self]
        samples = self.samples.chunk(parts)
        labels = self.labels.chunk(parts) if self.labels is not None else [None] * parts
        return [Batch(*part) for part in zip(samples, labels, strict=True)]


class Trainer(ABC):
    """One training run. A plugin writes `build` and `training_step`; the core does everything around them.

    Args:
        config: configuration of the model.
        settings: settings of the run, an instance of `Settings`.
        sample_shape: shape of one sample of the data.

    Attributes:
        Settings: the settings class; a plugin may set a subclass with fields of its own.
        config: as given.
        settings: as given.
        sample_shape: as given.
        options: the sampling options that the finished model has as its own; None for those of its class.
        modules: networks by name; "generator" is the one that is averaged, sampled and saved.
        optimizers: optimizers by the name that `update` is called with; each trains the module of its name.
        device: the device of all tensors; set before `build`.
        processes: this process among those of the run.
        compiled_calls: names of the compiled functions that have been called.
        step: number of finished steps.
        stage: name of the stage that the run is in, of those that `stages` returns; empty in a run without stages.
        stage_begin: number of steps that were finished when the stage began.
        paces: the pace of each optimizer that `adam` has made.

    Example:
        A trainer of one linear layer that shrinks its samples:

        >>> class Shrinking(Trainer):
        ...     def build(self):
        ...         self.modules["generator"] = nn.Linear(2, 2)
        ...         self.optimizers["generator"] = self.adam(self.modules["generator"])
        ...
        ...     def training_step(self, batch):
        ...         loss = self.modules["generator"](batch.samples).square().mean()
        ...         self.update("generator", loss)
        ...         return {"loss": loss.detach()}
        >>> trainer = Shrinking(ModelConfig(), Trainer.Settings(learning_rate=0.01), (2,))
        >>> _ = torch.manual_seed(0)
        >>> trainer.build()
        >>> figures = [trainer.training_step(Batch(torch.ones(8, 2)))["loss"].item() for _ in range(50)]
        >>> figures[-1] < figures[0]
        True
    """

    Settings: ClassVar[type[run_settings.Settings]] = run_settings.Settings

    def __init__(self, config: ModelConfig, settings: run_settings.Settings, sample_shape: tuple[int, ...]) -> None:
        self.config = config
        self.settings = settings
        self.sample_shape = tuple(sample_shape)
        self.options: SamplingOptions | None = None
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.device = torch.device("cpu")
        self.processes = ALONE
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self._stepped: set[str] = set()  # optimizers, since the scaler's last update
        self.compiled_calls: set[str] = set()
        self.step = 0
        self.stage = ""
        self.stage_begin = 0
        self.paces: dict[torch.optim.Optimizer, float] = {}
        self._stage_settings: run_settings.Settings | None = None

    @property
    def stage_settings(self) -> run_settings.Settings:
        """The settings that every trainer has as they are in the present stage; `steps` are its own.

        Example:
            >>> trainer.stage_settings is trainer.settings  # a run without stages
            True
        """
        return self.settings if self._stage_settings is None else self._stage_settings

    @stage_settings.setter
    def stage_settings(self, settings: run_settings.Settings) -> None:
        self._stage_settings = settings

    @property
    def batches_per_step(self) -> int:
        """The number of batches of the data that one step takes; `training_step` gets them joined as one batch.

        Example:
            >>> trainer.batches_per_step
            1
        """
        return 1

    @classmethod
    def config_for(
        cls,
        config_class: type[ModelConfig],
        values: dict[str, Any],
        data_shape: tuple[int, ...],
        num_classes: int | None = None,
    ) -> dict[str, Any]:
        """Complete the values of a configuration by what the data implies.

        The default fills the fields `channels`, `size` and `num_classes`, if the class has them, and `height` and
        `width`, if it has both. Of the sizes with which the configuration is valid, as its types and its
        `__post_init__` say, it takes the smallest that is not below that of the data, else the largest. Override it if
        other fields follow the data.

        Args:
            config_class: the configuration class of the architecture.
            values: the values that the user set, that come from the model that the run starts from, or that the data
                states itself, such as a sample rate; they take precedence.
            data_shape: shape of one sample of the data; for pictures (channels, height, width), and they are square
                unless the class has the fields `height` and `width`.
            num_classes: number of labels of the data; None if it has no labels.

        Returns:
            The values of the configuration by field.

        Example:
            >>> class PictureConfig(ModelConfig, frozen=True):
            ...     channels: int = 3
            ...     size: int = 64
            >>> Trainer.config_for(PictureConfig, {"size": 32}, (1, 28, 28))
            {'channels': 1, 'size': 32}
        """
        wanted = {}
        # An unconditional model need not be able to count the classes of its data.
        if num_classes is not None and (values.get("conditional") or takes(config_class, "num_classes", num_classes)):
            wanted["num_classes"] = num_classes
        if len(data_shape) == 3:
            channels, height, width = data_shape
            wanted |= {"channels": channels, "size": min(height, width)}
        from_data: dict[str, Any] = {}
        for field, value in wanted.items():
            if field in config_class.__struct_fields__ and field not in values:
                from_data[field] = following(config_class, from_data | values, field, value)
        # A width without a height is that of a network.
        if len(data_shape) == 3 and {"height", "width"}.issubset(config_class.__struct_fields__):
            from_data |= following_sides(config_class, from_data | values, height, width)
        return from_data | values

    @classmethod
    def read_data(
        cls, source: str | Path, config_class: type[ModelConfig], values: dict[str, Any]
    ) -> TrainingData | None:
        """Read the data that `zoo train --data` names, for a model whose data its kind of samples does not read.

        Args:
            source: a path or a name, as the user gave it.
            config_class: the configuration class of the architecture.
            values: the values of the configuration that the user set, or that come from the model that the run starts
                from; the others follow from the data, by `config_for`.

        Returns:
            The data, or None, the default, to have it read by the kind.

        Example:
            >>> import numpy as np
            >>> from zoo_core.data.training_data import TrainingData
            >>> class PointsTrainer(Shrinking):
            ...     @classmethod
            ...     def read_data(cls, source, config_class, values):
            ...         return TrainingData.from_tensors(torch.from_numpy(np.load(source)), name="points")
        """
        return None

    @abstractmethod
    def build(self) -> None:
        """Fill `self.modules` and `self.optimizers`. Called once, after the seed is set; modules are on `self.device`.

        Example:
            >>> list(trainer.modules), list(trainer.optimizers)
            (['generator'], ['generator'])
        """

    @abstractmethod
    def training_step(self, batch: Batch) -> Mapping[str, Tensor | float]:
        """Take one step on one batch: compute the losses and call `self.update` for each.

        Args:
            batch: the samples and labels of this process.

        Returns:
            The figures to log by name, each a tensor with one value, or a number. A tensor costs no time on a GPU;
            a number that was read from one, as by `item`, makes it wait. "step" and "images_per_second" are names of
            the log's own.

        Example:
            >>> list(trainer.training_step(Batch(torch.ones(8, 2))))
            ['loss']
        """

    def prepare_data(self, data: TrainingData) -> TrainingData:
        """Return the data to train on, once per run; by default what was read, unchanged.

        Example:
            >>> from zoo_core import TrainingData
            >>> data = TrainingData.from_tensors(torch.zeros(4, 2))
            >>> trainer.prepare_data(data) is data
            True
        """
        return data

    def started_from(self, parent: Parent) -> None:  # noqa: B027  # most trainers need nothing
        """Prepare what follows from the weights of another model, once the networks of this trainer have taken them.

        Called after `build` where a run starts from a model. The default does nothing. A trainer with modules that are
        derived from "generator" or "discriminator", such as a target network, brings them up to date here.

        Args:
            parent: the model that the weights are from.

        Example:
            >>> trainer.started_from(Parent(name="mine", sha256="ab" * 32))
        """

    def stages(self) -> Sequence[Stage]:
        """Return the stages of the run, in order, if it has several: each with its own steps, settings and data.

        The generator starts every stage after the first with its averaged weights, which are those that are saved: what
        a stage has trained and later ones freeze stays exactly so. `training_step` finds the name of the stage in
        `self.stage`.

        Returns:
            The stages, whose steps are those of the setting `steps` together; none, the default, for one stage.

        Example:
            >>> class InTwoStages(Shrinking):
            ...     def stages(self):
            ...         return [
            ...             Stage("weight", steps=self.settings.steps // 2),
            ...             Stage("bias", schedule="cosine"),
            ...         ]
        """
        return ()

    def begin_stage(self, stage: Stage) -> None:  # noqa: B027 (what most trainers need nothing of)
        """Make ready for a stage, as by other optimizers; called when it begins, and before a run resumes within it.

        Every stage is begun, in order, also in a resumed run. Modules are made in `build`.

        Example:
            >>> class WithAnOptimizerEach(Shrinking):
            ...     def begin_stage(self, stage):
            ...         self.optimizers = {stage.name: self.adam(self.modules["generator"])}
        """

    def prepare_stage_data(self, data: TrainingData) -> TrainingData:
        """Return the data of the stage `self.stage`, by default those of the run; `map_samples` makes others of them.

        Called when a stage begins, and again when a run resumes within it: networks are in eval mode, no gradients are
        computed, and random numbers are the same both times. If it depends only on what the stage does not train, the
        resumed run has the same data.

        Args:
            data: what `prepare_data` has returned.

        Returns:
            The data, whose samples may have any shape. Pictures are mirrored by `horizontal_flip` only while they have
            that of the run's.

        Example:
            >>> class OnItsOutput(Shrinking):
            ...     def prepare_stage_data(self, data):
            ...         return self.map_samples(data, self.modules["generator"]) if self.stage == "bias" else data
        """
        return data

    def map_samples(
        self, data: TrainingData, function: Callable[[Tensor], Tensor], *, batch_size: int = 256
    ) -> TrainingData:
        """Return data whose samples are those of `data` after a function, which gets them in batches, in their order.

        Args:
            data: data of any size; only what the function returns must fit into memory.
            function: maps samples (n, *sample_shape), on the device and in the model's range, to a tensor (n, …).
            batch_size: the largest n.

        Returns:
            The mapped samples on the CPU, in the dtype of the function, with the labels and names of `data`.

        Raises:
            InterfaceError: if the function returns anything but one row for each sample.

        Example:
            >>> from zoo_core import TrainingData
            >>> points = TrainingData.from_tensors(torch.ones(4, 2), torch.arange(4))
            >>> codes = trainer.map_samples(points, lambda x: x.sum(1).long())
            >>> codes.samples.tolist(), codes.labels.tolist()
            ([2, 2, 2, 2], [0, 1, 2, 3])
        """
        mapped = []
        with torch.no_grad():
            for start in range(0, len(data), batch_size):
                chosen = list(range(start, min(start + batch_size, len(data))))
                samples = data.take(chosen).to(self.device)
                rows = function(self._in_range(samples))
                if not isinstance(rows, Tensor) or rows.ndim == 0 or len(rows) != len(samples):
                    what = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__qualname__
                    raise InterfaceError(
                        f"{type(self).__qualname__}.map_samples: the function returned {what} for {len(samples)} "
                        "samples; it must return a tensor with one row for each"
                    )
                mapped.append(rows.cpu())
        return type(data).from_tensors(
            torch.cat(mapped),
            data.labels,
            name=data.name,
            notes=data.notes,
            class_names=data.class_names,
            values=data.values,
        )

    def _in_range(self, samples: Tensor) -> Tensor:
        """Samples (n, *sample_shape) as `training_step` gets them: pixels in the range of the generator."""
        generator = self.modules["generator"]
        if samples.dtype != torch.uint8 or getattr(generator, "kind", "") != "image":
            return samples
        # A tensor, because a GPU divides by a Python number inexactly: it multiplies by the inverse.
        unit = samples.float() / torch.full((), 255.0, device=samples.device)
        in_range: Tensor = generator.from_unit(unit)  # type: ignore[operator]
        return in_range

    def advice(self, figures: dict[str, float]) -> str | None:
        """Return one line of advice to the user about the figures of the log, or None.

        Args:
            figures: means since the last call, by name.

        Example:
            >>> trainer.advice({"loss": 0.1}) is None
            True
        """
        return None

    def compile(self) -> None:
        """Compile what `training_step` calls, before the first step; called only if the setting `compile` is on.

        The default compiles the call of every network. A `training_step` that calls other methods of its networks
        would gain nothing from that: override this method, and pass what is called through `compiled`.

        Example:
            >>> class Compiled(Shrinking):
            ...     def build(self):
            ...         super().build()
            ...         self.loss = lambda x: self.modules["generator"](x).square().mean()
            ...
            ...     def compile(self):
            ...         self.loss = self.compiled("generator's loss", self.loss)
            >>> compiled = Compiled(ModelConfig(), Trainer.Settings(), (2,))
            >>> compiled.build()
            >>> compiled.compile()
        """
        for name, module in self.modules.items():
            # As nn.Module.compile does, which replaces the call and leaves `forward` as it is.
            module._compiled_call_impl = self.compiled(name, module._call_impl)

    def compiled(self, name: str, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return a function as torch.compile compiles it at its first call, in the mode that suits the device.

        Args:
            name: name of the function; run.json lists those that the first step called.
            function: a function or method that `training_step` calls, always with tensors of the same shapes.

        Returns:
            A function that is called in the same way.

        Example:
            >>> norm = trainer.compiled("norm", torch.linalg.vector_norm)
            >>> callable(norm), trainer.compiled_calls  # it has not been called yet
            (True, set())
        """
        fast = torch.compile(function, mode=type_of(self.device).compile_mode, dynamic=False)
        if fast is function:  # torch's compiler is switched off, as by TORCHDYNAMO_DISABLE=1
            return function

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            self.compiled_calls.add(name)
            return fast(*args, **kwargs)

        return call

    def adam(self, module: nn.Module, *, pace: float = 1.0) -> torch.optim.Adam:
        """Create Adam (arXiv 1412.6980) with the learning rate and the betas of the settings, fused if the device can.

        Args:
            module: the module whose parameters it trains.
            pace: below 1 for a module that is updated more often than once per step: the rate is multiplied by it,
                and each beta is raised to its power.

        Example:
            >>> trainer.adam(nn.Linear(2, 2), pace=0.5).defaults["lr"]
            0.005
        """
        first, second = self.stage_settings.betas
        optimizer = torch.optim.Adam(
            module.parameters(),
            lr=self.stage_settings.learning_rate * pace,
            betas=(first**pace, second**pace),
            fused=type_of(self.device).fused_optimizers or None,
        )
        self.paces[optimizer] = pace
        return optimizer

    def draw(self, sampler: Callable[..., Tensor], count: int, *shape: int) -> Tensor:
        """Draw the random numbers of this process.

        Every process draws the numbers of all processes and keeps its own, so that many processes train as one does.

        Args:
            sampler: torch.randn, torch.rand, or another function of a shape and a device.
            count: number of samples of this process.
            shape: shape of one sample.

        Returns:
            (count, *shape), on the trainer's device.

        Example:
            >>> trainer.draw(torch.randn, 8, 2).shape
            torch.Size([8, 2])
        """
        if self.processes.count == 1:
            return sampler(count, *shape, device=self.device)
        everybody = sampler(self.processes.count * count, *shape, device=self.device)
        return everybody[self.processes.rank * count :][:count]

    def update(self, name: str, loss: Tensor) -> None:
        """Compute gradients of a loss and take one step of an optimizer.

        Args:
            name: name of the optimizer.
            loss: a scalar.

        Example:
            >>> before = trainer.modules["generator"].weight.clone()
            >>> trainer.update("generator", trainer.modules["generator"](torch.ones(1, 2)).sum())
            >>> torch.equal(trainer.modules["generator"].weight, before)
            False
        """
        self.backward(name, loss)
        self.apply_gradients(name)

    def backward(self, name: str, output: Tensor, gradient: Tensor | None = None) -> None:
        """Compute the gradients of `output` for the parameters of an optimizer, replacing earlier ones.

        Args:
            name: name of the optimizer.
            output: a scalar loss; or a tensor of any shape, if its gradient is given.
            gradient: gradient of the loss in `output`, already scaled by `self.scaler`.

        Example:
            >>> trainer.backward("generator", trainer.modules["generator"](torch.ones(1, 2)).sum())
            >>> trainer.modules["generator"].bias.grad
            tensor([1., 1.])
        """
        if name in self._stepped:  # a scaler allows one step per optimizer between two of its updates
            self.update_scale()
        self._refuse_frozen(name)
        for group in self.optimizers[name].param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        with autocast(self.device, "fp32"):
            if gradient is None:
                torch.autograd.backward(self.scaler.scale(output))
            else:
                torch.autograd.backward(output, gradient)

    def _refuse_frozen(self, name: str) -> None:
        """Raise InterfaceError for an optimizer of which the present stage trains nothing."""
        if not self.stage:
            return
        parameters = (parameter for group in self.optimizers[name].param_groups for parameter in group["params"])
        if not any(parameter.requires_grad for parameter in parameters):
            raise InterfaceError(
                f"{type(self).__qualname__}.training_step updates {name!r}, of which the stage {self.stage!r} trains "
                "nothing; name its modules in `trains`, or branch on self.stage"
            )

    def apply_gradients(self, name: str) -> None:
        """Take one step of an optimizer: gradients are averaged over the processes and clipped, the rate is scheduled.

        Args:
            name: name of the optimizer.

        Example:
            >>> trainer.apply_gradients("generator")
            >>> trainer.optimizers["generator"].param_groups[0]["lr"]
            0.01
        """
        optimizer = self.optimizers[name]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.processes.average([parameter.grad for parameter in parameters if parameter.grad is not None])
        settings = self.stage_settings
        if settings.gradient_clip:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, settings.gradient_clip)
        factor = settings.learning_rate_factor(self.step - self.stage_begin)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        self.scaler.step(optimizer)
        self._stepped.add(name)
        # Autocast caches low-precision copies of the weights; after a step they are stale.
        torch.clear_autocast_cache()

    def update_scale(self) -> None:
        """Adjust the factor that fp16 losses are scaled by, according to the steps since the last call.

        Example:
            >>> trainer.update_scale()
        """
        if self.scaler.is_enabled() and self._stepped:
            self.scaler.update()
        self._stepped.clear()

    def fit(
        self,
        data: TrainingData | Tensor | np.ndarray | Iterable[Any] | str | Path,
        *,
        out: str | Path,
        resume: bool = False,
        change: Collection[str] = (),
        start_from: str | Path | Parent | None = None,
        matching: bool = False,
    ) -> Path:
        """Train to the end and write the finished model into `out`.

        Args:
            data: a tensor or an array of samples (N, *sample_shape); a tuple of samples and labels; a list, a torch
                Dataset, a DataLoader or another iterable of samples, or of pairs (sample, label); TrainingData; or a
                source as in `zoo train --data`. Pictures are uint8, or floating values in the model's own range, and
                may have their channels last. A model that makes no pictures gets its samples as they are, but floating
                ones as float32.
            out: folder of the run: checkpoints, log, sample grids and, at the end, the model.
            resume: continue from the newest checkpoint in `out`; start if there is none.
            change: names of settings that may differ from those that the resumed run was begun with, among
                `Settings.changeable`; run.json records each change with its step.
            start_from: a model to start from, by name, folder or address: its weights replace the initial ones, and so
                do those of its discriminator where it has one. A run that is resumed needs it no more.
            matching: take only the tensors of `start_from` that fit by name and shape; the others start anew.

        Returns:
            The path of the finished model folder.

        Raises:
            DataError: if the data cannot be read or does not fit the model.
            TrainingError: if settings contradict each other or the resumed run, a loss or a weight is not finite,
                `start_from` does not fit, or another run is at work in `out`.
            MetricError: if what `eval_metrics` names cannot be measured.
            DeviceError: if this machine does not have the device.
            OutputError: if `out` cannot be written, or holds another run.

        Example:
            >>> import tempfile
            >>> from zoo_vae.model import VAEConfig
            >>> from zoo_vae.trainer import VAETrainer
            >>> settings = VAETrainer.Settings(steps=1, batch_size=2, device="cpu", sample_every=0)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     run = VAETrainer(VAEConfig(size=8), settings, (1, 8, 8)).fit(torch.rand(4, 1, 8, 8), out=folder)
            ...     (run / "model.safetensors").is_file()
            True
        """
        from zoo_core.training.loop import fit

        return fit(
            self,
            data,
            out=user_path(out),
            resume=resume,
            change=change,
            start_from=start_from,
            matching=matching,
        )
