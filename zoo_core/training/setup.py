"""Set-up of a training run: a trainer and its data from a configuration file, assignments and the shape of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zoo_core.data.decoding import picture_shape
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import RegistryError, SettingsError, TrainingError, did_you_mean, printable
from zoo_core.files.strict_yaml import Document, read_yaml
from zoo_core.interfaces import Architecture, Config, Generator, ModelConfig, Parent, Settings, Trainer
from zoo_core.interfaces.config_values import PICTURE_CHANNELS, accepted_sizes, choices, in_words
from zoo_core.plugins import manager
from zoo_core.runtime.devices import resolve_device
from zoo_core.runtime.meta_device import on_meta
from zoo_core.runtime.precision import resolve_precision
from zoo_core.runtime.processes import join
from zoo_core.training.evaluation import check_names
from zoo_core.training.parents import inherited_config, refuse_other_classes

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
    parent: Parent | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> tuple[Trainer, TrainingData]:
    """Return a trainer for an architecture, and the decoded data to train it on.

    Values are taken, from lowest to highest priority, from the defaults, the shape of the data, the configuration of
    `parent`, `config_file` and `assignments` (`steps=2000`, `model.width=32`), where a later assignment overrides an
    earlier one.

    Args:
        skip_damaged: leave out pictures that cannot be decoded.
        parent: the model whose weights the run starts from.
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
    settings_values, given = _read_config(config_file, settings_class, config_class)
    for assignment in assignments:
        key, value = _split(assignment)
        if key.startswith(f"{MODEL}."):
            name = key.removeprefix(f"{MODEL}.")
            given[name] = _parse(config_class, name, value, key)
        else:
            settings_values[key] = _parse(settings_class, key, value, key)
    settings = _make(settings_class, settings_values)
    check_names(settings)

    device = resolve_device(settings.device)
    # Report an unsupported precision now, because reading the data can take long.
    resolve_precision(settings.precision, device)

    stated = inherited_config(parent, architecture, given) | given  # before what follows from the data

    read = trainer_class.read_data(data, config_class, stated)
    if read is not None:
        values = trainer_class.config_for(config_class, stated, read.sample_shape, read.num_classes)
        config, generator = _model(architecture, values, stated, read.name)
        _tell_all(tell, read.notes)
        refuse_other_classes(parent, config, given, read)
        return trainer_class(config, settings, generator.sample_shape), read
    images = open_images(data, image_column=image_column, label_column=label_column, skip_damaged=skip_damaged)
    _tell_all(tell, images.notes)
    values = trainer_class.config_for(config_class, stated, images.shape, images.num_classes)
    config, generator = _model(architecture, values, stated, images.name)
    channels, size = _picture_shape(generator)
    _tell_all(tell, _what_differs(architecture.name, config, given, images.shape, parent))
    tell(images.plan(channels, size))
    training_data = images.decode(channels, size, processes=join(device.type))
    _tell_all(tell, training_data.notes)
    refuse_other_classes(parent, config, given, training_data)
    return trainer_class(config, settings, generator.sample_shape), training_data


def _model(
    architecture: Architecture, values: dict[str, Any], given: dict[str, Any], data: str
) -> tuple[ModelConfig, Generator]:
    """Return the configuration with these values, and its generator without weights.

    Args:
        given: those of the values that the user set; the others came from the data of this name.
    """
    config = _make_config(architecture.config_class(), values, given, data)
    try:
        with on_meta():
            return config, architecture.generator_class()(config)
    except (ValueError, AssertionError) as error:  # a condition that stands in the network and not in its configuration
        followed = [f"{name} {printable(values[name], 40)}" for name in values if name not in given]
        source = f", with {' and '.join(followed)} as in the data {printable(data, 80)}" if followed else ""
        raise SettingsError(
            f"{architecture.name} cannot be built{source}: {printable(error, 200)}; set other values of {MODEL}.…"
        ) from error


def _tell_all(tell: Callable[[str], object], lines: Iterable[str]) -> None:
    for line in lines:
        tell(line)


def _picture_shape(generator: Generator) -> tuple[int, int]:
    sample_shape, name = tuple(generator.sample_shape), type(generator).__qualname__
    shape = picture_shape(generator.kind, sample_shape)
    if shape is not None:
        return shape[0], shape[1]
    if generator.kind == "image" and len(sample_shape) == 3 and sample_shape[1] == sample_shape[2]:
        raise SettingsError(
            f"{MODEL}.channels: {name} makes pictures with {sample_shape[0]} channels; zoo train reads pictures with "
            f"{in_words(PICTURE_CHANNELS)}"
        )
    raise TrainingError(
        f"{name} makes samples of {sample_shape}, not square pictures; "
        "zoo train reads pictures: call the trainer's fit from Python with a tensor of samples"
    )


def _what_differs(
    name: str, config: ModelConfig, given: dict[str, Any], shape: tuple[int, ...], parent: Parent | None
) -> Iterator[str]:
    """Yield a line for the size and the channels, if they had to differ from those of the data and nobody set them."""
    channels, side = shape[0], shape[1]
    size, kept = getattr(config, "size", side), getattr(config, "channels", channels)
    if "size" not in given and size != side:
        change, which = ("reduced", "largest") if size < side else ("enlarged", "next")
        of = f"the {which} size of {name}" if parent is None else f"the size of {parent.name}"
        yield f"pictures of {side} x {side} are {change} to {size} x {size}, {of}"
    if "channels" not in given and kept != channels:
        kinds = {1: "grey", 3: "in colour"}
        maker = name if parent is None else parent.name
        yield f"the pictures are {kinds[channels]}, and {maker} makes only pictures that are {kinds.get(kept, kept)}"


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
    try:
        return document.convert(fields[keys[-1]], keys)
    except RegistryError as error:
        choose = choices(fields[keys[-1]])
        if not choose:
            raise
        problem = f"{error.problem}; choose {choose}"
        raise RegistryError(problem, file=error.file, line=error.line, field=error.field) from error


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
        choose = choices(fields[name])
        raise SettingsError(f"{key}: {printable(error, 200)}{f'; choose {choose}' if choose else ''}") from error


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"there is no such field; {did_you_mean(name, known)}"


def _make(owner: type[_Config], values: dict[str, Any]) -> _Config:
    try:
        return msgspec.convert(values, owner)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, field = _place(error)
        raise SettingsError(f"{field}: {problem}" if field else problem) from error


def _make_config(
    config_class: type[ModelConfig], values: dict[str, Any], given: dict[str, Any], data: str
) -> ModelConfig:
    """Make the configuration of a model. An error tells what the user set from what came from the data."""
    try:
        return msgspec.convert(values, config_class)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, field = _place(error)
        sizes = in_words(accepted_sizes(config_class, values)) if "size" in values else ""
        field = field or ("size" if sizes else "")
        choose = sizes if field == "size" else _choices(config_class, field)
        parts = [problem, f"choose {choose}" if choose else ""]
        if field in values and field not in given:
            parts = [f"{printable(values[field], 40)}, as in the data {printable(data, 80)}, is not possible", *parts]
        reasons = "; ".join(filter(None, parts))
        raise SettingsError(f"{MODEL}.{field}: {reasons}" if field else reasons) from error


def _place(error: ValueError) -> tuple[str, str]:
    """Return what is wrong, and the field that it is wrong with; an empty name for a condition between fields."""
    problem, _, path = str(error).partition(" - at `$.")
    return printable(problem, 200), path.rstrip("`")


def _choices(owner: type[Config], name: str) -> str:
    types = {field.name: field.type for field in msgspec.structs.fields(owner)}
    return choices(types[name]) if name in types else ""
