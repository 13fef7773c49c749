"""Set-up of a training run: a trainer and its data from a configuration file, assignments and the shape of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zoo_core.data.decoding import picture_shape
from zoo_core.data.source import DataSource, ReadSource
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import SettingsError, TrainingError, printable
from zoo_core.files.strict_yaml import read_yaml
from zoo_core.interfaces import Architecture, Config, Generator, ModelConfig, Parent, SamplingOptions, Settings, Trainer
from zoo_core.interfaces.assignments import assign, bounds_of, completed, converted, place_of, split
from zoo_core.interfaces.config_values import PICTURE_CHANNELS, accepted_sizes, following, in_words
from zoo_core.kinds.reading import decode_source, kind_of, open_source, read_by_trainer
from zoo_core.plugins import manager
from zoo_core.runtime.devices import resolve_device
from zoo_core.runtime.meta_device import on_meta
from zoo_core.runtime.precision import resolve_precision
from zoo_core.runtime.processes import join
from zoo_core.training.batches import check_mirroring
from zoo_core.training.evaluation import check_names
from zoo_core.training.parents import inherited_config, refuse_other_classes

MODEL = "model"  # the part of a configuration file that describes the model
OPTIONS = "options"  # the part that has the model's own choices at sampling time
_Config = TypeVar("_Config", bound=Config)


def prepare_training(
    architecture_name: str,
    data: str | Path,
    *,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    column: str | None = None,
    label_column: str | None = None,
    skip_damaged: bool = False,
    parent: Parent | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> tuple[Trainer, TrainingData]:
    """Return a trainer for an architecture, and the decoded data to train it on.

    Values are taken, from lowest to highest priority, from the defaults, the data, the configuration of `parent`,
    `config_file` and `assignments` (`steps=2000`, `model.width=32`), where a later assignment overrides an earlier one.

    The trainer's own `read_data` reads the data, else the kind of samples that the architecture makes.

    Args:
        column: the column of a table that holds the samples.
        label_column: the column of a table that holds the classes.
        skip_damaged: leave out what cannot be decoded.
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
    options_class = architecture.generator_class().Options
    settings_values, given, chosen = _read_config(config_file, settings_class, config_class, options_class)
    for assignment in assignments:
        key, value = split(assignment)
        part, _, name = key.partition(".")
        if part == MODEL and name:
            assign(config_class, given, name, value, key=key)
        elif part == OPTIONS and name:
            _check_has_options(architecture, options_class)
            assign(options_class, chosen, name, value, key=key)
        else:
            assign(settings_class, settings_values, key, value)
    given = completed(config_class, given)
    settings = _make(settings_class, completed(settings_class, settings_values))
    options = _make(options_class, completed(options_class, chosen, options_class()), OPTIONS) if chosen else None
    check_names(settings)

    device = resolve_device(settings.device)
    # Report an unsupported precision now, because reading the data can take long.
    resolve_precision(settings.precision, device)

    kind = kind_of(architecture)
    check_mirroring(kind.name, settings)
    stated = inherited_config(parent, architecture, given) | given  # before what follows from the data
    read = read_by_trainer(trainer_class, data, config_class, stated)
    source = (
        ReadSource(read)
        if read is not None
        else open_source(kind, data, values=stated, column=column, label_column=label_column, skip_damaged=skip_damaged)
    )
    _tell_all(tell, source.notes)
    shape = source.shape_for(config_class.__struct_fields__)
    implied = _implied_by(source, config_class, stated)
    values = trainer_class.config_for(config_class, implied | stated, shape, source.num_classes)
    config, generator = _model(architecture, values, stated, source.name)
    if read is None and kind.name == "image":
        _check_picture_shape(generator)
        _tell_all(tell, _what_differs(architecture.name, config, given, shape, parent))
    sample_shape = tuple(generator.sample_shape)
    if (problem := kind.problem_with(sample_shape)) is not None:
        raise TrainingError(f"{type(generator).__qualname__} makes samples of {sample_shape}, but {problem}")
    if (plan := source.plan(sample_shape)) is not None:
        tell(plan)
    training_data = decode_source(kind, source, sample_shape, join(device.type))
    _tell_all(tell, training_data.notes)
    refuse_other_classes(parent, config, given, training_data)
    return _with_options(trainer_class(config, settings, sample_shape), options), training_data


def _implied_by(source: DataSource, config_class: type[ModelConfig], stated: dict[str, Any]) -> dict[str, Any]:
    """Return what the data states for fields of the configuration that neither the user nor a parent set."""
    implied: dict[str, Any] = {}
    for field, value in source.values.items():
        if value is not None and field in config_class.__struct_fields__ and field not in stated:
            implied[field] = following(config_class, implied | stated, field, value)
    return implied


