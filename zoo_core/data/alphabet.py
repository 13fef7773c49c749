"""Alphabets: texts as codes of their characters, and back. Code 0 is the end of a text, code i the i-th character."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from zoo_core.errors import DataError, printable

END = 0


def alphabet_of(texts: Iterable[str]) -> str:
    """Return the distinct characters of some texts, in the order of their code points.

    Example:
        >>> alphabet_of(["bad", "cab"])
        'abcd'
    """
    return "".join(sorted(set().union(*texts)))


def encoded(texts: Sequence[str], alphabet: str, length: int, where: Callable[[int], str]) -> np.ndarray:
    """Return the codes of texts, (N, length) int64; what is longer is cut, and shorter ones are filled with END.

    Args:
        where: names the place of a text, by its number, for messages.

    Raises:
        DataError: for characters that the alphabet does not have.

    Example:
        >>> encoded(["cab", "a"], "abc", 4, str).tolist()
        [[3, 1, 2, 0], [1, 0, 0, 0]]
    """
    texts = [text[:length] for text in texts]
    known = _code_points(alphabet)
    order = np.argsort(known)
    lengths = np.array([len(text) for text in texts], np.int64)
    points = _code_points("".join(texts))
    places = np.searchsorted(known[order], points).clip(max=len(known) - 1)
    found = known[order][places] == points
    if not found.all():
        raise _unknown(texts, points, found, lengths, where)
    codes = np.full((len(texts), length), END, np.int64)
    codes[np.arange(length) < lengths[:, None]] = order[places] + 1
    return codes


def decoded(codes: Sequence[int], alphabet: str) -> str:
    """Return the text of codes up to its END. Raises IndexError for a code that no character has.

    Example:
        >>> decoded([3, 1, 2, 0, 1], "abc")
        'cab'
    """
    text = []
    for code in codes:
        if code == END:
            break
        if not 0 < code <= len(alphabet):
            raise IndexError(code)
        text.append(alphabet[code - 1])
    return "".join(text)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def _unknown(
    texts: Sequence[str], points: np.ndarray, found: np.ndarray, lengths: np.ndarray, where: Callable[[int], str]
) -> DataError:
    """Say which characters are unknown, where the first one is, and in how many texts they are."""
    owners = np.repeat(np.arange(len(texts)), lengths)[~found]
    unknown = list(dict.fromkeys(points[~found].tolist()))
    first = f"{printable(chr(unknown[0]))!r} (U+{unknown[0]:04X})"
    others = f", nor {len(unknown) - 1:,} other characters of these texts" if len(unknown) > 1 else ""
    count = len(set(owners.tolist()))
    return DataError(
        f"{where(int(owners[0]))}: the alphabet does not have {first}{others}; {count:,} of {len(texts):,} texts "
        f"{'has' if count == 1 else 'have'} characters that it does not have"
    )
