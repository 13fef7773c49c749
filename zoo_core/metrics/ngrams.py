"""Texts compared by their n-grams: how often each sequence of n characters occurs in samples and in data.

A text is read with its end, and with n − 1 marks before its beginning, so that how texts begin and end counts as well:
a text of m characters has m + 1 n-grams, whatever n is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

LONGEST = 4  # n of the longest n-grams
_START, _END = "\ue000", "\ue001"  # of the private use area: no text means anything by them


def ngram_counts(texts: Iterable[str], n: int) -> Counter[str]:
    """Return how often each n-gram occurs in the texts.

    Example:
        >>> sorted(count for ngram, count in ngram_counts(["aab", "a"], 1).items())
        [1, 2, 3]
    """
    counts: Counter[str] = Counter()
    for text in texts:
        marked = _START * (n - 1) + text + _END
        counts.update(marked[first : first + n] for first in range(len(text) + 1))
    return counts


def jensen_shannon_distance(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """Return the Jensen–Shannon distance of two distributions that are given by counts.

    The square root of the divergence to base 2 (Endres & Schindelin, 2003): 0 for equal distributions, 1 for those that
    have nothing in common.

    Example:
        >>> jensen_shannon_distance({"a": 1, "b": 1}, {"a": 5, "b": 5})
        0.0
        >>> jensen_shannon_distance({"a": 1}, {"b": 1})
        1.0
    """
    total_1, total_2 = sum(first.values()), sum(second.values())
    terms: list[float] = []
    for key in first.keys() | second.keys():
        p, q = first.get(key, 0) / total_1, second.get(key, 0) / total_2
        middle = (p + q) / 2
        terms += [share * math.log2(share / middle) / 2 for share in (p, q) if share]
    return math.sqrt(min(1.0, max(0.0, math.fsum(terms))))  # rounding may leave the divergence just outside


def ngram_figures(samples: Sequence[str], data: Sequence[str]) -> dict[str, float]:
    """Return the distances of n-grams, and how many samples are new.

    Returns:
        `ngram_1` to `ngram_4`: the Jensen–Shannon distance of the distributions of n-grams; `distinct`: the number of
        different samples divided by that of all; `novel`: the share of samples that are not in the data.

    Example:
        >>> figures = ngram_figures(["one", "two", "two"], ["two", "three"])
        >>> round(figures["distinct"], 3), round(figures["novel"], 3)
        (0.667, 0.333)
    """
    distances = {
        f"ngram_{n}": jensen_shannon_distance(ngram_counts(data, n), ngram_counts(samples, n))
        for n in range(1, LONGEST + 1)
    }
    known = frozenset(data)
    return distances | {
        "distinct": len(set(samples)) / len(samples),
        "novel": sum(text not in known for text in samples) / len(samples),
    }
