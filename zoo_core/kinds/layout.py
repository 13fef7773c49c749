"""The layout of samples in a file: how many there are, and the shape and type of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """What is written of `count` samples.

    Attributes:
        kind: the kind of the generator.
        sample_shape: (channels, height, width) for pictures.
        count: number of samples.
        start: index of the first sample, for files that are numbered.
        values: the type of the values in the file, as numpy writes it; None if the first batch decides.

    Example:
        >>> Layout("image", (3, 32, 32), 64).item_shape
        (32, 32, 3)
    """

    kind: str
    sample_shape: tuple[int, ...]
    count: int
    start: int = 0
    values: str | None = None

    @property
    def item_shape(self) -> tuple[int, ...]:
        """The shape of one sample in the file: pictures have their channels last."""
        return (*self.sample_shape[1:], self.sample_shape[0]) if self.kind == "image" else self.sample_shape

    @property
    def dtype(self) -> str:
        """The type of the values in the file; where none is stated, 8 bits for pictures, else float32."""
        return self.values or ("|u1" if self.kind == "image" else "<f4")
