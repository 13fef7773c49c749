"""Verifying: the files of a model folder against the sizes and digests that a registry states. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zoo_core.errors import DigestError, ModelFolderError, printable
from zoo_core.files.digests import file_sha256
from zoo_core.files.paths import stays_inside
from zoo_core.modelfolder.layout import CONFIG, WEIGHTS
from zoo_core.registries import FileFacts


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
