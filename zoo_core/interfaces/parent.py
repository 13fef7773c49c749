"""Parent: the model whose weights a training run starts from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The model whose weights a training run starts from, as run.json records it.

    Attributes:
        name: a registry name, hf://user/repo[@revision], or the name of a folder, without the way to it.
        sha256: digest of its model.safetensors.
        discriminator_sha256: digest of its discriminator.safetensors; None if it has none.
        class_names: the names of its classes, in the order of their labels.
        repository: its repository on the Hub, user/repo; None if it is not from there.
        revision: the commit in that repository, if it is known.
        matching: whether the run takes only what fits.
        architecture: its architecture; when a run is resumed, that of the run.
        config: the fields of its configuration; when a run is resumed, those of the run.
        folder: where it is on this machine; None when a run is resumed, which needs its weights no more.

    Example:
        >>> parent = Parent(name="dcgan-emoji-64", sha256="ab" * 32)
        >>> parent.repository is None, parent.matching
        (True, False)
    """

    name: str
    sha256: str
    discriminator_sha256: str | None = None
    class_names: tuple[str, ...] = ()
    repository: str | None = None
    revision: str | None = None
    matching: bool = False
    architecture: str | None = None
    config: dict[str, Any] | None = None
    folder: Path | None = None

    @property
    def title(self) -> str:
        """The name, with enough of the digest to tell two models of one name apart.

        Example:
            >>> Parent(name="mine", sha256="0" * 64).title
            'mine (sha256 000000000000)'
        """
        return f"{self.name} (sha256 {self.sha256[:12]})"
