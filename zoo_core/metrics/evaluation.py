"""`evaluate`: figures of a model on a data set, from the names of metrics."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError
from zoo_core.interfaces import Generator
from zoo_core.interfaces.names import canonical_name
from zoo_core.interfaces.options import Choices, differences
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.conditions import DEFAULTS, Binarization, Conditions
from zoo_core.metrics.data_features import check_shared, data_statistics
from zoo_core.metrics.extractors.opening import OpenExtractor, default_extractor, open_extractor
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.inputs import load_generator, open_data, require_samples
from zoo_core.metrics.presenting import check_values, sample_rate, samples_to_measure
from zoo_core.metrics.reporting import MeasuringProgress, Tell, no_message, no_progress
from zoo_core.metrics.statistics import FeatureStatistics, RunningStatistics
from zoo_core.metrics.table import (
    AnyMetric,
    Counts,
    FeatureMetric,
    LikelihoodMetric,
    SampleMetric,
    default_metrics,
    find_metrics,
)
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.runtime.processes import Processes, join, sum_over_processes
from zoo_core.runtime.torch_defaults import torch_defaults
from zoo_core.sampling.batches import sample_batches
from zoo_core.sampling.distributed import share_of_process

_ROWS = 500  # of the data that a LikelihoodMetric takes at a time


@torch_defaults()
def evaluate(
    model: str | Path | Generator,
    data: str | Path | TrainingData | Tensor | np.ndarray | Iterable[Any],
    *,
    metrics: Iterable[str] | None = None,
    n: int = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    extractor: str | None = DEFAULTS.extractor,
    extractor_weights: str | Path | None = None,
    split: str = DEFAULTS.split,
    batch_size: int | None = None,
    device: str = "auto",
    repeats: int = DEFAULTS.repeats,
    importance_samples: int = DEFAULTS.importance_samples,
    binarization: Binarization | None = None,
    options: Choices | None = None,
    save_statistics: str | Path | None = None,
    skip_damaged: bool = False,
    tell: Tell = no_message,
    progress: MeasuringProgress = no_progress,
) -> list[Figure]:
    """Measure a model on a data set.

    fid, kid and prdc (precision, recall, density, coverage) compare features of n samples with those of the data, which
    is read as for training: pictures at the size of the model's samples. FID uses all of the data, KID and PRDC at most
    10,000 of each set. elbo, iwae and nll measure −log p(x) of up to n samples of the data, in nats and in bits. ngrams
    compares texts. Memory does not grow with n, but for the texts of ngrams.

    Under torchrun or `accelerate launch` the processes share the work, and all return the same figures.

    Args:
        model: a name, a folder or a generator.
        data: whatever `zoo train --data` takes, samples in memory as `Trainer.fit` takes them (pictures of 8 bits), or
            a file of statistics.
        metrics: names of metrics: fid, kid, prdc, elbo, iwae, nll, ngrams; by default fid, kid and prdc if an extractor
            takes samples of this kind, else ngrams for texts, and nll for a model that states its likelihood.
        n: number of samples.
        seed: seed for the samples; draw r, from 0, uses seed + r.
        extractor: name of the feature extractor; by default digits for pictures, spoken-digits for sounds, and for
            another kind the only one that takes it.
        extractor_weights: weights file, for an extractor that does not bundle one.
        split: split of the data.
        batch_size: samples computed at a time; changes no sample.
        device: device for a model given by name or folder: auto, cpu, cuda, cuda:N or mps.
        repeats: number of draws; with two or more, figures carry their standard deviation between draws.
        importance_samples: k of iwae.
        binarization: how pixels are made binary for elbo, iwae and nll; by default what fits the model's likelihood.
        options: choices for sampling, as for `Generator.sample`; figures name those that are not the model's own.
        save_statistics: where to write the statistics of the data, to share them.
        skip_damaged: leave out what cannot be decoded of the data.
        tell: called with lines about what is being done.
        progress: called with the part of the measurement, how much of it is done, and how much there is.

    Returns:
        The figures, each with the conditions it was measured under and, if these make it unreliable, a warning; in the
        order of the metrics, those of features first.

    Raises:
        MetricError: for a metric, count or extractor that cannot be used with this model and data.
        DataError: if the data cannot be read.
        ZooError: whatever `zoo_core.load` raises.

    Example:
        >>> import torch
        >>> import zoo_core as zoo
        >>> class Grey(zoo.Generator):
        ...     latent_shape, sample_shape = (1,), (1, 28, 28)
        ...     def forward(self, z, labels=None):
        ...         return torch.tanh(z)[..., None, None].expand(-1, 1, 28, 28)
        >>> data = zoo.TrainingData.from_tensors(torch.zeros(20, 1, 28, 28, dtype=torch.uint8))
        >>> figures = zoo.evaluate(Grey(), data, metrics=["fid", "kid"], n=20)
        >>> [(figure.metric, figure.samples, figure.detail) for figure in figures]  # doctest: +NORMALIZE_WHITESPACE
        [('fid', 20, 'against 20 pictures'),
         ('kid', 20, '100 subsets of 20 of 20, drawn by seed 0'),
         ('kid_deviation', 20, '100 subsets of 20 of 20, drawn by seed 0')]
    """
    chosen = find_metrics(metrics) if metrics is not None else None  # a wrong name is told before a model is loaded
    conditions = Conditions(
        samples=n,
        seed=seed,
        repeats=repeats,
        split=split,
        extractor=extractor,
        extractor_weights=extractor_weights,
        importance_samples=importance_samples,
        binarization=binarization,
    )
    generator = load_generator(model, device)
    conditions = msgspec.structs.replace(conditions, options=differences(generator.options, generator.choose(options)))
    source = open_data(data, generator, split, tell, skip_damaged=skip_damaged)
    return measure(
        generator,
        source,
        find_metrics(default_metrics(generator, extractor)) if chosen is None else chosen,
        conditions,
        batch_size=batch_size,
        save_statistics=save_statistics,
        tell=tell,
        progress=progress,
    )


def measure(
    generator: Generator,
    source: TrainingData | Path,
    metrics: Sequence[AnyMetric],
    conditions: Conditions,
    *,
    batch_size: int | None = None,
    save_statistics: str | Path | None = None,
    processes: Processes | None = None,
    tell: Tell = no_message,
    progress: MeasuringProgress = no_progress,
) -> list[Figure]:
    """Measure a generator on what `open_data` returned; otherwise as `evaluate`.

    Args:
        processes: the processes that share the work; by default all that were launched together.
    """
    run = _Run(generator, conditions, batch_size, processes or join("cpu"), progress)
    of_features = [metric for metric in metrics if isinstance(metric, FeatureMetric)]
    if isinstance(source, TrainingData):
        check_values(generator, source)
    figures: list[Figure] = []
    if of_features:
        extractor = _extractor(generator, conditions)
        reference = _reference(run, source, extractor, tell)
        if save_statistics is not None and run.processes.first:
            reference.save(save_statistics)
        figures += _feature_figures(run, extractor, reference, of_features)
    for metric in metrics:
        if isinstance(metric, LikelihoodMetric):
            figures += _likelihood_figures(run, metric, require_samples(source, metric.name))
        elif isinstance(metric, SampleMetric):
            figures += _sample_figures(run, metric, require_samples(source, metric.name))
    return figures


def _extractor(generator: Generator, conditions: Conditions) -> OpenExtractor:
    """The extractor that is named, or that of the kind, on the device of the model."""
    name = conditions.extractor or default_extractor(generator.kind)
    if name is None:
        raise MetricError(
            f"no extractor takes samples of kind {generator.kind}, whose features could be compared; "
            "a plugin may provide one, and the metrics nll and ngrams need none"
        )
    device, _ = device_and_dtype(generator)
    return open_extractor(name, weights=conditions.extractor_weights, device=device)


def compare(reference: FeatureStatistics, samples: FeatureStatistics, metrics: Iterable[str]) -> dict[str, float]:
    """Return the figures of samples against the data, by name, from the statistics of their features.

    Args:
        reference: statistics of the data.
        samples: statistics of the samples.
        metrics: names of metrics of features: fid gives one figure, kid two, prdc four.

    Raises:
        MetricError: for another metric, or too few samples.

    Example:
        >>> import torch
        >>> def statistics_of(features):
        ...     running = RunningStatistics(len(features), features.shape[1])
        ...     running.add(0, features)
        ...     return running.finish({})
        >>> features = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> figures = compare(statistics_of(features), statistics_of(features + 1), ["fid"])
        >>> round(figures["fid"], 4)
        4.0
    """
    values: dict[str, float] = {}
    for metric in find_metrics(metrics):
        if not isinstance(metric, FeatureMetric):
            raise MetricError(f"{metric.name} is not computed from features; use evaluate")
        values |= metric.compute(reference, samples)
    return values


def sample_statistics(
    generator: Generator,
    extractor: OpenExtractor,
    n: int,
    *,
    seed: int = 0,
    options: Choices | None = None,
    batch_size: int | None = None,
    processes: Processes | None = None,
    progress: MeasuringProgress = no_progress,
) -> FeatureStatistics:
    """Return statistics of n samples, pictures as the 8-bit ones that would be saved; every process must call this."""
    processes = processes or Processes()
    extractor.check(generator.kind, generator.sample_shape)
    rate = sample_rate(generator)
    running = RunningStatistics(n, extractor.facts.dimensions)
    start, end = share_of_process(n, processes)
    done, part = start, f"samples of seed {seed}"

    def step_done(step: int, steps: int | None, samples: int) -> None:
        progress(f"{part}, step {step}", done - start, end - start)

    if end > start:
        for batch in sample_batches(
            generator,
            end - start,
            seed=seed,
            start=start,
            options=options,
            batch_size=batch_size,
            on_step=step_done,
        ):
            running.add(done, extractor(samples_to_measure(generator, batch), sample_rate=rate))
            done += len(batch)
            progress(part, done - start, end - start)
    return running.finish({"seed": str(seed)}, processes)


@dataclass(frozen=True)
class _Run:
    """What all metrics of one call have in common."""

    generator: Generator
    conditions: Conditions
    batch_size: int | None
    processes: Processes
    progress: MeasuringProgress

    @property
    def draws(self) -> list[Conditions]:
        """The conditions of each draw, which differ by their seed."""
        seed, repeats = self.conditions.seed, self.conditions.repeats
        return [msgspec.structs.replace(self.conditions, seed=seed + repeat) for repeat in range(repeats)]


def _reference(run: _Run, source: TrainingData | Path, extractor: OpenExtractor, tell: Tell) -> FeatureStatistics:
    if isinstance(source, TrainingData):
        return data_statistics(
            source,
            run.conditions.split,
            extractor,
            generator=run.generator,
            processes=run.processes,
            tell=tell,
            progress=run.progress,
        )
    extractor.check(run.generator.kind, run.generator.sample_shape)
    reference = FeatureStatistics.load(source)
    check_shared(reference, extractor, run.generator, source)
    return reference


def _feature_figures(
    run: _Run, extractor: OpenExtractor, reference: FeatureStatistics, metrics: Sequence[FeatureMetric]
) -> list[Figure]:
    draws: list[dict[str, float]] = []
    for conditions in run.draws:
        samples = sample_statistics(
            run.generator,
            extractor,
            conditions.samples,
            seed=conditions.seed,
            options=conditions.options,
            batch_size=run.batch_size,
            processes=run.processes,
            progress=run.progress,
        )
        draws.append(compare(reference, samples, [metric.name for metric in metrics]))
    counts = Counts(
        pictures=reference.count,
        samples=run.conditions.samples,
        pairs=min(len(reference.kept), run.conditions.samples),
        dimensions=extractor.facts.dimensions,
        noun=kind_named(run.generator.kind).noun[1],
    )
    return [
        Figure(
            **_measured([draw[name] for draw in draws], run.conditions),
            metric=name,
            dataset=reference.facts["dataset"],
            split=reference.facts["split"],
            fingerprint=reference.facts["fingerprint"],
            samples=run.conditions.samples,
            extractor=extractor.facts.name,
            version=extractor.facts.version,
            weights=extractor.weights,
            resizing=extractor.facts.resizing,
            detail=metric.detail(counts),
            warning=metric.warning(counts),
            options=run.conditions.options,
        )
        for metric in metrics
        for name in metric.figures
    ]


def _likelihood_figures(run: _Run, metric: LikelihoodMetric, data: TrainingData) -> list[Figure]:
    detail = metric.detail(run.generator, run.conditions)  # refuses a model without this metric, before any work
    count = min(run.conditions.samples, len(data))
    draws = [_over_data(run, metric, data, count, conditions) for conditions in run.draws]
    return [
        Figure(
            **_measured([draw[name] for draw in draws], run.conditions),
            metric=name,
            dataset=data.name,
            split=run.conditions.split,
            fingerprint=data.fingerprint,
            samples=count,
            detail=detail,
            warning=metric.warning(run.conditions),
        )
        for name in draws[0]
    ]


def _sample_figures(run: _Run, metric: SampleMetric, data: TrainingData) -> list[Figure]:
    if canonical_name(run.generator.kind) != metric.kind:
        raise MetricError(
            f"{metric.name} is of samples of kind {metric.kind}, and this model's are of kind {run.generator.kind}"
        )
    draws = [metric.compute(run.generator, _samples(run, conditions), data) for conditions in run.draws]
    return [
        Figure(
            **_measured([draw[name] for draw in draws], run.conditions),
            metric=name,
            dataset=data.name,
            split=run.conditions.split,
            fingerprint=data.fingerprint,
            samples=run.conditions.samples,
            detail=metric.detail(len(data)),
            options=run.conditions.options,
        )
        for name in metric.figures
    ]


def _samples(run: _Run, conditions: Conditions) -> Tensor:
    """All samples of a draw, (n, *sample_shape), of which each process makes its share."""
    start, end = share_of_process(conditions.samples, run.processes)
    batches: list[Tensor] = []
    if end > start:
        made = start
        for batch in sample_batches(
            run.generator,
            end - start,
            seed=conditions.seed,
            start=start,
            options=conditions.options,
            batch_size=run.batch_size,
        ):
            batches.append(batch)
            made += len(batch)
            run.progress(f"samples of seed {conditions.seed}", made - start, end - start)
    if run.processes.count == 1:
        return torch.cat(batches)
    shares = torch.zeros(conditions.samples, *run.generator.sample_shape, dtype=torch.int64)
    if batches:
        shares[start:end] = torch.cat(batches)
    return sum_over_processes(shares)


def _measured(draws: Sequence[float], conditions: Conditions) -> Mapping[str, Any]:
    """The fields of a figure that follow from the values of its draws."""
    error = statistics.stdev(draws) if len(draws) > 1 else None
    return {"value": draws[0], "error": error, "repeats": conditions.repeats, "seed": conditions.seed}


def _over_data(
    run: _Run, metric: LikelihoodMetric, data: TrainingData, count: int, conditions: Conditions
) -> dict[str, float]:
    """The figures over the first `count` samples of the data, which the processes share."""
    start, end = share_of_process(count, run.processes)
    units = metric.units(run.generator, conditions)
    total = torch.zeros(1 + len(units), dtype=torch.float64)
    step = min(_ROWS, run.batch_size or _ROWS)
    for first in range(start, end, step):
        rows = range(first, min(first + step, end))
        some = data.take(rows)
        labels: Tensor | None = data.labels[rows.start : rows.stop] if data.labels is not None else None
        total[0] += metric.compute(run.generator, some, labels, start=first, conditions=conditions).sum()
        for place, per in enumerate(units.values(), 1):
            total[place] += per(some).sum()
        run.progress(metric.name, rows.stop - start, end - start)
    nats, *shares = (total if run.processes.count == 1 else sum_over_processes(total)).tolist()
    return {name: nats / share for name, share in zip(units, shares, strict=True)}
