"""Models by name or folder: `load` and `pull`. torch is imported only when a model is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core import modelfolder
from zoo_core.catalog import check_plugin, registry
from zoo_core.errors import ModelFolderError, UnknownModelError, ZooError, printable
from zoo_core.files.paths import user_path
from zoo_core.registries import ModelEntry
from zoo_core.registries.address import SCHEME, parse_address, suggested_address
from zoo_core.registries.index import core_index

if TYPE_CHECKING:
    import torch

    from zoo_core.hub.downloading import Job
    from zoo_core.interfaces import Generator


def resolve(name: str | Path, job: Job | None = None) -> tuple[Path, ModelEntry | None]:
    """Return the folder that a name refers to, and its registry entry if it has one.

    A model that is not bundled with its plugin is looked for in the Hub's cache, then on the Hub; its files are
    verified on the way. Files of other folders are not verified here: `modelfolder.verify_files` does it.

    Args:
        name: a registry name or alias, `hf://user/repo[@revision]`, or a folder: a Path, or a string that contains a
            path separator or starts with `.` or `~`.
        job: receives the progress of downloads.

    Raises:
        UnknownModelError: if no registry has the name.
        UnknownArchitectureError: if the model's plugin is missing; says which one it is.
        ModelFolderError: if there is no such folder, or a file on the Hub is not the recorded one.
        HubError: if the model cannot be downloaded.
    """
    if isinstance(name, Path) or is_folder(name):
        return _given_folder(name), None
    if name.startswith(SCHEME):
        from zoo_core.hub.pull import fetch_address

        return fetch_address(parse_address(name), job), None
    entry = find_entry(name)
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


def find_entry(name: str) -> ModelEntry:
    """Return the entry of a name or an alias.

    Raises:
        UnknownModelError: if no registry has it; says where a folder of that name would be written differently.
    """
    try:
        return registry()[name]
    except UnknownModelError as error:
        if name and Path(name).is_dir():
            raise UnknownModelError(
                name, error.suggestions, f"the folder of that name is ./{printable(name)}"
            ) from None
        raise


def _as_on_the_hub(entry: ModelEntry) -> ModelEntry:
    """Return the entry with the files of its commit. Those of a bundled model are the plugin's, with another README."""
    index = core_index()
    if entry.name in index and index[entry.name].hub == entry.hub and index[entry.name].files:
        return index[entry.name]
    return entry


def load(name: str | Path, *, device: str = "auto", dtype: torch.dtype | None = None) -> Generator:
    """Load a model by name or folder, ready to sample. A model that is not on this machine is pulled from the Hub.

    Args:
        name: a registry name or alias, `hf://user/repo[@revision]`, or a folder: a Path, or a string that contains a
            path separator or starts with `.` or `~`.
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:N or mps.
        dtype: dtype of the floating-point weights; by default the stored one.

    Returns:
        The generator in eval mode, without gradients, verified against its registry entry.

    Raises:
        UnknownModelError: if no registry has the name.
        UnknownArchitectureError: if the plugin is not installed.
        ModelFolderError: if the folder is not a model, or cannot be trusted.
        DigestError: if a file is not the one that the registry states.
        HubError: if the model cannot be downloaded.
        DeviceError: if this machine does not have the device.

    Example:
        >>> import zoo_core as zoo
        >>> vae = zoo.load("vae-mlp-mnist", device="cpu")
        >>> samples = vae.sample(2, seed=1)
        >>> samples.shape, bool(samples.min() >= 0), bool(samples.max() <= 1)
        (torch.Size([2, 1, 28, 28]), True, True)
    """
    # Digests first: they need no torch, and a damaged file is reported before the two seconds that its import takes.
    folder, _ = verified(name)
    from zoo_core.runtime.devices import resolve_device

    return modelfolder.load(folder, device=resolve_device(device), dtype=dtype)


def pull(name: str) -> Path:
    """Return the folder of a model, with every file verified against its registry entry.

    The folder of a bundled model is in its plugin's package. Any other model is downloaded into the Hub's cache, unless
    it is there already.

    Args:
        name: as in `load`.

    Returns:
        An absolute path.

    Raises:
        UnknownModelError, UnknownArchitectureError, ModelFolderError, DigestError, HubError: as `load`.

    Example:
        >>> import zoo_core as zoo
        >>> (zoo.pull("vae-mlp-mnist") / "model.safetensors").is_file()
        True
    """
    return verified(name)[0].resolve()


def pull_all(names: Sequence[str], job: Job | None = None) -> list[Path]:
    """Return the folders of several models, as `pull` does, with concurrent downloads. Raises the first failure."""
    from zoo_core.hub.downloading import Job
    from zoo_core.hub.pull import side_by_side

    for name in names:  # an unknown name is reported before anything is downloaded
        if not (is_folder(name) or name.startswith(SCHEME)):
            check_plugin(find_entry(name))
    job = job or Job()
    models = side_by_side(lambda name: verified(name, job), names, job, workers=4)
    return [folder.resolve() for folder, _ in models]


def verified(name: str | Path, job: Job | None = None) -> tuple[Path, ModelEntry | None]:
    """Return what `resolve` does, once the files are compared with the entry and the folder can be loaded.

    Raises:
        UnknownModelError, UnknownArchitectureError, ModelFolderError, HubError: as `resolve`.
        DigestError: if a file is not the one that the entry states.
    """
    folder, entry = resolve(name, job)
    if entry is not None and folder == entry.folder:
        modelfolder.verify_files(folder, entry.files)  # files from the Hub are verified when they are downloaded
    modelfolder.inspect(folder)
    return folder, entry


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder: it contains a path separator or starts with `.` or `~`.

    Example:
        >>> is_folder("./mine"), is_folder("vae-mnist"), is_folder("hf://alice/digits")
        (True, False, False)
    """
    if name.startswith(SCHEME):
        return False
    separators = {"/", os.sep, os.altsep or os.sep}
    # No name of a model starts with these, so that `.` and `~` can stand alone.
    return name.startswith((".", "~")) or any(separator in name for separator in separators)


def _given_folder(name: str | Path) -> Path:
    path = user_path(name)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except OSError as error:  # too long a name
        raise ModelFolderError(path, f"not a valid path: {printable(error.strerror)}") from error
    if not is_folder:
        meant = suggested_address(str(name))
        hint = f"; a repository on the Hub is written {meant}" if meant else ""
        raise ModelFolderError(path, "this is a file; give its folder" if exists else f"there is no such folder{hint}")
    return path
