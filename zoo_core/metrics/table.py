"""The table of metrics: what each is called, which figures it gives, and how they are computed.

To add a metric, write its function (a distance between features goes into distances.py) and add an entry to `METRICS`:
`evaluate`, `zoo eval`, `zoo verify` and tools/measure.py read this table. Imports no torch, so that `zoo eval --help`
and a wrong name cost no time: the functions that compute import their module when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zoo_core.errors import MetricError, printable
from zoo_core.metrics.conditions import Conditions

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Generator
    from zoo_core.metrics.statistics import FeatureStatistics

_LEAST_PER_NEIGHBOUR = 10  # features for each of the k nearest; with fewer, balls reach across most of the set


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much there is to compare.

    Attributes:
        pictures: of the data.
        samples: of the model.
        pairs: features of each set that `paired` returns.
        dimensions: of a feature.
    """

    pictures: int
    samples: int
    pairs: int
    dimensions: int


@dataclass(frozen=True, kw_only=True)
class FeatureMetric:
    """A metric that compares features of samples with features of the data.

    Attributes:
        name: as `zoo eval --metric` takes it.
        figures: the names of its figures, in the order in which they are reported.
        compute: from the statistics of the data and those of the samples, the value of each figure.
        detail: from the number of pictures of the data, and the number of features of each set that `paired` returns,
            what else decides the figures. Registries state this text: changing it makes `zoo verify --metrics` fail.
        warning: what makes the figures unreliable for so many pictures, or None.
        higher_is_better: whether the figures of a better model are higher.
    """

    name: str
    figures: tuple[str, ...]
    compute: Callable[[FeatureStatistics, FeatureStatistics], Mapping[str, float]]
    detail: Callable[[int, int], str]
    warning: Callable[[Counts], str | None]
    higher_is_better: bool = False


