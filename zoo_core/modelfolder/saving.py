"""Saving a model folder: it appears complete, or not at all, and over an old model it replaces all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from zoo_core.errors import InterfaceError, OutputError, printable
from zoo_core.files import strict_json
from zoo_core.files.atomic import atomic_folder
from zoo_core.files.paths import user_path
from zoo_core.modelfolder.building import build, check_class_names, model_config, model_options
from zoo_core.modelfolder.layout import CONFIG, DISCRIMINATOR, WEIGHTS, FolderConfig
from zoo_core.modelfolder.replacing import replace_files

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo_core.interfaces import Discriminator, Generator


def save(generator: Generator, folder: str | Path) -> Path:
    """Save a generator as a model folder, as `Generator.save` describes.

    Raises:
        InterfaceError: where the generator could not be loaded again.
        PluginError: where no installed plugin provides its class.
        OutputError: where the folder cannot be written.
    """
    from zoo_core.modelfolder import weight_loading
    from zoo_core.plugins import manager
    from zoo_core.runtime.torch_defaults import torch_defaults

    folder = user_path(folder)
    architecture, plugin = manager().architecture_of(type(generator))
    if not isinstance(generator.config, architecture.config_class()):
        kind = type(generator.config).__qualname__
        raise InterfaceError(f"{type(generator).__qualname__}.config is a {kind}, not the {architecture.config}")
    stated = FolderConfig(
        format=1,
        architecture=architecture.name,
        config=msgspec.to_builtins(generator.config),
        sample_shape=tuple(generator.sample_shape),
        plugin=plugin.distribution,
        plugin_version=plugin.version,
        class_names=tuple(generator.class_names),
        options=_options_of(generator),
    )
    check_class_names(folder, stated.class_names, generator.num_classes)
    # What is saved must load again: a folder that does not would lose hours of training.
    config = model_config(folder, architecture, stated.config)
    model_options(folder, architecture, stated.options)
    with torch_defaults():
        built = build(folder, architecture, config, stated.sample_shape, "meta")
    weights = weight_loading.facts_of(weight_loading.stored_tensors(generator))
    problem = weight_loading.differences(built, weights)
    if problem is not None:
        wide = weight_loading.differences(built.double(), weights) is None
        raise InterfaceError(
            f"{type(generator).__qualname__} has other weights than its configuration describes: {problem}"
            + ("; save generator.float()" if wide else "")
        )
    _refuse_other_models(folder)
    text = msgspec.json.format(msgspec.json.encode(stated), indent=2) + b"\n"
    return _write(folder, {WEIGHTS: _safetensors(generator), CONFIG: text})


def _options_of(generator: Generator) -> dict[str, Any]:
    """The values of the model's own options by name; none for a class without options."""
    if not generator.has_options():
        return {}
    options, name = generator.options, type(generator).__qualname__
    if not isinstance(options, generator.Options):  # a class may have an attribute of its own in this place
        kind, wanted = type(options).__qualname__, generator.Options.__qualname__
        raise InterfaceError(f"{name}.options is a {kind}, not the {wanted} that {name}.Options names")
    values: dict[str, Any] = msgspec.to_builtins(options)
    return values


def _refuse_other_models(folder: Path) -> None:
    """Raise OutputError for a folder with the model of another library: its files have the names of ours."""
    try:
        content = strict_json.decode((folder / CONFIG).read_bytes())
    except (OSError, strict_json.JSONProblemError):  # none, or a damaged one of ours
        return
    if not (isinstance(content, dict) and "architecture" in content and "format" in content):
        place = printable(folder / CONFIG)
        raise OutputError(f"{place} is not that of a model of zoo-core; choose another folder for the model")


def save_discriminator(discriminator: Discriminator, folder: str | Path) -> Path:
    """Write discriminator.safetensors into a model folder, so that training can start from it. Raises OutputError."""
    return _write(user_path(folder), {DISCRIMINATOR: _safetensors(discriminator)})


def _safetensors(module: nn.Module) -> bytes:
    from safetensors.torch import save as to_bytes

    from zoo_core.modelfolder.weight_loading import stored_tensors

    tensors: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in stored_tensors(module).items():
        if tensor.is_meta:
            raise InterfaceError(f"{type(module).__qualname__} cannot be saved: {printable(name)} has no value")
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        # Tensors that share memory (a view, or those of a mapped file) are stored as separate tensors.
        tensors[name] = tensor.clone() if place in memory else tensor
        memory.add(place)
    return to_bytes(tensors)


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    if not folder.exists():
        with atomic_folder(folder) as temporary:
            for name, data in files.items():
                (temporary / name).write_bytes(data)
        return folder
    if not folder.is_dir():
        raise OutputError(f"{printable(folder)} is not a folder; choose another place for the model")
    replace_files(folder, files, last=CONFIG)
    return folder
