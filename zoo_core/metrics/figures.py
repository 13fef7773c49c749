"""A measured figure with all that it takes to measure it again; without these it could not be compared. No torch."""

from __future__ import annotations

from typing import Any

import msgspec

from zoo_core.errors import MetricError
from zoo_core.registries import Metric


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one metric.

    Attributes:
        metric: its name.
        value: the figure.
        error: the standard deviation of such a value between draws of samples; None where there was one draw.
        repeats: how many draws there were; `value` is that of the first.
        dataset, split: what samples were compared with. fingerprint: sha256 over its pictures and labels.
        samples: how many samples (or, for a likelihood, pictures of the data) went in.
        seed: of the first draw.
        extractor, version, weights: of the features, with the sha256 over their network's tensors; None for a metric
            that needs none.
        resizing: how pictures came to the extractor's size.
        detail: what else decides the value: how many neighbours, subsets, importance samples, ….
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

    def difference(self, other: Figure) -> float:
        """This value less the other. Raises MetricError where the two were not measured in the same way."""
        for name in ("metric", "extractor", "version", "weights", "resizing", "samples", "split", "detail"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                raise MetricError(f"two figures cannot be compared: {name} is {mine} for one and {its} for the other")
        return self.value - other.value

    def to_metric(self) -> Metric:
        """As a registry keeps it, rounded to six significant digits."""
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
        )

    def to_dict(self) -> dict[str, Any]:
        """Every fact as JSON's types."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
