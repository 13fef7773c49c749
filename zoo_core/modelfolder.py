"""A model on disk: config.json and model.safetensors, loaded strictly and saved whole.

Nothing is trusted on the way in: config.json and the header of the weights are checked before torch is imported,
the model is built on the meta device, and names, shapes and dtypes are compared before a weight is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from zoo_core.errors import (
    DeviceError,
    DigestError,
    InterfaceError,
    ModelFolderError,
    OutputError,
    UnknownArchitectureError,
    ZooError,
    printable,
)
from zoo_core.files import strict_json
from zoo_core.files.atomic import atomic_folder, sync_folder, temporary_sibling
from zoo_core.files.paths import stays_inside
from zoo_core.weightfile import TensorFacts, read_header

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from zoo_core.interfaces import Architecture, Discriminator, Generator, ModelConfig
    from zoo_core.registries import FileFacts

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
CARD = "README.md"
PREVIEW = "samples.png"
TRAINING = "training.yaml"
GOLDEN = "golden.safetensors"
MODEL_FILES = (CONFIG, WEIGHTS, DISCRIMINATOR, CARD, PREVIEW, TRAINING, GOLDEN)  # all that the format names
MAX_CONFIG_BYTES = 2**20


class FolderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What config.json says. `config` is the architecture's own, not validated yet; `class_names` may be left out."""

    format: Literal[1]
    architecture: str
    config: dict[str, Any]
    sample_shape: tuple[int, ...]
    plugin: str
    plugin_version: str
    class_names: tuple[str, ...] = ()


def read_config(folder: Path) -> FolderConfig:
    """config.json of a model folder, decoded strictly. Raises ModelFolderError."""
    path = folder / CONFIG
    try:
        return msgspec.convert(strict_json.decode(_read_small(path)), FolderConfig)
    except strict_json.JSONProblemError as error:
        raise ModelFolderError(path, str(error)) from error
    except msgspec.ValidationError as error:
        raise ModelFolderError(path, printable(error, 200)) from error


