"""A model on disk: config.json and model.safetensors, loaded strictly and saved whole.

Nothing is trusted on the way in: config.json and the header of the weights are checked before torch is imported,
the model is built on the meta device, and names, shapes and dtypes are compared before a weight is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from zoo_core import strictjson
from zoo_core.atomic import atomic_folder, sync_folder, temporary_sibling
from zoo_core.errors import (
    DigestError,
    InterfaceError,
    ModelFolderError,
    OutputError,
    UnknownArchitectureError,
    ZooError,
    printable,
)
from zoo_core.weightfile import TensorFacts, read_header

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from zoo_core.architecture import Architecture, ModelConfig
    from zoo_core.interfaces import Discriminator, Generator
    from zoo_core.registries import FileFacts

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
MAX_CONFIG_BYTES = 2**20
_LISTED = 8  # names of tensors that an error spells out


class FolderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What config.json says. `config` is the architecture's own, not validated yet."""

    format: Literal[1]
    architecture: str
    config: dict[str, Any]
    sample_shape: tuple[int, ...]
    plugin: str
    plugin_version: str


def read_config(folder: Path) -> FolderConfig:
    """config.json of a model folder, decoded strictly. Raises ModelFolderError."""
    path = folder / CONFIG
    try:
        return msgspec.convert(strictjson.decode(_read_small(path)), FolderConfig)
    except strictjson.JSONProblemError as error:
        raise ModelFolderError(path, str(error)) from error
    except msgspec.ValidationError as error:
        raise ModelFolderError(path, printable(error, 200)) from error


