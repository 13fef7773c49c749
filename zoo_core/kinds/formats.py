"""Formats: the forms in which a kind of the core is written, in one table for each kind.

To add one, write its function, and one for a share of the samples if several processes can write it together; then
enter it in the FORMATS of the kind: checks, messages and help texts follow from there. Nothing here imports torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from zoo_core.errors import SamplingError
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator
    from zoo_core.runtime.processes import Processes

FOLDER = "/"  # the suffix that stands for a folder
Problem = Callable[[int, "tuple[int, ...] | None"], "str | None"]


def no_problem(n: int, sample_shape: tuple[int, ...] | None) -> None:
    """Whatever the number of samples and their shape, they can be written."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One of the forms in which samples are written.

    Attributes:
        words: what it is, in a few words.
        write: called with batches as arrays (N, *item_shape), the layout, and the path.
        write_share: called by each of several processes, with the index of its first sample and the processes; None
            where one process writes the samples of all.
        problem: called with the number of samples and their shape, if that is known; says why they cannot be written.
    """

    words: str
    write: Callable[[Iterable[np.ndarray], Layout, Path], None]
    write_share: Callable[[Iterable[np.ndarray], int, Layout, Path, Processes], None] | None = None
    problem: Problem = no_problem


class KindWithFormats(Kind):
    """A kind whose formats stand in a table, by suffix: the keys of `suffixes` and of `formats` are the same."""

    formats: ClassVar[Mapping[str, Format]]

    @abstractmethod
    def as_arrays(self, batches: Iterable[Tensor]) -> Iterator[np.ndarray]:
        """Batches of samples (N, *sample_shape) as they are written, (N, *item_shape)."""

    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path, *, start: int = 0) -> Path:
        """Write samples as the suffix of the path asks for, whole or not at all."""
        layout = Layout(self.name, tuple(generator.sample_shape), n, start)
        self._format_of(path).write(self.as_arrays(exactly(n, batches)), layout, path)
        return path

    def write_share(
        self,
        batches: Iterable[Tensor],
        first: int,
        n: int,
        generator: Generator,
        path: Path,
        processes: Processes,
        *,
        start: int = 0,
    ) -> None:
        """Write this process's samples of an output that all processes make together, where its format can.

        Args:
            batches: the samples of this process.
            first: the index of the first of them.
            n: number of samples of all processes.
            start: index of the first sample of all.
        """
        format = self._format_of(path)
        assert format.write_share is not None
        layout = Layout(self.name, tuple(generator.sample_shape), n, start)
        format.write_share(self.as_arrays(batches), first, layout, path, processes)

    def problem_with_output(self, suffix: str, n: int, sample_shape: tuple[int, ...] | None) -> str | None:
        return self.formats[suffix].problem(n, sample_shape)

    def _format_of(self, path: Path) -> Format:
        return self.formats[suffix_of(path, self.suffixes) or FOLDER]


def words_of(formats: Mapping[str, Format]) -> dict[str, str]:
    """Return what the `suffixes` of a kind with these formats are."""
    return {suffix: format.words for suffix, format in formats.items()}


def suffix_of(name: str | Path, suffixes: Iterable[str]) -> str | None:
    """Return the one of `suffixes` in which a name ends, in capitals or not; the longest, and None if there is none.

    Example:
        >>> suffix_of("a.PNG", [".png", "/"]), suffix_of("digits", [".png", "/"])
        ('.png', None)
    """
    own = Path(name).name.lower()
    ends = [suffix for suffix in suffixes if own.endswith(suffix) and own != suffix]
    return max(ends, key=len, default=None)


def exactly(n: int, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the batches, as long as they hold n samples: the header of an .npz, already written, says so.

    Raises:
        SamplingError: if there are more or fewer.
    """
    count = 0
    for batch in batches:
        count += len(batch)
        if count > n:
            break
        yield batch
    if count != n:
        raise SamplingError(f"there are {'more' if count > n else 'fewer'} samples than the {n:,} requested")
