"""Building a generator from a stated configuration, without weights or with those that its constructor draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.errors import ModelFolderError, ZooError, printable, unseen
from zoo_core.kinds.by_name import check_kind
from zoo_core.modelfolder.layout import CONFIG

if TYPE_CHECKING:
    from zoo_core.interfaces import Architecture, Generator, ModelConfig, SamplingOptions


def check_class_names(folder: Path, names: tuple[str, ...], num_classes: int | None) -> None:
    """Raise ModelFolderError where config.json names another number of classes than the model has, or hides a name."""
    for name in names:
        if (char := unseen(name)) is not None:
            raise ModelFolderError(
                folder / CONFIG, f"the class {printable(name, 80)!r} has {char} in its name, which shows nothing"
            )
    if names and len(names) != num_classes:
        actual = "none" if num_classes is None else num_classes
        raise ModelFolderError(folder / CONFIG, f"names {len(names)} classes, but the model has {actual}")


def model_config(folder: Path, architecture: Architecture, values: dict[str, Any]) -> ModelConfig:
    """Return the values in config.json as the architecture's own configuration. Raises ModelFolderError."""
    config_class = architecture.config_class()
    try:
        return msgspec.convert(values, config_class)
    except Exception as error:  # a plugin's __post_init__ can fail in any way on values that it did not foresee
        problem = f"the configuration does not fit the architecture {architecture.name}: {printable(error, 200)}"
        raise ModelFolderError(folder / CONFIG, problem) from error


def model_options(folder: Path, architecture: Architecture, values: dict[str, Any]) -> SamplingOptions | None:
    """Return the options in config.json as those of the architecture's generator; None where it states none.

    Raises:
        ModelFolderError: for an unknown option, or one out of its bounds.
    """
    if not values:
        return None
    options_class = architecture.generator_class().Options
    try:
        return msgspec.convert(values, options_class)
    except Exception as error:  # a plugin's __post_init__ can fail in any way on values that it did not foresee
        problem = f"the options do not fit the architecture {architecture.name}: {printable(error, 200)}"
        raise ModelFolderError(folder / CONFIG, problem) from error


def build(
    folder: Path, architecture: Architecture, config: ModelConfig, sample_shape: tuple[int, ...], device: str
) -> Generator:
    """Build the generator of a configuration. torch's random state stays as it is.

    Args:
        sample_shape: the shape that config.json states; another one is refused.
        device: a device for the weights that the constructor draws, or "meta" for tensors without values.

    Raises:
        ModelFolderError: where the constructor fails or the shape is not the stated one.
        InterfaceError: where its samples are of another kind than the architecture states, or of one that there is not.
    """
    import torch

    from zoo_core.runtime.meta_device import on_meta

    generator_class = architecture.generator_class()
    try:
        with torch.random.fork_rng(devices=[]), on_meta() if device == "meta" else torch.device(device):
            generator = generator_class(config)
        shape = tuple(generator.sample_shape)
    except ZooError:
        raise
    except Exception as error:  # a plugin's constructor can fail in any way on a configuration it did not foresee
        problem = (
            f"the architecture {architecture.name} cannot be built from this configuration: {printable(error, 200)}"
        )
        raise ModelFolderError(folder / CONFIG, problem) from error
    check_kind(architecture, generator)
    if shape != sample_shape:
        stated = printable(sample_shape, 80)
        raise ModelFolderError(folder / CONFIG, f"states samples of {stated}, but the model makes {shape}")
    return generator
