"""The table of metrics: what each is called, which figures it gives, and how they are computed.

To add a metric, write its function (a distance between features goes into distances.py) and add an entry to `METRICS`:
`evaluate`, `zoo eval`, `zoo verify` and tools/measure.py read this table. Imports no torch, so that `zoo eval --help`
and a wrong name cost no time: the functions that compute import their module when they are called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zoo_core.errors import MetricError, printable
from zoo_core.metrics.conditions import Conditions

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.data.training_data import TrainingData
    from zoo_core.interfaces import Generator
    from zoo_core.metrics.statistics import FeatureStatistics

_LEAST_PER_NEIGHBOUR = 10  # features for each of the k nearest; with fewer, balls reach across most of the set


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much there is to compare.

    Attributes:
        pictures: samples of the data.
        samples: of the model.
        pairs: features of each set that `paired` returns.
        dimensions: of a feature.
        noun: what samples are called, in the plural.
    """

    pictures: int
    samples: int
    pairs: int
    dimensions: int
    noun: str = "pictures"


@dataclass(frozen=True, kw_only=True)
class FeatureMetric:
    """A metric that compares features of samples with features of the data.

    Attributes:
        name: as `zoo eval --metric` takes it.
        figures: the names of its figures, in the order in which they are reported.
        compute: from the statistics of the data and those of the samples, the value of each figure.
        detail: from how much there is to compare, what else decides the figures. Registries state this text: changing
            it makes `zoo verify --metrics` fail.
        warning: what makes the figures unreliable for so many samples, or None.
        higher_is_better: whether the figures of a better model are higher.
    """

    name: str
    figures: tuple[str, ...]
    compute: Callable[[FeatureStatistics, FeatureStatistics], Mapping[str, float]]
    detail: Callable[[Counts], str]
    warning: Callable[[Counts], str | None]
    higher_is_better: bool = False


class OfData(Protocol):
    """Computes one value for each sample of the data, (N,) float64."""

    def __call__(
        self, generator: Generator, data: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions
    ) -> Tensor: ...


# From some samples of the data, (N, *sample_shape), how many units of a figure each of them holds: (N,), float64.
Units = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, kw_only=True)
class LikelihoodMetric:
    """A metric that asks the model how likely each sample of the data is.

    Attributes:
        name: as `zoo eval --metric` takes it.
        figures: the names of all figures that it can give, in the order in which they are reported.
        compute: the values in nats of samples start … start + N − 1, (N, *sample_shape): pictures uint8, samples of
            another kind in the model's own range.
        units: the figures that it gives of this model, and what each is divided by: the figure is the sum of the values
            divided by the sum of the units.
        detail: what else decides the figures. Registries state this text, as that of a FeatureMetric. Raises
            MetricError for a model that cannot be measured under these conditions.
        warning: what makes the figures say less than their names promise, or None.
    """

    name: str
    figures: tuple[str, ...]
    compute: OfData
    units: Callable[[Generator, Conditions], Mapping[str, Units]]
    detail: Callable[[Generator, Conditions], str]
    warning: Callable[[Conditions], str | None] = lambda conditions: None


@dataclass(frozen=True, kw_only=True)
class SampleMetric:
    """A metric that compares samples themselves with the data.

    Attributes:
        name: as `zoo eval --metric` takes it.
        figures: the names of its figures, in the order in which they are reported.
        kind: the kind of samples that it takes.
        compute: from samples (n, *sample_shape), as `Generator.sample` returns them, and the data, the value of each
            figure.
        detail: from the number of samples of the data, what else decides the figures; as that of a FeatureMetric.
    """

    name: str
    figures: tuple[str, ...]
    kind: str
    compute: Callable[[Generator, Tensor, TrainingData], Mapping[str, float]]
    detail: Callable[[int], str]


def paired(reference: FeatureStatistics, samples: FeatureStatistics) -> tuple[Tensor, Tensor]:
    """Return equally many features of the data and of the samples: (n, D) each."""
    size = min(len(reference.kept), len(samples.kept))
    return reference.kept[:size], samples.kept[:size]  # a random choice, since kept features are in random order


