"""Kind: what samples are, such as pictures or sounds, and how they are read, written and shown. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from zoo_core.data.source import DataSource, ReadSource
from zoo_core.errors import DataError, printable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.data.training_data import TrainingData
    from zoo_core.interfaces.generator import Generator


class Kind(ABC):
    """A kind of samples. `Generator.kind` names it, and a plugin adds its own with the hook `zoo_kinds`.

    Attributes:
        name: lower-case letters, digits, `-` and `_`; `-` and `_` compare equal.
        noun: what one sample is called, in the singular and the plural, for messages: ("picture", "pictures").
        pipeline_tag: the task under which the Hub lists models of this kind; None for no task.
        suffixes: what `-o` may end in, in lower case, with a few words for each: {".wav": "one after the other"}; "/"
            is a folder. The first one is the default.
        codes: whether values are codes, as those of letters: two of them are the same or not, and nothing in between.

    Example:
        >>> class Chords(Kind):
        ...     name, noun = "chords", ("chord", "chords")
        ...     suffixes = {".csv": "one a line"}
        ...
        ...     def write(self, batches, n, generator, path):
        ...         lines = [",".join(map(str, chord.tolist())) for batch in batches for chord in batch]
        ...         path.write_text("\\n".join(lines))
        ...         return path
        >>> Chords().pipeline_tag is None
        True
    """

    name: ClassVar[str]
    noun: ClassVar[tuple[str, str]] = ("sample", "samples")
    pipeline_tag: ClassVar[str | None] = None
    suffixes: ClassVar[Mapping[str, str]]
    codes: ClassVar[bool] = False

    @abstractmethod
    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path) -> Path:
        """Write n samples as they come.

        The core calls it with a path beside the output that the user named, and renames what is there when it returns:
        the output appears complete or not at all, whatever `write` raises. The folder of the path exists, and suffix,
        place and number of samples have been checked. A kind that numbers its files takes `*, start=0` as well, the
        index of the first sample.

        Args:
            batches: (N, *sample_shape) each, as `Generator.sample` returns them; n samples in all.
            n: number of samples.
            generator: the model that they are from.
            path: the file, which ends in one of `suffixes`, or the folder to create, which has no suffix.

        Returns:
            The path that was written.

        Raises:
            OutputError: if it cannot be written.

        Example:
            >>> import tempfile, torch
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = Chords().write([torch.tensor([[60, 64, 67]])], 1, None, Path(folder, "a.csv"))
            ...     path.read_text()
            '60,64,67'
        """

    def picture(self, samples: Tensor, generator: Generator) -> np.ndarray | None:
        """Show samples in one picture, for training, cards, films and nearest neighbours.

        A kind that arranges samples in a grid takes `*, columns=None` as well, the number of samples in a row; of one
        that does not, the core arranges the pictures of single samples.

        Args:
            samples: (N, *sample_shape), as `Generator.sample` returns them.
            generator: the model that they are from.

        Returns:
            (H, W, C) uint8, grey (C = 1) or colour (C = 3); None, the default, if there is nothing to look at.

        Example:
            >>> import torch
            >>> Chords().picture(torch.tensor([[60, 64, 67]]), None) is None
            True
        """
        return None

    def problem_with_output(self, suffix: str, n: int, sample_shape: tuple[int, ...] | None) -> str | None:
        """Return why n samples cannot be written in a format, as the end of a sentence; None, the default, if they can.

        It is asked before anything is sampled.

        Args:
            suffix: one of `suffixes`.
            n: number of samples.
            sample_shape: the shape of one sample; None if it is not known yet.

        Example:
            >>> class ShortChords(Chords):
            ...     def problem_with_output(self, suffix, n, sample_shape):
            ...         return f"{n:,} chords are more than a page has" if n > 40 else None
            >>> ShortChords().problem_with_output(".csv", 50, (3,))
            '50 chords are more than a page has'
        """
        return None

    def read(self, source: str | Path, **how: Any) -> TrainingData:
        """Read the data that `--data` names. A kind that is trained on files implements `read` or `open`.

        Args:
            source: a path or a name, as the user gave it.
            how: what `open` takes, and `sample_shape`, the shape that the samples must have; by default that of the
                data.

        Raises:
            DataError: if the source is not data of this kind.

        Example:
            >>> Chords().read("songs.csv")
            Traceback (most recent call last):
            zoo_core.errors.DataError: songs.csv cannot be read: the kind 'chords' reads no data
        """
        if type(self).open is Kind.open:
            raise DataError(f"{printable(source, 200)} cannot be read: the kind {self.name!r} reads no data")
        sample_shape = how.pop("sample_shape", None)
        opened = self.open(source, **how)
        return opened.decode(sample_shape or opened.sample_shape)

    def open(self, source: str | Path, **how: Any) -> DataSource:
        """Open the data that `--data` names, to decode it when the shape of the model's samples is known.

        The default reads it at once. Override it where samples can take several shapes, as pictures do.

        Args:
            source: a path or a name, as the user gave it.
            how: `values`, those of the model's configuration that are known, by field; `split`, the part of the data
                set; `column` and `label_column`, of tables; `skip_damaged`, to leave out what cannot be decoded. A kind
                takes those that mean something for it, and ignores the others.

        Raises:
            DataError: if the source is not data of this kind.

        Example:
            >>> import numpy as np
            >>> from zoo_core import TrainingData
            >>> class ReadChords(Chords):
            ...     def read(self, source, **how):
            ...         return TrainingData.from_tensors(np.array([[60, 64, 67], [62, 65, 69]]), name=str(source))
            >>> opened = ReadChords().open("songs.csv")
            >>> opened.sample_shape, len(opened.decode((3,)))
            ((3,), 2)
        """
        return ReadSource(self.read(source, **how))

    def to_public(self, output: Tensor, generator: Generator) -> Tensor:
        """Map what `Generator.forward` returned to what `Generator.sample` returns; by default unchanged.

        Args:
            output: (N, *sample_shape), in the model's own range, finite.
            generator: the model.

        Example:
            >>> import torch
            >>> Chords().to_public(torch.tensor([[60, 64, 67]]), None)
            tensor([[60, 64, 67]])
        """
        return output

    def comparable(self, samples: Tensor) -> Tensor:
        """Return values whose Euclidean distance says how alike two samples are, for nearest neighbours.

        By default the samples themselves. Two sounds that nobody can tell apart are far from each other as waves, so
        that their kind compares spectra.

        Args:
            samples: (N, *sample_shape), as the data has them: pictures in uint8.

        Returns:
            (N, …), real numbers.

        Example:
            >>> import torch
            >>> Chords().comparable(torch.ones(5, 2)).shape
            torch.Size([5, 2])
        """
        return samples

    def problem_with(self, sample_shape: tuple[int, ...]) -> str | None:
        """Return why samples of a kind cannot have this shape, as the end of a sentence; None if they can.

        Example:
            >>> class Triads(Chords):
            ...     def problem_with(self, sample_shape):
            ...         return None if sample_shape == (3,) else "a triad has three notes"
            >>> Triads().problem_with((4,))
            'a triad has three notes'
        """
        return None