def _read_small(path: Path) -> bytes:
    try:
        if not path.parent.is_dir():
            raise ModelFolderError(path.parent, "is not a folder")
        if not path.is_file():
            raise ModelFolderError(path.parent, f"is not a model folder: it has no {path.name}")
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelFolderError(path, f"is larger than {MAX_CONFIG_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error


def inspect(folder: Path) -> tuple[FolderConfig, dict[str, TensorFacts]]:
    """Check config.json and the header of the weights without importing torch. Raises ModelFolderError."""
    return read_config(folder), read_header(folder / WEIGHTS)


def verify(folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Compare files of a folder with their stated size and sha256. Symbolic links (the Hub's cache) are followed.

    Raises:
        DigestError: for another content.
        ModelFolderError: for a missing file, another size, a name outside the folder, or where nothing is
            stated of a file that loading reads.
    """
    unstated = [name for name in (CONFIG, WEIGHTS) if name not in files]
    if unstated:
        raise ModelFolderError(folder, f"cannot be verified: the registry states no sha256 of {' and '.join(unstated)}")
    for name, facts in files.items():
        if not stays_inside(name):
            raise ModelFolderError(folder, f"the file name {printable(name, 80)!r} leaves the folder")
        path = folder / name
        try:
            if not path.is_file():
                raise ModelFolderError(path, "is missing, but the registry lists it")
            size = path.stat().st_size
            if size != facts.size:
                raise ModelFolderError(path, f"has {size:,} bytes, but the registry states {facts.size:,}")
            found = file_sha256(path)
        except OSError as error:
            raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
        if found != facts.sha256:
            raise DigestError(path, facts.sha256, found)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content in hexadecimal, read a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def load(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    files: Mapping[str, FileFacts] | None = None,
) -> Generator:
    """Load a model folder.

    Args:
        device: where to put the weights: auto, cpu, cuda, cuda:N or mps.
        dtype: of the floating weights; the model's own by default.
        files: sizes and digests to verify first, as a registry entry states them.

    Returns:
        The generator in eval mode, without gradients. On the CPU its weights stay in the file, mapped: changes to
        them are not written back, and on Windows the file cannot be replaced while they are in use.

    Raises:
        ModelFolderError, UnknownArchitectureError, PluginError, InterfaceError, DeviceError.
    """
    folder = Path(folder).expanduser()
    if files is not None:
        verify(folder, files)
    stated, header = inspect(folder)

    from zoo_core.plugins import manager

    try:
        architecture = manager().architecture(stated.architecture)
    except UnknownArchitectureError as error:
        message = f"{printable(folder / CONFIG)}: {error} (the folder names the plugin {printable(stated.plugin, 80)})"
        raise UnknownArchitectureError(error.name, message, error.plugin) from error
    config = _model_config(folder, architecture, stated.config)

    from zoo_core import placement
    from zoo_core.runtime.devices import resolve_device

    place = resolve_device(str(device))
    if dtype is not None and not dtype.is_floating_point:
        raise DeviceError(f"weights cannot be of {dtype}: it is no floating type")
    generator = _build(folder, architecture, config, stated.sample_shape, "meta")
    _check_class_names(folder, stated.class_names, generator.num_classes)
    problem = placement.differences(generator, header)
    if problem is not None:
        raise ModelFolderError(folder / WEIGHTS, f"the weights do not fit the configuration: {problem}")
    generator = placement.fill(
        generator,
        folder / WEIGHTS,
        header,
        rebuild=lambda: _build(folder, architecture, config, stated.sample_shape, "cpu"),
        device=place,
        dtype=dtype,
    )
    if stated.class_names:
        generator.class_names = stated.class_names
    return generator.eval().requires_grad_(False)


def _check_class_names(folder: Path, names: tuple[str, ...], num_classes: int | None) -> None:
    if names and len(names) != num_classes:
        knows = "none" if num_classes is None else num_classes
        raise ModelFolderError(folder / CONFIG, f"names {len(names)} classes, but the model knows {knows}")


def _model_config(folder: Path, architecture: Architecture, values: dict[str, Any]) -> ModelConfig:
    config_class = architecture.config_class()
    try:
        return msgspec.convert(values, config_class)
    except Exception as error:  # a plugin's __post_init__ can fail in any way on values that it did not foresee
        problem = f"the configuration is not one of a {architecture.name}: {printable(error, 200)}"
        raise ModelFolderError(folder / CONFIG, problem) from error


def _build(
    folder: Path, architecture: Architecture, config: ModelConfig, sample_shape: tuple[int, ...], device: str
) -> Generator:
    """The generator of a configuration; torch's random state stays as it is."""
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
        problem = f"a {architecture.name} of this configuration cannot be built: {printable(error, 200)}"
        raise ModelFolderError(folder / CONFIG, problem) from error
    if shape != sample_shape:
        stated = printable(sample_shape, 80)
        raise ModelFolderError(folder / CONFIG, f"states samples of {stated}, but the model makes {shape}")
    return generator


def save(generator: Generator, folder: str | Path) -> Path:
    """What `Generator.save` does; see there."""
    from zoo_core import placement
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
    _check_class_names(folder, stated.class_names, generator.num_classes)
    # What is saved must load again: hours of training are lost in a folder that does not.
    config = _model_config(folder, architecture, stated.config)
    built = _build(folder, architecture, config, stated.sample_shape, "meta")
    problem = placement.differences(built, placement.facts_of(placement.stored_tensors(generator)))
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

    from zoo_core.placement import stored_tensors

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
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        # Nothing was replaced (on Windows weights cannot be while a loaded model maps them): the old model stays.
        if old_config.exists() and all(temporary.exists() for temporary in temporaries.values()):
            old_config.replace(config)
        for temporary in (*temporaries.values(), old_config):
            temporary.unlink(missing_ok=True)
