"""Output of samples of any kind: what `-o` may name, and a file or folder that appears whole or not at all.

Nothing here imports torch, so that a mistake in a name is reported at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import InterfaceError, OutputError, printable
from zoo_core.files.atomic import protected_output
from zoo_core.files.paths import user_path
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.formats import FOLDER, exactly, suffix_of
from zoo_core.kinds.optional_arguments import takes

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator

_NAME = "samples"  # of the output while it is written


@dataclass(frozen=True)
class Output:
    """An output that can be written.

    Attributes:
        kind: of the samples.
        suffix: the one of the kind's suffixes that the name ends in.
        path: of the file or folder.
    """

    kind: Kind
    suffix: str
    path: Path

    @property
    def name_while_written(self) -> str:
        """A name with the suffix in lower case, and none for a folder, whatever the user has called it."""
        return _NAME if self.suffix == FOLDER else f"{_NAME}{self.suffix}"

    def protected(self, token: str | None = None) -> AbstractContextManager[Path]:
        """Yield where the output is written before it is renamed, as `files.atomic.protected_output` does."""
        return protected_output(self.path, self.name_while_written, token=token)


def check_output(
    out: str | Path, kind: Kind | None, count: int, sample_shape: tuple[int, ...] | None = None
) -> Output | None:
    """Return the output that a name stands for; None as long as the kind is not known, and little can be checked.

    Args:
        out: a name in one of the kind's suffixes, or of a folder: one without a suffix, with a slash at its end, or an
            empty folder that exists.
        kind: the kind of the samples; None if it is not known yet.
        count: number of samples.
        sample_shape: the shape of one sample; None if it is not known yet.

    Raises:
        OutputError: for a suffix, a number or a shape of samples, or a place that cannot be written.

    Example:
        >>> check_output("digits.png", kind_named("image"), 64).suffix
        '.png'
    """
    path, shown = user_path(out), printable(out, 200)
    if kind is None:
        _check_parent(shown, path)
        return None
    suffix = _suffix_asked_for(out, path, kind)
    if suffix is None or suffix not in kind.suffixes:
        made = printable(kind.noun[1], 40)
        raise OutputError(f"{shown} cannot be written: this model makes {made}; use a name {names_of_outputs(kind)}")
    _check_place(shown, path, suffix == FOLDER)
    problem = kind.problem_with_output(suffix, count, sample_shape)
    if problem is not None:
        fitting = [one for one in kind.suffixes if kind.problem_with_output(one, count, sample_shape) is None]
        use = f"; use a name {names_of_outputs(kind, fitting)}" if fitting else ""
        raise OutputError(f"{shown} cannot be written: {problem}{use}")
    return Output(kind, suffix, path)


def write_samples(batches: Iterable[Tensor], n: int, generator: Generator, out: str | Path, *, start: int = 0) -> Path:
    """Write n samples of a generator, as they come, in the form that the name asks for.

    Memory is bounded by what the kind keeps; those of the core keep one batch, and the picture of a grid. Nothing
    half-written stays behind, whatever the kind's `write` does.

    Args:
        batches: (N, *sample_shape) each, as `Generator.sample` returns them, n samples in all.
        generator: the model that they are from.
        out: as for `check_output`.
        start: index of the first sample.

    Returns:
        The path that was written.

    Raises:
        OutputError: if it cannot be written. SamplingError: if there are more or fewer than n samples.
        InterfaceError: if the kind writes something else, or leaves samples out.
    """
    output = check_output(out, kind_named(generator.kind), n, generator.sample_shape)
    assert output is not None
    with output.protected() as place:
        write_at(place, output, batches, n, generator, start)
    return output.path


def write_at(
    place: Path, output: Output, batches: Iterable[Tensor], n: int, generator: Generator, start: int = 0
) -> None:
    """Let the kind write samples to a place that is renamed later, and check that it did. Raises as `write_samples`."""
    kind, taken = output.kind, 0

    def counted() -> Iterator[Tensor]:
        nonlocal taken
        for batch in exactly(n, batches):
            taken += len(batch)
            yield batch

    numbered = {"start": start} if takes(kind.write, "start") else {}
    with _told_of(output.path, place):
        kind.write(counted(), n, generator, place, **numbered)
    if taken != n:
        raise InterfaceError(f"the kind {kind.name!r} wrote {taken:,} of {n:,} samples: write must take all of them")
    if not (place.is_dir() if output.suffix == FOLDER else place.is_file()):
        made = "folder" if output.suffix == FOLDER else "file"
        raise InterfaceError(
            f"the kind {kind.name!r} wrote no {made}: write must leave one at the path that it is given"
        )


def names_of_outputs(kind: Kind, suffixes: Iterable[str] | None = None) -> str:
    """How to name an output of a kind, for a text that begins with "a name".

    Example:
        >>> names_of_outputs(kind_named("image"), [".png", ".npz", "/"])
        'in .png (a grid), in .npz (an array), or of a folder (PNG files)'
    """
    names = []
    for suffix in kind.suffixes if suffixes is None else suffixes:
        words = printable(kind.suffixes[suffix], 80)
        names.append((f"in {suffix}" if suffix != FOLDER else "of a folder") + (f" ({words})" if words else ""))
    *first, last = names
    return f"{', '.join(first)}{',' * (len(first) > 1)} or {last}" if first else last


def default_output(kind: Kind, stem: str) -> str:
    """Return the name of an output that the user does not name.

    Example:
        >>> default_output(kind_named("image"), "dcgan-mnist")
        'dcgan-mnist.png'
    """
    return f"{stem}{next(iter(kind.suffixes))}"


def _suffix_asked_for(out: str | Path, path: Path, kind: Kind) -> str | None:
    if str(out).endswith(("/", os.sep)):
        return FOLDER
    return suffix_of(path, kind.suffixes) or (FOLDER if not path.suffix or path.is_dir() else None)


def _check_parent(shown: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"{shown} cannot be written: there is no folder {printable(path.parent, 200)}")


def _check_place(shown: str, path: Path, is_folder: bool) -> None:
    _check_parent(shown, path)
    if not is_folder and path.is_dir():
        raise OutputError(f"{shown} cannot be written: it is a folder")
    if is_folder and os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{shown} cannot be written: it exists already and is not an empty folder")


@contextlib.contextmanager
def _told_of(path: Path, place: Path) -> Iterator[None]:
    """Let an OutputError of the block name the output, and not the place where it is written before."""
    try:
        yield
    except OutputError as error:
        if isinstance(error.__cause__, OSError):
            raise OutputError.unwritable(path, error.__cause__) from error.__cause__
        raise OutputError(str(error).replace(printable(place), printable(path))) from error
