"""A measured figure with the conditions it takes to measure it again. Imports no torch."""

from __future__ import annotations

from typing import Any

import msgspec

from zoo_core.errors import MetricError
from zoo_core.registries import Metric


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one metric, with the conditions under which it was measured.

    Attributes:
        metric: name of the figure, as "fid" or "recall".
        value: its value.
        error: standard deviation of the value between draws of samples; None for a single draw.
        repeats: number of draws; `value` is that of the first.
        dataset, split: what samples were compared with.
        fingerprint: sha256 of its samples and labels.
        samples: number of samples, or for a likelihood of samples of the data.
        seed: seed of the first draw.
        extractor, version, weights: the feature extractor, and the sha256 of its network's tensors; None for a metric
            that uses none.
        resizing: how samples are resized for the extractor.
        detail: what else decides the value: the number of neighbours, subsets, importance samples, ….
        warning: what makes the value unreliable, such as too few samples; None for a sound one.
        options: the options for sampling that differ from the model's own, by name.

    Example:
        >>> fid = Figure(metric="fid", value=7.25, error=0.5, repeats=3, dataset="mnist", split="train",
        ...              fingerprint="ab", samples=10_000, seed=0)
        >>> fid.to_metric().value
        7.25
    """

    metric: str
    value: float
    error: float | None
    repeats: int
    dataset: str
    split: str
    fingerprint: str
    samples: int
    seed: int
    extractor: str | None = None
    version: int | None = None
    weights: str | None = None
    resizing: str | None = None
    detail: str | None = None
    warning: str | None = None
    options: dict[str, Any] = {}

    def difference(self, other: Figure) -> float:
        """Return this value minus the other. Raises MetricError if their conditions differ.

        The seeds may differ: two draws of the same samples are two measurements of one quantity.

        Example:
            >>> fid = Figure(metric="fid", value=7.0, error=None, repeats=1, dataset="mnist", split="train",
            ...              fingerprint="ab", samples=10_000, seed=0)
            >>> fid.difference(msgspec.structs.replace(fid, value=5.0, seed=1))
            2.0
        """
        for field in ("metric", "extractor", "version", "weights", "resizing", "samples", "split", "detail", "options"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                raise MetricError(
                    f"two figures cannot be compared: {field} is {mine} for one and {theirs} for the other"
                )
        return self.value - other.value

    def to_metric(self) -> Metric:
        """Return the figure as a registry records it, rounded to six significant digits.

        Example:
            >>> Figure(metric="fid", value=7.123456789, error=None, repeats=1, dataset="mnist", split="train",
            ...        fingerprint="ab", samples=10_000, seed=0).to_metric().value
            7.12346
        """
        return Metric(
            value=_rounded(self.value),
            error=None if self.error is None else _rounded(self.error),
            dataset=self.dataset,
            split=self.split,
            fingerprint=self.fingerprint,
            samples=self.samples,
            seed=self.seed,
            repeats=self.repeats,
            extractor=self.extractor,
            version=self.version,
            resizing=self.resizing,
            detail=self.detail,
            warning=self.warning,
            options=self.options,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every field as types of JSON.

        Example:
            >>> Figure(metric="fid", value=7.25, error=None, repeats=1, dataset="mnist", split="train",
            ...        fingerprint="ab", samples=10_000, seed=0).to_dict()["samples"]
            10000
        """
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
