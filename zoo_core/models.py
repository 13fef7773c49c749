"""Models by name: the functions that `import zoo_core as zoo` offers. Look-ups import no torch."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core import modelfolder
from zoo_core.architecture import same_name
from zoo_core.errors import ModelFolderError, UnknownArchitectureError, ZooError, printable
from zoo_core.plugins import manager
from zoo_core.registries import ModelEntry, Registry, assemble, core_index, user_files

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Generator


@functools.cache
def registry() -> Registry:
    """Every model that is known: the core's index, then each plugin's, then the user's own registries.

    Read at the first call; `registry.cache_clear()` reads anew.

    Raises:
        RegistryError: for a registry of the user's that cannot be read.
    """
    plugin_files = [(info.distribution, info.registry_file) for info in manager().plugins if info.status == "ok"]
    return assemble(core_index(), [(name, file) for name, file in plugin_files if file is not None], user_files())


def list_models(pattern: str = "*") -> list[str]:
    """The names of the models that fit a glob, in order."""
    return [entry.name for entry in registry().find(pattern)]


def resolve(name: str | Path) -> tuple[Path, ModelEntry | None]:
    """The folder that a name stands for, and its registry entry where it has one.

    `name` is a registry name or alias, or a folder where it has a path separator in it, starts with `.` or `~`,
    or is a Path.

    Raises:
        UnknownModelError: for a name that no registry has.
        UnknownArchitectureError: where the model's plugin is not there; says which.
        ModelFolderError: where there is no such folder.
    """
    if isinstance(name, Path) or _is_folder(name):
        return _given_folder(Path(name)), None
    if name.startswith("hf://"):
        raise ZooError(f"{printable(name)}: this version does not read from the Hub; give a folder or a registry name")
    entry = registry()[name]
    check_plugin(entry)
    folder = entry.folder
    if folder is None:
        raise ZooError(f"{entry.name} is not bundled with its plugin, and this version does not read from the Hub")
    if not folder.is_dir():
        hint = f"; install {entry.plugin} again" if entry.name in core_index() else ""
        raise ModelFolderError(folder, f"the weights of {entry.name} are missing{hint}")
    return folder, entry


def check_plugin(entry: ModelEntry) -> None:
    """Raise UnknownArchitectureError, saying what to do, where the entry's architecture cannot be used here."""
    try:
        manager().architecture(entry.architecture)
    except UnknownArchitectureError as error:
        reason = str(error) if error.plugin is not None else _missing_plugin(entry) or str(error)
        raise UnknownArchitectureError(entry.architecture, f"{entry.name}: {reason}", error.plugin) from error


def _missing_plugin(entry: ModelEntry) -> str | None:
    """What keeps the plugin that the entry names from being used. Only the core's own index suggests installations."""
    if entry.plugin is None:
        return None
    info = manager().unusable(entry.plugin)
    if info is not None:
        return f"its plugin {info.distribution} is {info.status}: {info.problem}"
    if any(same_name(info.distribution) == same_name(entry.plugin) for info in manager().plugins):
        return None
    return f"it needs the plugin {printable(entry.plugin, 80)}, which is not installed"


def suggested_installation(entry: ModelEntry) -> str | None:
    """`pip install …` for an entry whose plugin is missing, where the core's own index vouches for that plugin."""
    if same_name(entry.architecture) in manager().architectures or entry.name not in core_index():
        return None
    plugin = core_index()[entry.name].plugin
    return f"pip install {plugin}" if plugin else None


def load(name: str | Path, *, device: str = "auto", dtype: torch.dtype | None = None) -> Generator:
    """Load a model by name or folder, ready to sample.

    Args:
        name: a registry name or alias, or a folder (a Path, or a text with a path separator in it).
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:N or mps.
        dtype: of the floating weights; the model's own by default.

    Returns:
        The generator in eval mode, without gradients, verified against its registry entry.

    Raises:
        UnknownModelError, UnknownArchitectureError, ModelFolderError, DigestError, DeviceError.
    """
    folder, entry = resolve(name)
    # Digests first: they need no torch, and a damaged file should be told before two seconds of import.
    if entry is not None:
        modelfolder.verify(folder, entry.files)
    modelfolder.inspect(folder)
    from zoo_core.devices import resolve_device

    return modelfolder.load(folder, device=resolve_device(device), dtype=dtype)


def pull(name: str) -> Path:
    """The folder of a model, every file verified against its registry entry. A bundled one lies in its plugin.

    Raises:
        UnknownModelError, UnknownArchitectureError, ModelFolderError, DigestError.
    """
    folder, entry = resolve(name)
    if entry is not None:
        modelfolder.verify(folder, entry.files)
    else:
        modelfolder.inspect(folder)
    return folder.resolve()


def _is_folder(name: str) -> bool:
    if name.startswith("hf://"):
        return False
    separators = {"/", os.sep, os.altsep or os.sep}
    # No model's name starts with these, so that `.` and `~` need no separator.
    return name.startswith((".", "~")) or any(separator in name for separator in separators)


def _given_folder(path: Path) -> Path:
    try:
        path = path.expanduser()
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFolderError(path, f"this is no path: {printable(reason)}") from error
    if not is_folder:
        raise ModelFolderError(path, "this is a file; give its folder" if there else "there is no such folder")
    return path