def _fid(reference: FeatureStatistics, samples: FeatureStatistics) -> dict[str, float]:
    from zoo_core.metrics.distances import frechet_distance

    return {"fid": frechet_distance(reference, samples)}


def _fid_detail(counts: Counts) -> str:
    return f"against {counts.pictures:,} {counts.noun}"


def _fid_warning(counts: Counts) -> str | None:
    few, what = min((counts.samples, "samples"), (counts.pictures, f"{counts.noun} of the data"))
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


def _kid_detail(counts: Counts) -> str:
    from zoo_core.metrics.distances import KID_SUBSET_SEED, KID_SUBSET_SIZE, KID_SUBSETS

    size = min(KID_SUBSET_SIZE, counts.pairs)
    return f"{KID_SUBSETS} subsets of {size:,} of {counts.pairs:,}, drawn by seed {KID_SUBSET_SEED}"


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


def _prdc_detail(counts: Counts) -> str:
    from zoo_core.metrics.distances import NEIGHBOURS

    return f"k = {NEIGHBOURS}, {counts.pairs:,} of each"


def _prdc_warning(counts: Counts) -> str | None:
    from zoo_core.metrics.distances import NEIGHBOURS

    if counts.pairs >= _LEAST_PER_NEIGHBOUR * NEIGHBOURS:
        return None
    return (
        f"coarse: the {NEIGHBOURS} nearest of only {counts.pairs:,} are far apart, so that their balls hold almost "
        "anything"
    )


def _elbo(generator: Generator, data: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions) -> Tensor:
    return _bound(generator, data, labels, start, conditions, importance_samples=None)


def _elbo_detail(generator: Generator, conditions: Conditions) -> str:
    from zoo_core.metrics.likelihood import choose_binarization, describe_values

    return (
        "bound on −log p(x) in nats, "
        f"{describe_values(generator, choose_binarization(generator, conditions.binarization))}"
    )


def _iwae(generator: Generator, data: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions) -> Tensor:
    return _bound(generator, data, labels, start, conditions, importance_samples=conditions.importance_samples)


def _iwae_detail(generator: Generator, conditions: Conditions) -> str:
    return f"{_elbo_detail(generator, conditions)}, k = {conditions.importance_samples}"


def _iwae_warning(conditions: Conditions) -> str | None:
    return "k = 1 is the ELBO, and no tighter bound" if conditions.importance_samples == 1 else None


def _bound(
    generator: Generator,
    data: Tensor,
    labels: Tensor | None,
    start: int,
    conditions: Conditions,
    *,
    importance_samples: int | None,
) -> Tensor:
    from zoo_core.metrics.likelihood import choose_binarization, upper_bound

    return upper_bound(
        generator,
        data,
        labels,
        start=start,
        seed=conditions.seed,
        binarization=choose_binarization(generator, conditions.binarization),
        importance_samples=importance_samples,
    )


def _bound_units(name: str) -> Callable[[Generator, Conditions], Mapping[str, Units]]:
    """Bits as well as nats where they say the same of every model: a density depends on the range that it is over.

    Of pixels that are black or white, the literature states nats alone.
    """

    def units(generator: Generator, conditions: Conditions) -> dict[str, Units]:
        from zoo_core.metrics.likelihood import is_discrete

        in_bits = is_discrete(generator) and not getattr(generator, "binary", False)
        return {name: _samples} | (_bits(generator, f"{name}_") if in_bits else {})

    return units


def _nll(generator: Generator, data: Tensor, labels: Tensor | None, *, start: int, conditions: Conditions) -> Tensor:
    from zoo_core.metrics.likelihood import choose_binarization
    from zoo_core.metrics.log_prob import negative_log_prob

    binarization = choose_binarization(generator, conditions.binarization)
    return negative_log_prob(generator, data, labels, start=start, seed=conditions.seed, binarization=binarization)


