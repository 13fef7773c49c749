"""Trackers such as TensorBoard and Weights & Biases, through accelerate: the figures and the sample grids of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from zoo_core.errors import MissingExtraError, SettingsError
from zoo_core.interfaces import Trainer
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr

FOLDER = "tracking"  # in the folder of the run, for trackers that write files
_PICTURES = "samples"


class Trackers:
    """The trackers that a run's settings name. Project and run are called as the folder of the run.

    Whatever they print goes to stderr, since stdout holds the results of a command.

    Args:
        root: the folder of the run.

    Raises:
        SettingsError: accelerate does not know a tracker, or the package of the tracker is not installed.
        MissingExtraError: accelerate is not installed.
    """

    def __init__(self, root: Path, trainer: Trainer) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.utils import LoggerType, ProjectConfiguration
        except ImportError:
            raise MissingExtraError("train", "a tracker") from None
        names = list(dict.fromkeys(trainer.settings.trackers))
        known = [str(kind) for kind in LoggerType if kind != LoggerType.ALL]
        for name in names:
            if name not in known:
                raise SettingsError(f"trackers: there is no tracker {name!r}; accelerate has {', '.join(known)}")
        folders = ProjectConfiguration(project_dir=str(root), logging_dir=str(root / FOLDER))
        with plugin_output_on_stderr():
            self._accelerator = Accelerator(cpu=trainer.device.type == "cpu", log_with=names, project_config=folders)
            if len(self._accelerator.log_with) < len(names):
                raise SettingsError(
                    f"trackers: a package that {' or '.join(names)} needs is not installed; install it with pip"
                )
            title = root.resolve().name or "run"
            self._accelerator.init_trackers(
                title, config=_flat(trainer), init_kwargs={name: _named(name, title, root) for name in names}
            )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Send figures to all trackers."""
        with plugin_output_on_stderr():
            self._accelerator.log(dict(figures), step=step)

    def log_grid(self, grid: np.ndarray, step: int) -> None:
        """Send a grid of samples, (H, W, C) uint8, to all trackers that show pictures."""
        with plugin_output_on_stderr():
            for tracker in self._accelerator.trackers:
                if tracker.name == "tensorboard":
                    tracker.log_images({_PICTURES: grid[None]}, step=step, dataformats="NHWC")
                elif tracker.name in ("aim", "clearml"):
                    tracker.log_images({_PICTURES: grid.squeeze()}, step=step)
                elif hasattr(tracker, "log_images"):
                    tracker.log_images({_PICTURES: [grid]}, step=step)

    def close(self) -> None:
        """Write out what trackers still hold."""
        with plugin_output_on_stderr():
            self._accelerator.end_training()


def _named(tracker: str, title: str, root: Path) -> dict[str, Any]:
    """What the tracker itself takes to call the run by this title, and to write files into its folder."""
    own: dict[str, dict[str, Any]] = {
        "wandb": {"name": title, "dir": str(root)},
        "trackio": {"name": title},
        "mlflow": {"run_name": title},
        "swanlab": {"experiment_name": title, "logdir": str(root / FOLDER)},
        "dvclive": {"dir": str(root / FOLDER)},
    }
    return own.get(tracker, {})


def _flat(trainer: Trainer) -> dict[str, Any]:
    settings = msgspec.to_builtins(trainer.settings)
    return {
        name: value if isinstance(value, (int, float, str, bool)) else str(value) for name, value in settings.items()
    }