def _with_options(trainer: Trainer, options: SamplingOptions | None) -> Trainer:
    trainer.options = options
    return trainer


def _check_has_options(architecture: Architecture, options_class: type[SamplingOptions]) -> None:
    if options_class is SamplingOptions:
        raise SettingsError(f"{OPTIONS}: {architecture.name} has no options for sampling to set")


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


def _check_picture_shape(generator: Generator) -> None:
    """Raise a ZooError unless the samples have a shape to which pictures can be decoded."""
    sample_shape, name = tuple(generator.sample_shape), type(generator).__qualname__
    if picture_shape("image", sample_shape) is not None:
        return
    if len(sample_shape) == 3:
        raise SettingsError(
            f"{MODEL}.channels: {name} makes pictures with {sample_shape[0]} channels; zoo train reads pictures with "
            f"{in_words(PICTURE_CHANNELS)}"
        )
    raise TrainingError(
        f"{name} makes samples of {sample_shape}, not pictures (channels, height, width); state another kind of "
        "samples, or call the trainer's fit from Python with a tensor of them"
    )


def _what_differs(
    name: str, config: ModelConfig, given: dict[str, Any], shape: tuple[int, ...], parent: Parent | None
) -> Iterator[str]:
    """Yield a line for the size and the channels, if they had to differ from those of the data and nobody set them."""
    channels, height, width = shape
    kept = getattr(config, "channels", channels)
    both = {"height", "width"}.issubset(config.__struct_fields__)
    sides = ("height", "width") if both else ("size", "size")
    if not set(sides).intersection(given):
        high, wide = getattr(config, sides[0], height), getattr(config, sides[1], width)
        if (high, wide) != (height, width):
            change, which = ("enlarged", "next") if high >= height and wide >= width else ("reduced", "largest")
            of = f"the {which} size of {name}" if parent is None else f"the size of {parent.name}"
            yield f"pictures of {width} x {height} are {change} to {wide} x {high}, {of}"
    if "channels" not in given and kept != channels:
        kinds = {1: "grey", 3: "in colour"}
        maker = name if parent is None else parent.name
        yield f"the pictures are {kinds[channels]}, and {maker} makes only pictures that are {kinds.get(kept, kept)}"


def _read_config(
    file: Path | None,
    settings_class: type[Settings],
    config_class: type[ModelConfig],
    options_class: type[SamplingOptions],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the settings, the model's values and its options of a configuration file, in the types of their fields."""
    if file is None:
        return {}, {}, {}
    document = read_yaml(file)
    if document.content is None:  # an empty file, or one with only comments
        return {}, {}, {}
    if not isinstance(document.content, dict):
        raise document.error("a training configuration is a mapping of settings, with the model's under `model`")
    parts = {part: document.content.get(part) or {} for part in (MODEL, OPTIONS)}
    for part, values in parts.items():
        if not isinstance(values, dict):
            raise document.error("must be a mapping of the model's fields", (part,))
    settings = [key for key in document.content if key not in parts]
    return (
        {key: converted(document, settings_class, (key,)) for key in settings},
        {key: converted(document, config_class, (MODEL, key)) for key in parts[MODEL]},
        {key: converted(document, options_class, (OPTIONS, key)) for key in parts[OPTIONS]},
    )


def _make(owner: type[_Config], values: dict[str, Any], part: str = "") -> _Config:
    try:
        return msgspec.convert(values, owner)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, field = place_of(error)
        place = ".".join(filter(None, (part, field)))
        raise SettingsError(f"{place}: {problem}" if place else problem) from error


def _make_config(
    config_class: type[ModelConfig], values: dict[str, Any], given: dict[str, Any], data: str
) -> ModelConfig:
    """Make the configuration of a model. An error tells what the user set from what came from the data."""
    try:
        return msgspec.convert(values, config_class)
    except ValueError as error:  # includes msgspec.ValidationError
        problem, field = place_of(error)
        sizes = in_words(accepted_sizes(config_class, values)) if "size" in values else ""
        field = field or ("size" if sizes else "")
        choose = sizes if field == "size" else bounds_of(config_class, field)
        parts = [problem, f"choose {choose}" if choose else ""]
        if field in values and field not in given:
            parts = [f"{printable(values[field], 40)}, as in the data {printable(data, 80)}, is not possible", *parts]
        reasons = "; ".join(filter(None, parts))
        raise SettingsError(f"{MODEL}.{field}: {reasons}" if field else reasons) from error
