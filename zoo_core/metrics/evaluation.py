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
from zoo_core.kinds.pictures import to_uint8
from zoo_core.metrics.conditions import DEFAULTS, Binarization, Conditions
from zoo_core.metrics.data_features import check_shared, data_statistics
from zoo_core.metrics.extractors.opening import OpenExtractor, open_extractor
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.inputs import load_generator, open_data, picture_shape, require_pictures
from zoo_core.metrics.reporting import MeasuringProgress, Tell, no_message, no_progress
from zoo_core.metrics.statistics import FeatureStatistics, RunningStatistics
from zoo_core.metrics.table import DEFAULT_METRICS, Counts, FeatureMetric, PictureMetric, find_metrics
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.runtime.processes import Processes, join, sum_over_processes
from zoo_core.runtime.torch_defaults import torch_defaults
from zoo_core.sampling.batches import sample_batches
from zoo_core.sampling.distributed import share_of_process

_PICTURES = 500  # of the data that a PictureMetric takes at a time


@torch_defaults()
def evaluate(
    model: str | Path | Generator,
    data: str | Path | TrainingData | Tensor | np.ndarray | Iterable[Any],
    *,
    metrics: Iterable[str] = DEFAULT_METRICS,
    n: int = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    extractor: str = DEFAULTS.extractor,
    extractor_weights: str | Path | None = None,
    split: str = DEFAULTS.split,
    batch_size: int | None = None,
    device: str = "auto",
    repeats: int = DEFAULTS.repeats,
    importance_samples: int = DEFAULTS.importance_samples,
    binarization: Binarization | None = None,
    save_statistics: str | Path | None = None,
    tell: Tell = no_message,
    progress: MeasuringProgress = no_progress,
) -> list[Figure]:
    """Measure a model on a data set.

    fid, kid and prdc (precision, recall, density, coverage) compare features of n samples with those of the data, whose
    pictures are decoded at the size of the model's samples, as for training. FID uses all pictures, KID and PRDC at
    most 10,000 of each set. elbo and iwae bound −log p(x) of up to n pictures of the data, in nats. Memory does not
    grow with n.

    Under torchrun or `accelerate launch` the processes share the work, and all return the same figures.

    Args:
        model: a name, a folder or a generator of pictures.
        data: whatever `zoo train --data` takes, 8-bit pictures in memory as `Trainer.fit` takes them, or a file of
            statistics.
        metrics: names of metrics: fid, kid, prdc, elbo, iwae.
        n: number of samples.
        seed: seed for the samples; draw r, from 0, uses seed + r.
        extractor: name of the feature extractor.
        extractor_weights: weights file, for an extractor that does not bundle one.
        split: split of the data.
        batch_size: samples computed at a time; changes no sample.
        device: device for a model given by name or folder: auto, cpu, cuda, cuda:N or mps.
        repeats: number of draws; with two or more, figures carry their standard deviation between draws.
        importance_samples: k of iwae.
        binarization: how pixels are made binary for elbo and iwae; by default what fits the model's likelihood.
        save_statistics: where to write the statistics of the data, to share them.
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
    chosen = find_metrics(metrics)
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
    source = open_data(data, picture_shape(generator), split, tell)
    return measure(
        generator,
        source,
        chosen,
        conditions,
        batch_size=batch_size,
        save_statistics=save_statistics,
        tell=tell,
        progress=progress,
    )


def measure(
    generator: Generator,
    source: TrainingData | Path,
    metrics: Sequence[FeatureMetric | PictureMetric],
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
    figures: list[Figure] = []
    if of_features:
        device, _ = device_and_dtype(generator)
        extractor = open_extractor(conditions.extractor, weights=conditions.extractor_weights, device=device)
        reference = _reference(run, source, extractor, tell)
        if save_statistics is not None and run.processes.first:
            reference.save(save_statistics)
        figures += _feature_figures(run, extractor, reference, of_features)
    for metric in metrics:
        if isinstance(metric, PictureMetric):
            figures.append(_picture_figure(run, metric, require_pictures(source, metric.name)))
    return figures


def compare(reference: FeatureStatistics, samples: FeatureStatistics, metrics: Iterable[str]) -> dict[str, float]:
    """Return the figures of samples against the data, by name, from the statistics of their features.

    Args:
        reference: statistics of the data.
        samples: statistics of the samples, or of other pictures.
        metrics: names of metrics of features: fid gives one figure, kid two, prdc four.

    Raises:
        MetricError: for another metric, or too few pictures.

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
    batch_size: int | None = None,
    processes: Processes | None = None,
    progress: MeasuringProgress = no_progress,
) -> FeatureStatistics:
    """Return statistics of n samples, as the 8-bit pictures that would be saved; every process must call this."""
    processes = processes or Processes()
    running = RunningStatistics(n, extractor.facts.dimensions)
    start, end = share_of_process(n, processes)
    done = start
    if end > start:
        for batch in sample_batches(generator, end - start, seed=seed, start=start, batch_size=batch_size):
            pictures = torch.from_numpy(to_uint8(batch)).permute(0, 3, 1, 2)
            running.add(done, extractor(pictures))
            done += len(batch)
            progress(f"samples of seed {seed}", done - start, end - start)
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
            source, run.conditions.split, extractor, processes=run.processes, tell=tell, progress=run.progress
        )
    extractor.check(run.generator.sample_shape[0])
    reference = FeatureStatistics.load(source)
    check_shared(reference, extractor, run.generator.sample_shape, source)
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
            detail=metric.detail(counts.pictures, counts.pairs),
            warning=metric.warning(counts),
        )
        for metric in metrics
        for name in metric.figures
    ]


def _picture_figure(run: _Run, metric: PictureMetric, data: TrainingData) -> Figure:
    detail = metric.detail(run.generator, run.conditions)  # refuses a model without this metric, before any work
    count = min(run.conditions.samples, len(data))
    draws = [_mean_over_pictures(run, metric, data, count, conditions) for conditions in run.draws]
    return Figure(
        **_measured(draws, run.conditions),
        metric=metric.name,
        dataset=data.name,
        split=run.conditions.split,
        fingerprint=data.fingerprint,
        samples=count,
        detail=detail,
        warning=metric.warning(run.conditions),
    )


def _measured(draws: Sequence[float], conditions: Conditions) -> Mapping[str, Any]:
    """The fields of a figure that follow from the values of its draws."""
    error = statistics.stdev(draws) if len(draws) > 1 else None
    return {"value": draws[0], "error": error, "repeats": conditions.repeats, "seed": conditions.seed}


def _mean_over_pictures(
    run: _Run, metric: PictureMetric, data: TrainingData, count: int, conditions: Conditions
) -> float:
    """The mean over the first `count` pictures of the data, which the processes share."""
    start, end = share_of_process(count, run.processes)
    total = torch.zeros((), dtype=torch.float64)
    for first in range(start, end, _PICTURES):
        rows = range(first, min(first + _PICTURES, end))
        labels: Tensor | None = data.labels[rows.start : rows.stop] if data.labels is not None else None
        total += metric.compute(run.generator, data.take(rows), labels, start=first, conditions=conditions).sum()
        run.progress(metric.name, rows.stop - start, end - start)
    return float(total if run.processes.count == 1 else sum_over_processes(total)) / count
