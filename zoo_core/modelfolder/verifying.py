"""Verifying the files of a model folder against the sizes and digests in a registry. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zoo_core.errors import DigestError, ModelFolderError, printable
from zoo_core.files.digests import file_sha256
from zoo_core.files.paths import stays_inside
from zoo_core.modelfolder.layout import CONFIG, WEIGHTS
from zoo_core.registries import FileFacts


def verify_files(folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Compare files of a folder with their stated size and sha256. Symbolic links (the Hub's cache) are followed.

    Raises:
        DigestError: where a file has another sha256.
        ModelFolderError: where a file is missing or has another size, where a name leads out of the folder, or where
            the registry states nothing about a file that loading reads.
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
            sha256 = file_sha256(path)
        except OSError as error:
            raise ModelFolderError(path, f"cannot be read: {error.strerror or error}") from error
        if sha256 != facts.sha256:
            raise DigestError(path, facts.sha256, sha256)
