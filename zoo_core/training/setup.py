"""Set-up of a training run: a trainer and its data from a configuration file, assignments and the shape of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zoo_core.data.decoding import picture_shape
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import SettingsError, TrainingError, did_you_mean, printable
from zoo_core.files.strict_yaml import Document, read_yaml
from zoo_core.interfaces import Architecture, Config, Generator, ModelConfig, Settings, Trainer
from zoo_core.plugins import manager
from zoo_core.runtime.devices import resolve_device
from zoo_core.runtime.meta_device import on_meta
from zoo_core.runtime.precision import resolve_precision
from zoo_core.runtime.processes import join

MODEL = "model"  # the part of a configuration file that describes the model
_Config = TypeVar("_Config", bound=Config)


def prepare_training(
    architecture_name: str,
    data: str | Path,
    *,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    image_column: str | None = None,
    label_column: str | None = None,
    skip_damaged: bool = False,
    tell: Callable[[str], object] = lambda line: None,
) -> tuple[Trainer, TrainingData]:
    """Return a trainer for an architecture, and the decoded data to train it on.

    Values are taken, from lowest to highest priority, from the defaults, the shape of the data, `config_file` and
    `assignments` (`steps=2000`, `model.width=32`), where a later assignment overrides an earlier one.

    Args:
        skip_damaged: leave out pictures that cannot be decoded.
        tell: receives the messages for the user: what was found in the data, the memory or disk space that it will
            need, before any is used, and what was changed in it, after decoding.

    Raises:
        UnknownArchitectureError, TrainingError, SettingsError, RegistryError (the configuration file), DataError.
    """
    architecture = manager().architecture(architecture_name)
    trainer_class = architecture.trainer_class()
    if trainer_class is None:
        raise TrainingError(f"{architecture.name} cannot be trained: its plugin has no trainer for it")
    config_class, settings_class = architecture.config_class(), trainer_class.Settings
    settings_values, model_values = _read_config(config_file, settings_class, config_class)
    for assignment in assignments:
        key, value = _split(assignment)
        if key.startswith(f"{MODEL}."):
            name = key.removeprefix(f"{MODEL}.")
            model_values[name] = _parse(config_class, name, value, key)
        else:
            settings_values[key] = _parse(settings_class, key, value, key)
    settings = _make(settings_class, settings_values, "")

    device = resolve_device(settings.device)
    # Report an unsupported precision now, because reading the data can take long.
    resolve_precision(settings.precision, device)

    read = trainer_class.read_data(data, config_class, model_values)
    if read is not None:
        model_values = trainer_class.config_for(config_class, model_values, read.sample_shape, read.num_classes)
        config, generator = _model(architecture, config_class, model_values)
        _tell_all(tell, read.notes)
        return trainer_class(config, settings, generator.sample_shape), read
    images = open_images(data, image_column=image_column, label_column=label_column, skip_damaged=skip_damaged)
    _tell_all(tell, images.notes)
    model_values = trainer_class.config_for(config_class, model_values, images.shape, images.num_classes)
    config, generator = _model(architecture, config_class, model_values)
    channels, size = _picture_shape(generator)
    tell(images.plan(channels, size))
    training_data = images.decode(channels, size, processes=join(device.type))
    _tell_all(tell, training_data.notes)
    return trainer_class(config, settings, generator.sample_shape), training_data


def _model(
    architecture: Architecture, config_class: type[ModelConfig], values: dict[str, Any]
) -> tuple[ModelConfig, Generator]:
    """Return the configuration with these values, and its generator without weights."""
    config = _make(config_class, values, f"{MODEL}.")
    with on_meta():
        return config, architecture.generator_class()(config)


def _tell_all(tell: Callable[[str], object], lines: Iterable[str]) -> None:
    for line in lines:
        tell(line)


def _picture_shape(generator: Generator) -> tuple[int, int]:
    shape = picture_shape(generator.kind, generator.sample_shape)
    if shape is None:
        raise TrainingError(
            f"{type(generator).__qualname__} makes samples of {tuple(generator.sample_shape)}, not square pictures; "
            "zoo train reads pictures: call the trainer's fit from Python with a tensor of samples"
        )
    return shape[0], shape[1]


def _read_config(
    file: Path | None, settings_class: type[Settings], config_class: type[ModelConfig]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and the model values of a configuration file, converted to the types of their fields."""
    if file is None:
        return {}, {}
    document = read_yaml(file)
    if document.content is None:  # an empty file, or one with only comments
        return {}, {}
    if not isinstance(document.content, dict):
        raise document.error("a training configuration is a mapping of settings, with the model's under `model`")
    model = document.content.get(MODEL) or {}
    if not isinstance(model, dict):
        raise document.error("must be a mapping of the model's fields", (MODEL,))
    settings = [key for key in document.content if key != MODEL]
    return (
        {key: _from_document(document, settings_class, (key,)) for key in settings},
        {key: _from_document(document, config_class, (MODEL, key)) for key in model},
    )


def _from_document(document: Document, owner: type[Config], keys: tuple[str, ...]) -> Any:
    fields = {field.name: field.type for field in msgspec.structs.fields(owner)}
    if keys[-1] not in fields:
        raise document.error(_unknown(keys[-1], fields), keys)
    return document.convert(fields[keys[-1]], keys)


def _split(assignment: str) -> tuple[str, str]:
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise SettingsError(f"--set {printable(assignment, 80)}: write key=value")
    return key.strip(), value.strip()


def _parse(owner: type[Config], name: str, value: str, key: str) -> Any:
    """Convert a value from the command line to the type of its field; list items are separated by commas."""
    fields = {field.name: field.type for field in msgspec.structs.fields(owner)}
    if name not in fields:
        raise SettingsError(f"{printable(key, 80)}: {_unknown(name, fields)}")
    try:
        try:
            return msgspec.convert(value, fields[name], strict=False)
        except msgspec.ValidationError as error:
            if "Expected `array`" not in str(error):
                raise
        items = [item.strip() for item in value.strip("[]()").split(",")]
        return msgspec.convert(items, fields[name], strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{key}: {printable(error, 200)}") from error


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"there is no such field; {did_you_mean(name, known)}"


def _make(owner: type[_Config], values: dict[str, Any], prefix: str) -> _Config:
    try:
        return msgspec.convert(values, owner)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, _, path = str(error).partition(" - at `$.")
        field = f"{prefix}{path.rstrip('`')}: " if path else ""
        raise SettingsError(f"{field}{printable(problem, 200)}") from error
