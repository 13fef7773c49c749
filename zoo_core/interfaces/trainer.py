"""Trainer, one training run, and Batch, what its steps are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo_core.interfaces import settings as run_settings
from zoo_core.interfaces.config import ModelConfig
from zoo_core.runtime.precision import autocast
from zoo_core.runtime.processes import ALONE

if TYPE_CHECKING:
    from zoo_core.data.training_data import TrainingData


@dataclass(frozen=True)
class Batch:
    """One batch of training data.

    Attributes:
        samples: (N, *sample_shape) in the model's range, on the trainer's device.
        labels: (N,) class indices, int64, or None where the data has none.
    """

    samples: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @classmethod
    def join(cls, parts: list[Batch]) -> Batch:
        """The parts behind each other, as one batch."""
        if len(parts) == 1:
            return parts[0]
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(torch.cat([part.samples for part in parts]), torch.cat(labels) if labels else None)

    def split(self, parts: int) -> list[Batch]:
        """The batch in that many equal parts, in order."""
        if parts == 1:
            return [self]
        samples = self.samples.chunk(parts)
        labels = self.labels.chunk(parts) if self.labels is not None else [None] * parts
        return [Batch(*part) for part in zip(samples, labels, strict=True)]


class Trainer(ABC):
    """One training run. A plugin writes `build` and `training_step`; the core owns everything around them.

    Attributes:
        Settings: the settings class; a plugin may name a subclass with fields of its own.
        config: of the model.
        settings: of the run.
        sample_shape: of the data.
        modules: networks by name; "generator" is the one that is averaged, sampled and saved.
        optimizers: by name, as `update` is called with; each trains the module of its name.
        device: where the tensors are; set before `build`.
        processes: this process among those of the run.
        step: how many steps are done.
    """

    Settings: ClassVar[type[run_settings.Settings]] = run_settings.Settings

    def __init__(self, config: ModelConfig, settings: run_settings.Settings, sample_shape: tuple[int, ...]) -> None:
        self.config = config
        self.settings = settings
        self.sample_shape = tuple(sample_shape)
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.device = torch.device("cpu")
        self.processes = ALONE
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self._stepped: set[str] = set()  # optimizers, since the scaler's last update
        self.step = 0

    @property
    def batches_per_step(self) -> int:
        """How many batches of the data one step takes; `training_step` gets them as one."""
        return 1

    @classmethod
    def config_for(
        cls,
        config_class: type[ModelConfig],
        values: dict[str, Any],
        data_shape: tuple[int, ...],
        num_classes: int | None = None,
    ) -> dict[str, Any]:
        """The configuration values for data of `data_shape` and `num_classes` labels, given those that the user set.

        The default fills the fields `size` and `channels`, where the class has them, from
        (channels, size, size) data, and `num_classes`. Override it where not every size can be built.
        """
        fields = config_class.__struct_fields__
        from_data: dict[str, Any] = {}
        if "num_classes" in fields and num_classes is not None:
            from_data["num_classes"] = num_classes
        if len(data_shape) == 3:
            if "channels" in fields:
                from_data["channels"] = data_shape[0]
            if "size" in fields:
                from_data["size"] = data_shape[1]
        return from_data | values

    @abstractmethod
    def build(self) -> None:
        """Fill `self.modules` and `self.optimizers`. Called once, after the seed is set, on `self.device`."""

    @abstractmethod
    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step on one batch: compute losses, call `self.update` for each, return figures to log (scalars)."""

    def prepare_data(self, data: TrainingData) -> TrainingData:
        """What is trained on, made once from what was read: the same, unless a plugin overrides it."""
        return data

    def advice(self, figures: dict[str, float]) -> str | None:
        """What to tell the user about these figures (means since the last time): one line, or None."""
        return None

    def adam(self, module: nn.Module, *, pace: float = 1.0) -> torch.optim.Adam:
        """Adam (arXiv 1412.6980) with the settings' rate and betas, fused where the device has it.

        `pace` below 1 is for a module that is updated more often than once a step: the rate is multiplied by it,
        and each beta raised to it.
        """
        first, second = self.settings.betas
        return torch.optim.Adam(
            module.parameters(),
            lr=self.settings.learning_rate * pace,
            betas=(first**pace, second**pace),
            fused=self.device.type in ("cpu", "cuda") or None,
        )

    def draw(self, sampler: Callable[..., Tensor], count: int, *shape: int) -> Tensor:
        """This process's (count, *shape) of random numbers: torch.randn, torch.rand, ….

        All processes draw the numbers of all and keep their own, so that many train as one does.
        """
        if self.processes.count == 1:
            return sampler(count, *shape, device=self.device)
        everybody = sampler(self.processes.count * count, *shape, device=self.device)
        return everybody[self.processes.rank * count :][:count]

    def update(self, name: str, loss: Tensor) -> None:
        """Backward from `loss` (a scalar) and one step of the optimizer `name`."""
        self.backward(name, loss)
        self.apply_gradients(name)

    def backward(self, name: str, output: Tensor, gradient: Tensor | None = None) -> None:
        """New gradients of `output` for the parameters of the optimizer `name`.

        `output` is a scalar loss; or any tensor, with its own `gradient` already scaled by `self.scaler`.
        """
        if name in self._stepped:  # a scaler takes one step of an optimizer between two of its updates
            self.update_scale()
        for group in self.optimizers[name].param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        with autocast(self.device, "fp32"):
            if gradient is None:
                torch.autograd.backward(self.scaler.scale(output))
            else:
                torch.autograd.backward(output, gradient)

    def apply_gradients(self, name: str) -> None:
        """One step of the optimizer `name`: gradients averaged over the processes, clipped, at the schedule's rate."""
        optimizer = self.optimizers[name]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.processes.average([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.settings.gradient_clip:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.gradient_clip)
        factor = self.settings.learning_rate_factor(self.step)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        self.scaler.step(optimizer)
        self._stepped.add(name)
        # Autocast caches low-precision copies of the weights; after a step they are stale.
        torch.clear_autocast_cache()

    def update_scale(self) -> None:
        """Let the factor of fp16's losses follow how the steps since the last time went."""
        if self.scaler.is_enabled() and self._stepped:
            self.scaler.update()
        self._stepped.clear()

    def fit(self, data: TrainingData | Tensor | str | Path, *, out: str | Path, resume: bool = False) -> Path:
        """Train to the end and write the finished model at the root of `out`.

        Args:
            data: TrainingData, a tensor (N, *sample_shape) in the model's range, or what `zoo train --data` takes.
            out: the run's folder: checkpoints, log, sample grids and, at the end, the model.
            resume: continue from the newest checkpoint in `out`; without one, start.

        Returns:
            The finished model folder.

        Raises:
            DataError: where the data cannot be read, or does not fit the model.
            TrainingError: where settings contradict each other or the run that is resumed, or a loss is not finite.
            DeviceError: for a device that is not here.
            OutputError: where `out` cannot be written, or holds another run.
        """
        from zoo_core.training.loop import fit

        return fit(self, data, out=Path(out), resume=resume)
