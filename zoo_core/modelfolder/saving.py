"""Saving a model folder: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zoo_core.errors import InterfaceError, OutputError, printable
from zoo_core.files.atomic import atomic_folder, sync_folder, temporary_sibling
from zoo_core.modelfolder.building import build, check_class_names, model_config
from zoo_core.modelfolder.layout import CONFIG, DISCRIMINATOR, WEIGHTS, FolderConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo_core.interfaces import Discriminator, Generator


def save(generator: Generator, folder: str | Path) -> Path:
    """What `Generator.save` does; see there."""
    from zoo_core.modelfolder import weight_loading
    from zoo_core.plugins import manager

    folder = Path(folder).expanduser()
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
    )
    check_class_names(folder, stated.class_names, generator.num_classes)
    # What is saved must load again: hours of training are lost in a folder that does not.
    config = model_config(folder, architecture, stated.config)
    built = build(folder, architecture, config, stated.sample_shape, "meta")
    problem = weight_loading.differences(built, weight_loading.facts_of(weight_loading.stored_tensors(generator)))
    if problem is not None:
        raise InterfaceError(
            f"{type(generator).__qualname__} has other weights than its configuration describes: {problem}"
        )
    text = msgspec.json.format(msgspec.json.encode(stated), indent=2) + b"\n"
    return _write(folder, {WEIGHTS: _safetensors(generator), CONFIG: text})


def save_discriminator(discriminator: Discriminator, folder: str | Path) -> Path:
    """Write discriminator.safetensors into a model folder, to continue training from. Raises OutputError."""
    return _write(Path(folder), {DISCRIMINATOR: _safetensors(discriminator)})


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
        # Two tensors in one piece of memory (a view, or a mapped file) are two tensors in the file.
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
        raise OutputError(f"{folder} is not a folder")
    _replace_in(folder, files)
    return folder


def _replace_in(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace files of a folder whose other files stay.

    All are written before any is replaced, and config.json is away while they are: a kill at any moment leaves the
    old model, the new one, or no model, and never half of each.
    """
    temporaries = {name: temporary_sibling(folder / name) for name in files}
    config, old_config = folder / CONFIG, temporary_sibling(folder / CONFIG)
    try:
        for name, data in files.items():
            with temporaries[name].open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if CONFIG in files and config.exists():
            config.replace(old_config)
        for name in sorted(files, key=lambda name: name == CONFIG):  # config.json last
            temporaries[name].replace(folder / name)
        sync_folder(folder)
    except OSError as error:
        raise OutputError.unwritable(folder, error) from error
    finally:
        # Nothing was replaced (on Windows weights cannot be while a loaded model maps them): the old model stays.
        if old_config.exists() and all(temporary.exists() for temporary in temporaries.values()):
            old_config.replace(config)
        for temporary in (*temporaries.values(), old_config):
            temporary.unlink(missing_ok=True)
