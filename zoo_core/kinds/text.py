"""Texts as codes (length,), int64; the generator, or its alphabet, says which text they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from zoo_core.data.alphabet import decoded
from zoo_core.data.source import DataSource
from zoo_core.data.text_lines import escaped
from zoo_core.errors import InterfaceError, printable
from zoo_core.files.atomic import atomic_file
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.arrays import write_npz
from zoo_core.kinds.formats import exactly
from zoo_core.kinds.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator


class TextKind(Kind):
    """Texts: written as lines, as JSON Lines, or as an array of codes, and shown as lines.

    The generator has a method `decode(codes) -> list[str]`, for codes (N, length); or its configuration has a field
    `alphabet`, a text of all characters: code 0 then ends a text, and code i is the i-th character.
    """

    name, noun = "text", ("text", "texts")
    pipeline_tag = "text-generation"
    codes: ClassVar[bool] = True
    suffixes = MappingProxyType(
        {
            ".txt": "one a line, line breaks as \\n",
            ".jsonl": 'an object {"text": …} a line',
            ".npz": "an array of codes",
        }
    )

    def write(self, batches: Iterable[Tensor], n: int, generator: Generator, path: Path) -> Path:
        """Write texts in UTF-8: in a .txt with what cannot be seen as escapes, in a .jsonl as they are."""
        batches, suffix = exactly(n, batches), path.suffix.lower()
        if suffix == ".npz":
            codes = (batch.numpy() for batch in batches)
            write_npz(codes, Layout(self.name, tuple(generator.sample_shape), n), path)
            return path
        line = _as_json if suffix == ".jsonl" else escaped
        with atomic_file(path) as file:
            for batch in batches:
                file.write("".join(f"{line(text)}\n" for text in texts_of(batch, generator)).encode())
        return path

    def picture(self, samples: Tensor, generator: Generator, *, columns: int | None = None) -> np.ndarray | None:
        """Show the texts, each in a cell of its own."""
        from zoo_core.kinds.lines import draw_texts

        return draw_texts(texts_of(samples, generator), columns)

    def open(self, source: str | Path, **how: Any) -> DataSource:
        """Open texts of one alphabet and length, which `values` or the data decide."""
        from zoo_core.data.text_opening import open_texts

        known = ("values", "split", "column", "label_column", "skip_damaged")
        return open_texts(source, **{name: how[name] for name in known if how.get(name) is not None})

    def to_public(self, output: Tensor, generator: Generator) -> Tensor:
        if output.is_floating_point() or output.is_complex():
            raise InterfaceError(
                f"{type(generator).__qualname__} makes texts, and returned {output.dtype}; codes are whole numbers, as "
                "logits.argmax(-1) has them"
            )
        return output.long()

    def problem_with(self, sample_shape: tuple[int, ...]) -> str | None:
        return None if len(sample_shape) == 1 else "texts are (length,)"


def texts_of(codes: Tensor, generator: Generator) -> list[str]:
    """Return the texts of codes, (N, length), by the generator's `decode`, or by the alphabet of its configuration.

    Raises:
        InterfaceError: for a generator with neither, a `decode` that does not return a text for each sample, or a code
            that the alphabet does not have.
    """
    where, decode = type(generator).__qualname__, getattr(generator, "decode", None)
    if callable(decode):
        texts = decode(codes)
        if not isinstance(texts, list) or len(texts) != len(codes) or not all(isinstance(one, str) for one in texts):
            raise InterfaceError(
                f"{where}.decode must return a list of {len(codes)} texts for codes {tuple(codes.shape)}"
            )
        return texts
    alphabet = getattr(vars(generator).get("config"), "alphabet", None)
    if not isinstance(alphabet, str):
        raise InterfaceError(
            f"{where} has no decode(codes) -> list[str]; write one, or give its configuration a field alphabet: str"
        )
    texts = []
    for number, sample in enumerate(codes.tolist()):
        try:
            texts.append(decoded(sample, alphabet))
        except IndexError as error:
            most = len(alphabet)
            raise InterfaceError(
                f"{where}: sample {number} has the code {printable(error)}; those of its alphabet are 0 to {most}"
            ) from error
    return texts


def _as_json(text: str) -> str:
    # What is no text in UTF-8, as half of a pair of surrogates, can only stand as an escape.
    return json.dumps({"text": text}, ensure_ascii=not _is_utf8(text))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