def _read_small(path: Path) -> bytes:
    if not path.parent.is_dir():
        raise ModelFolderError(path.parent, "is not a folder")
    if not path.is_file():
        raise ModelFolderError(path.parent, f"is not a model folder: it has no {path.name}")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelFolderError(path, f"is larger than {MAX_CONFIG_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error


def inspect(folder: Path) -> tuple[FolderConfig, dict[str, TensorFacts]]:
    """Check config.json and the header of the weights without importing torch. Raises ModelFolderError."""
    return read_config(folder), read_header(folder / WEIGHTS)


def verify(folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Compare files of a folder with their stated size and sha256.

    Raises:
        DigestError: for another content. ModelFolderError: for a missing file or another size.
    """
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            raise ModelFolderError(path, "is missing, but the registry lists it")
        size = path.stat().st_size
        if size != facts.size:
            raise ModelFolderError(path, f"has {size:,} bytes, but the registry states {facts.size:,}")
        found = file_sha256(path)
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
        device: where to put the weights. dtype: of the floating weights; the stored one by default.
        files: sizes and digests to verify first, as a registry entry states them.

    Returns:
        The generator in eval mode, without gradients. On the CPU its weights are mapped from the file.

    Raises:
        ModelFolderError, UnknownArchitectureError, PluginError.
    """
    folder = Path(folder).expanduser()
    stated, header = inspect(folder)
    if files:
        verify(folder, files)

    from zoo_core.plugins import manager

    try:
        architecture = manager().architecture(stated.architecture)
    except UnknownArchitectureError as error:
        message = f"{folder / CONFIG}: {error} (the folder names the plugin {printable(stated.plugin)})"
        raise UnknownArchitectureError(error.name, message, error.plugin) from error
    config = _decode_model_config(folder, architecture, stated.config)
    generator = _build_on_meta(folder, architecture, config, stated.sample_shape)
    _compare(folder / WEIGHTS, generator, header)
    return _read_weights(folder / WEIGHTS, generator, config, device, dtype)


def _decode_model_config(folder: Path, architecture: Architecture, values: dict[str, Any]) -> ModelConfig:
    config_class = architecture.config_class()
    try:
        return msgspec.convert(values, config_class)
    except ValueError as error:  # msgspec's ValidationError is one
        problem = f"the configuration is not one of a {architecture.name}: {printable(error, 200)}"
        raise ModelFolderError(folder / CONFIG, problem) from error


def _build_on_meta(
    folder: Path, architecture: Architecture, config: ModelConfig, sample_shape: tuple[int, ...]
) -> Generator:
    import torch

    generator_class = architecture.generator_class()
    try:
        with torch.device("meta"):
            generator = generator_class(config)
        shape = tuple(generator.sample_shape)
    except ZooError:
        raise
    except Exception as error:  # a plugin's constructor can fail in any way on a configuration it did not foresee
        raise ModelFolderError(
            folder / CONFIG, f"a {architecture.name} of this configuration cannot be built: {printable(error, 200)}"
        ) from error
    if shape != tuple(sample_shape):
        raise ModelFolderError(folder / CONFIG, f"states samples of {tuple(sample_shape)}, but the model makes {shape}")
    return generator


def _dtype_names() -> dict[torch.dtype, str]:
    import torch

    return {
        torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.int32: "I32",
        torch.int64: "I64", torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32",
        torch.float64: "F64", torch.complex64: "C64",
    }  # fmt: skip


def _compare(path: Path, generator: Generator, header: Mapping[str, TensorFacts]) -> None:
    """Refuse weights that are not exactly the model's, naming what is missing, unexpected and misshapen."""
    names = _dtype_names()
    expected = _stored_tensors(generator)
    wrong = []
    for name in expected.keys() & header.keys():
        tensor, facts = expected[name], header[name]
        # Half precision on disk is a smaller file of the same model; it is widened when it is read.
        dtypes = {names.get(tensor.dtype)} | ({"F16", "BF16"} if tensor.dtype.is_floating_point else set())
        if tuple(tensor.shape) != facts.shape or facts.dtype not in dtypes:
            stored, built = f"{facts.dtype} {list(facts.shape)}", f"{names.get(tensor.dtype)} {list(tensor.shape)}"
            wrong.append(f"{printable(name)} ({stored}, not {built})")
    problems = [
        f"{kind} {_some(found)}"
        for kind, found in (
            ("missing", expected.keys() - header.keys()),
            ("unexpected", header.keys() - expected.keys()),
            ("misshapen", wrong),
        )
        if found
    ]
    if problems:
        raise ModelFolderError(path, f"the weights do not fit the configuration: {'; '.join(problems)}")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(printable(name, 160) for name in names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more


def _stored_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The module's state by name; of tensors that share memory (tied weights) only the first."""
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            stored[name] = tensor
    return stored


def _read_weights(
    path: Path, generator: Generator, config: ModelConfig, device: str | torch.device, dtype: torch.dtype | None
) -> Generator:
    import torch
    from safetensors import SafetensorError, safe_open

    stored = _stored_tensors(generator)
    if _has_unstored_meta(generator, stored):
        # Tables that the constructor computes and that are not stored need a real construction.
        with torch.random.fork_rng(devices=[]):
            generator = type(generator)(config)
    weights: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name, tensor in stored.items():
                weights[name] = file.get_tensor(name).to(tensor.dtype)
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(path, f"cannot be read: {printable(error, 200)}") from error
    _assign(generator, weights)
    generator.to(device=device, dtype=dtype)
    generator.eval().requires_grad_(False)
    left = [name for name, tensor in _all_tensors(generator) if tensor.is_meta]
    if left:
        raise InterfaceError(f"{type(generator).__qualname__} leaves {_some(left)} without values after loading")
    return generator


def _assign(generator: Generator, weights: dict[str, Tensor]) -> None:
    """Put each stored tensor in place under every name that it has in the model."""
    first_name: dict[int, str] = {}
    for name, tensor in generator.state_dict(keep_vars=True).items():
        first_name.setdefault(id(tensor), name)
    ties = [
        [name for name, tensor in generator.state_dict(keep_vars=True).items() if id(tensor) == identity]
        for identity in first_name
    ]
    state = {name: weights[names[0]] for names in ties for name in names}
    generator.load_state_dict(state, strict=True, assign=True)
    for names in ties:
        for name in names[1:]:
            owner, _, attribute = name.rpartition(".")
            source_owner, _, source = names[0].rpartition(".")
            setattr(generator.get_submodule(owner), attribute, getattr(generator.get_submodule(source_owner), source))


def _has_unstored_meta(generator: Generator, stored: Mapping[str, Tensor]) -> bool:
    identities = {id(tensor) for tensor in stored.values()}
    return any(tensor.is_meta and id(tensor) not in identities for _, tensor in _all_tensors(generator))


def _all_tensors(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters, buffers (persistent or not) and plain tensor attributes, with their names."""
    import torch

    yield from module.named_parameters()
    yield from module.named_buffers()
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                yield f"{name}.{attribute}".lstrip("."), value


def save(generator: Generator, folder: str | Path) -> Path:
    """What `Generator.save` does; see there."""
    from zoo_core.plugins import manager

    architecture, plugin = manager().architecture_of(type(generator))
    config = {
        "format": 1,
        "architecture": architecture.name,
        "config": msgspec.to_builtins(generator.config),
        "sample_shape": list(generator.sample_shape),
        "plugin": plugin.distribution,
        "plugin_version": plugin.version,
    }
    text = msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
    # config.json comes last: until it is there, the folder is not a model.
    return _write(Path(folder), {WEIGHTS: _safetensors(generator), CONFIG: text})


def save_discriminator(discriminator: Discriminator, folder: str | Path) -> Path:
    """Write discriminator.safetensors into a model folder, to continue training from. Raises OutputError."""
    return _write(Path(folder), {DISCRIMINATOR: _safetensors(discriminator)})


def _safetensors(module: nn.Module) -> bytes:
    from safetensors.torch import save as to_bytes

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _stored_tensors(module).items()}
    return to_bytes(tensors)


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder = folder.expanduser()
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
    """Replace files of a folder that stays. All are written before any is replaced, and an old config.json goes
    before the weights it belongs to, so that a kill at any moment leaves the old model, the new one, or none."""
    temporaries = {name: temporary_sibling(folder / name) for name in files}
    try:
        for name, data in files.items():
            with temporaries[name].open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if CONFIG in files:
            (folder / CONFIG).unlink(missing_ok=True)
        for name, temporary in temporaries.items():
            temporary.replace(folder / name)
        sync_folder(folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