class OfPictures(Protocol):
    """Computes one value for each picture of the data, (N,) float64, whose mean over the data is the figure."""

    def __call__(
        self, generator: Generator, pictures: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions
    ) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class PictureMetric:
    """A metric that asks the model about each picture of the data, as its likelihood.

    Attributes:
        name: as `zoo eval --metric` takes it, and of its only figure.
        compute: the values of pictures start … start + N − 1, (N, *sample_shape) uint8.
        detail: what else decides the figure. Registries state this text, as that of a FeatureMetric. Raises MetricError
            for a model that cannot be measured under these conditions.
        warning: what makes the figure say less than its name promises, or None.
    """

    name: str
    compute: OfPictures
    detail: Callable[[Generator, Conditions], str]
    warning: Callable[[Conditions], str | None] = lambda conditions: None

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of its figures."""
        return (self.name,)


def paired(reference: FeatureStatistics, samples: FeatureStatistics) -> tuple[Tensor, Tensor]:
    """Return equally many features of the data and of the samples: (n, D) each."""
    size = min(len(reference.kept), len(samples.kept))
    return reference.kept[:size], samples.kept[:size]  # a random choice, since kept features are in random order


def _fid(reference: FeatureStatistics, samples: FeatureStatistics) -> dict[str, float]:
    from zoo_core.metrics.distances import frechet_distance

    return {"fid": frechet_distance(reference, samples)}


def _fid_detail(pictures: int, pairs: int) -> str:
    return f"against {pictures:,} pictures"


def _fid_warning(counts: Counts) -> str | None:
    few, what = min((counts.samples, "samples"), (counts.pictures, "pictures of the data"))
    if few > counts.dimensions:
        return None
    return (
        f"biased: {few:,} {what} are too few for features of {counts.dimensions:,} dimensions, whose covariance they "
        "leave singular"
    )


def _kid(reference: FeatureStatistics, samples: FeatureStatistics) -> dict[str, float]:
    from zoo_core.metrics.distances import kernel_distance

    distance = kernel_distance(*paired(reference, samples))
    return {"kid": distance.mean, "kid_deviation": distance.deviation}


def _kid_detail(pictures: int, pairs: int) -> str:
    from zoo_core.metrics.distances import KID_SUBSET_SEED, KID_SUBSET_SIZE, KID_SUBSETS

    return f"{KID_SUBSETS} subsets of {min(KID_SUBSET_SIZE, pairs):,} of {pairs:,}, drawn by seed {KID_SUBSET_SEED}"


def _kid_warning(counts: Counts) -> str | None:
    from zoo_core.metrics.distances import KID_SUBSET_SIZE, KID_SUBSETS

    if counts.pairs > KID_SUBSET_SIZE:
        return None
    return (
        f"not averaged: with no more than {KID_SUBSET_SIZE:,} of each, all {KID_SUBSETS} subsets are the same "
        f"{counts.pairs:,}, and kid_deviation is no error bar"
    )


def _prdc(reference: FeatureStatistics, samples: FeatureStatistics) -> dict[str, float]:
    from zoo_core.metrics.distances import manifold_figures

    return manifold_figures(*paired(reference, samples))._asdict()


def _prdc_detail(pictures: int, pairs: int) -> str:
    from zoo_core.metrics.distances import NEIGHBOURS

    return f"k = {NEIGHBOURS}, {pairs:,} of each"


def _prdc_warning(counts: Counts) -> str | None:
    from zoo_core.metrics.distances import NEIGHBOURS

    if counts.pairs >= _LEAST_PER_NEIGHBOUR * NEIGHBOURS:
        return None
    return (
        f"coarse: the {NEIGHBOURS} nearest of only {counts.pairs:,} are far apart, so that their balls hold almost "
        "anything"
    )


def _elbo(
    generator: Generator, pictures: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions
) -> Tensor:
    return _bound(generator, pictures, labels, start, conditions, importance_samples=None)


def _elbo_detail(generator: Generator, conditions: Conditions) -> str:
    from zoo_core.metrics.likelihood import choose_binarization, describe_pixels

    binarization = choose_binarization(generator, conditions.binarization)
    return f"bound on −log p(x) in nats, {describe_pixels(binarization, getattr(generator, 'binary', False))}"


def _iwae(
    generator: Generator, pictures: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions
) -> Tensor:
    return _bound(generator, pictures, labels, start, conditions, importance_samples=conditions.importance_samples)


def _iwae_detail(generator: Generator, conditions: Conditions) -> str:
    return f"{_elbo_detail(generator, conditions)}, k = {conditions.importance_samples}"


def _iwae_warning(conditions: Conditions) -> str | None:
    return "k = 1 is the ELBO, and no tighter bound" if conditions.importance_samples == 1 else None


def _bound(
    generator: Generator,
    pictures: Tensor,
    labels: Tensor | None,
    start: int,
    conditions: Conditions,
    *,
    importance_samples: int | None,
) -> Tensor:
    from zoo_core.metrics.likelihood import choose_binarization, upper_bound

    return upper_bound(
        generator,
        pictures,
        labels,
        start=start,
        seed=conditions.seed,
        binarization=choose_binarization(generator, conditions.binarization),
        importance_samples=importance_samples,
    )


METRICS: dict[str, FeatureMetric | PictureMetric] = {
    metric.name: metric
    for metric in (
        FeatureMetric(name="fid", figures=("fid",), compute=_fid, detail=_fid_detail, warning=_fid_warning),
        FeatureMetric(
            name="kid", figures=("kid", "kid_deviation"), compute=_kid, detail=_kid_detail, warning=_kid_warning
        ),
        FeatureMetric(
            name="prdc",
            figures=("precision", "recall", "density", "coverage"),
            compute=_prdc,
            detail=_prdc_detail,
            warning=_prdc_warning,
            higher_is_better=True,
        ),
        PictureMetric(name="elbo", compute=_elbo, detail=_elbo_detail),
        PictureMetric(name="iwae", compute=_iwae, detail=_iwae_detail, warning=_iwae_warning),
    )
}
# Every model has these; the others need an encoder.
DEFAULT_METRICS = tuple(name for name, metric in METRICS.items() if isinstance(metric, FeatureMetric))


def find_metrics(names: Iterable[str]) -> list[FeatureMetric | PictureMetric]:
    """Return the metrics of these names, each once. Raises MetricError for an unknown name, or for none at all.

    Example:
        >>> [metric.figures for metric in find_metrics(["kid", "fid", "kid"])]
        [('kid', 'kid_deviation'), ('fid',)]
    """
    chosen = dict.fromkeys(names)
    for name in chosen:
        if name not in METRICS:
            raise MetricError(f"there is no metric {printable(name, 40)!r}; there are {', '.join(METRICS)}")
    if not chosen:
        raise MetricError(f"name at least one metric of {', '.join(METRICS)}")
    return [METRICS[name] for name in chosen]


def metric_of(figure: str) -> str | None:
    """Return the name of the metric that gives a figure, or None if no metric does.

    Example:
        >>> metric_of("recall")
        'prdc'
    """
    return next((metric.name for metric in METRICS.values() if figure in metric.figures), None)


def higher_is_better(figure: str) -> bool:
    """Return whether the figure of a better model is higher; for most, and for one that no metric gives, it is lower.

    Example:
        >>> higher_is_better("recall"), higher_is_better("fid"), higher_is_better("loss")
        (True, False, False)
    """
    metric = METRICS.get(metric_of(figure) or "")
    return isinstance(metric, FeatureMetric) and metric.higher_is_better