def _nll_detail(generator: Generator, conditions: Conditions) -> str:
    from zoo_core.metrics.likelihood import choose_binarization
    from zoo_core.metrics.log_prob import describe

    return f"−log p(x): {describe(generator, choose_binarization(generator, conditions.binarization))}"


def _nll_units(generator: Generator, conditions: Conditions) -> dict[str, Units]:
    return {"nll": _samples} | _bits(generator, "")


def _samples(data: Tensor) -> Tensor:
    import torch

    return torch.ones(len(data), dtype=torch.float64)


def _bits(generator: Generator, prefix: str) -> dict[str, Units]:
    """The figure in bits of a kind of samples: for each character of a text, for each value of anything else."""
    from zoo_core.metrics.log_prob import characters, dimensions

    if generator.kind == "text":
        return {f"{prefix}bits_per_character": lambda data: characters(data) * math.log(2)}
    return {f"{prefix}bits_per_dim": lambda data: dimensions(data) * math.log(2)}


def _in_bits(name: str, prefix: str) -> tuple[str, str, str]:
    return name, f"{prefix}bits_per_dim", f"{prefix}bits_per_character"


def _ngrams(generator: Generator, samples: Tensor, data: TrainingData) -> dict[str, float]:
    from zoo_core.kinds.text import texts_of
    from zoo_core.metrics.ngrams import ngram_figures

    return ngram_figures(texts_of(samples, generator), texts_of(data.take(range(len(data))), generator))


def _ngrams_detail(texts: int) -> str:
    return f"against {texts:,} texts, with their beginnings and ends"


AnyMetric = FeatureMetric | LikelihoodMetric | SampleMetric

METRICS: dict[str, AnyMetric] = {
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
        LikelihoodMetric(
            name="elbo",
            figures=_in_bits("elbo", "elbo_"),
            compute=_elbo,
            units=_bound_units("elbo"),
            detail=_elbo_detail,
        ),
        LikelihoodMetric(
            name="iwae",
            figures=_in_bits("iwae", "iwae_"),
            compute=_iwae,
            units=_bound_units("iwae"),
            detail=_iwae_detail,
            warning=_iwae_warning,
        ),
        LikelihoodMetric(name="nll", figures=_in_bits("nll", ""), compute=_nll, units=_nll_units, detail=_nll_detail),
        SampleMetric(
            name="ngrams",
            figures=("ngram_1", "ngram_2", "ngram_3", "ngram_4", "distinct", "novel"),
            kind="text",
            compute=_ngrams,
            detail=_ngrams_detail,
        ),
    )
}
# Every model has these whose kind has an extractor; the others need an encoder, a log_prob, or texts.
DEFAULT_METRICS = tuple(name for name, metric in METRICS.items() if isinstance(metric, FeatureMetric))


def default_metrics(generator: Generator, extractor: str | None = None) -> tuple[str, ...]:
    """Return the metrics of a model where none are named: those of features, if an extractor takes its samples.

    Otherwise n-grams of texts, and the likelihood of a model that states it.

    Args:
        extractor: the one that is asked for; None for that of the kind.

    Raises:
        MetricError: if there is nothing to measure the model by.
    """
    from zoo_core.metrics.extractors.opening import default_extractor
    from zoo_core.metrics.log_prob import states_log_prob

    if extractor is not None or default_extractor(generator.kind) is not None:
        return DEFAULT_METRICS
    names = [
        name for name, metric in METRICS.items() if isinstance(metric, SampleMetric) and metric.kind == generator.kind
    ]
    if states_log_prob(generator):
        names.append("nll")
    if not names:
        raise MetricError(
            f"there is nothing to measure this {type(generator).__qualname__} by: no extractor takes samples of kind "
            f"{generator.kind}, and it has no log_prob; a plugin may provide an extractor"
        )
    return tuple(names)


def find_metrics(names: Iterable[str]) -> list[AnyMetric]:
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
