"""Models by name or folder: `load` and `pull`. torch is imported only when one is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core import modelfolder
from zoo_core.catalog import check_plugin, registry
from zoo_core.errors import ModelFolderError, ZooError, printable
from zoo_core.registries import ModelEntry
from zoo_core.registries.address import SCHEME, parse_address
from zoo_core.registries.index import core_index

if TYPE_CHECKING:
    import torch

    from zoo_core.hub.pull import Job
    from zoo_core.interfaces import Generator


def resolve(name: str | Path, job: Job | None = None) -> tuple[Path, ModelEntry | None]:
    """The folder that a name stands for, and its registry entry where it has one.

    A model that is not bundled with its plugin is looked for in the Hub's cache, then on the Hub; its files are
    verified on the way. Those of other folders are not: `modelfolder.verify_files` does it.

    Args:
        name: a registry name or alias, `hf://user/repo[@revision]`, or a folder where it has a path separator in it,
            starts with `.` or `~`, or is a Path.
        job: who wants to know how far downloads are.

    Raises:
        UnknownModelError: for a name that no registry has.
        UnknownArchitectureError: where the model's plugin is not there; says which.
        ModelFolderError: where there is no such folder, or a file on the Hub is not the one that is stated.
        HubError: where the Hub does not give the model.
    """
    if isinstance(name, Path) or _is_folder(name):
        return _given_folder(Path(name)), None
    if name.startswith(SCHEME):
        from zoo_core.hub.pull import fetch_address

        return fetch_address(parse_address(name), job), None
    entry = registry()[name]
    check_plugin(entry)
    folder = entry.folder
    if entry.hub is not None and (folder is None or not folder.is_dir()):
        from zoo_core.hub.pull import fetch_entry

        return fetch_entry(_as_on_the_hub(entry), job), entry
    if folder is None:
        raise ZooError(f"{entry.name} is not bundled with its plugin, and its registry names no place on the Hub")
    if not folder.is_dir():
        hint = f"; install {entry.plugin} again" if entry.name in core_index() else ""
        raise ModelFolderError(folder, f"the weights of {entry.name} are missing{hint}")
    return folder, entry


def _as_on_the_hub(entry: ModelEntry) -> ModelEntry:
    """The entry with the files of its commit: those of a bundled model are the plugin's, with another README."""
    index = core_index()
    if entry.name in index and index[entry.name].hub == entry.hub and index[entry.name].files:
        return index[entry.name]
    return entry


def load(name: str | Path, *, device: str = "auto", dtype: torch.dtype | None = None) -> Generator:
    """Load a model by name or folder, ready to sample; one that is not here yet is pulled from the Hub.

    Args:
        name: a registry name or alias, `hf://user/repo[@revision]`, or a folder (a Path, or a text with a path
            separator in it).
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:N or mps.
        dtype: of the floating weights; the model's own by default.

    Returns:
        The generator in eval mode, without gradients, verified against its registry entry.

    Raises:
        UnknownModelError: for a name that no registry has.
        UnknownArchitectureError: where the plugin is not installed.
        ModelFolderError: for a folder that is no model, or cannot be trusted.
        DigestError: where a file is not the one that the registry states.
        HubError: where the Hub does not give it.
        DeviceError: for a device that is not here.
    """
    # Digests first: they need no torch, and a damaged file should be told before two seconds of import.
    folder, _ = verified(name)
    from zoo_core.runtime.devices import resolve_device

    return modelfolder.load(folder, device=resolve_device(device), dtype=dtype)


def pull(name: str) -> Path:
    """The folder of a model, every file verified against its registry entry.

    A bundled model lies in its plugin; any other comes from the Hub into its cache, unless it is there already.

    Raises:
        UnknownModelError, UnknownArchitectureError, ModelFolderError, DigestError, HubError: as `load`.
    """
    return verified(name)[0].resolve()


def pull_all(names: Sequence[str], job: Job | None = None) -> list[Path]:
    """The folders of several models, as `pull` gives them, downloaded side by side. Raises the first failure."""
    from zoo_core.hub.pull import Job, side_by_side

    for name in names:  # a name that nobody knows is told before anything is downloaded
        if not (_is_folder(name) or name.startswith(SCHEME)):
            check_plugin(registry()[name])
    job = job or Job()
    found = side_by_side(lambda name: verified(name, job), names, job, workers=4)
    return [folder.resolve() for folder, _ in found]


def verified(name: str | Path, job: Job | None = None) -> tuple[Path, ModelEntry | None]:
    """What `resolve` gives, every file that the entry lists compared with it, and the folder fit to be loaded.

    Raises as `resolve`, and DigestError.
    """
    folder, entry = resolve(name, job)
    if entry is not None and folder == entry.folder:
        modelfolder.verify_files(folder, entry.files)  # what comes from the Hub is verified as it comes
    modelfolder.inspect(folder)
    return folder, entry


def _is_folder(name: str) -> bool:
    if name.startswith(SCHEME):
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
