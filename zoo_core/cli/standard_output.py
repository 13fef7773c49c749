"""Samples on stdout, for `-o -`: the bytes of the file that their kind writes by default, and nothing else."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import OutputError
from zoo_core.interfaces.plugin_output import plugin_output_on_stderr
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.formats import FOLDER
from zoo_core.kinds.output import check_output, write_samples
from zoo_core.runtime.environment import process_count

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Generator, Kind

STDOUT = "-"  # what stands for it in place of a name; a file of that name is ./-


def check_stdout(kind: Kind | None, count: int, sample_shape: tuple[int, ...] | None = None) -> None:
    """Raise OutputError if samples cannot be written to stdout.

    Args:
        kind: the kind of the samples; None if it is not known yet.
        count: number of samples.
        sample_shape: the shape of one sample; None if it is not known yet.
    """
    if sys.stdout.isatty():
        raise OutputError("-o - writes a file to stdout, which is a terminal here; redirect it, or use -o NAME")
    if process_count() > 1:
        raise OutputError("-o - is for one process; several write together with -o NAME")
    if kind is not None:
        check_output(_file_name(kind), kind, count, sample_shape)


def write_to_stdout(batches: Iterable[Tensor], n: int, generator: Generator, *, start: int = 0) -> None:
    """Write n samples, as `write_samples` does, and copy the whole file to stdout. Raises as `write_samples`."""
    stdout = sys.stdout.buffer  # of this process: what a model prints must not end up in the file
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        out = Path(folder, _file_name(kind_named(generator.kind)))
        with plugin_output_on_stderr():
            path = write_samples(batches, n, generator, out, start=start)
        with path.open("rb") as file:
            shutil.copyfileobj(file, stdout)
            stdout.flush()


def _file_name(kind: Kind) -> str:
    """The name of a file in the first suffix of a kind that is not a folder."""
    suffixes = [suffix for suffix in kind.suffixes if suffix != FOLDER]
    if not suffixes:
        raise OutputError("-o - writes a file, and samples of this kind are written to folders only; use -o NAME/")
    return f"samples{suffixes[0]}"
