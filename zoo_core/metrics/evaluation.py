"""`evaluate`: a model, a data set and the names of metrics in; figures with their conditions out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, printable
from zoo_core.interfaces import Generator
from zoo_core.kinds.image import to_uint8
from zoo_core.metrics import likelihood
from zoo_core.metrics.data_features import Progress, check_shared, data_statistics
from zoo_core.metrics.extractors.opening import OpenExtractor, open_extractor
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.frechet import frechet_distance
from zoo_core.metrics.inputs import load_generator, open_data, picture_shape, require_pictures
from zoo_core.metrics.kernel import SUBSET_SEED, SUBSET_SIZE, SUBSETS, kernel_distance
from zoo_core.metrics.likelihood import IMPORTANCE_SAMPLES, Binarization
from zoo_core.metrics.manifold import NEIGHBOURS, ManifoldFigures, manifold_figures
from zoo_core.metrics.statistics import FeatureStatistics, RunningStatistics
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.runtime.processes import Processes, join, sum_over_processes
from zoo_core.sampling.batches import sample_batches
from zoo_core.sampling.distributed import share

FEATURE_METRICS = ("fid", "kid", "prdc")
LIKELIHOODS = ("elbo", "iwae")
DEFAULT_METRICS = FEATURE_METRICS
DEFAULT_EXTRACTOR = "digits"
# The figures that each metric gives.
FIGURES: dict[str, tuple[str, ...]] = {
    "fid": ("fid",),
    "kid": ("kid", "kid_deviation"),
    "prdc": ManifoldFigures._fields,
    "elbo": ("elbo",),
    "iwae": ("iwae",),
}
SAMPLES = 10_000
_PICTURES = 500  # of the data whose likelihood is bounded at a time


def evaluate(
    model: str | Path | Generator,
    data: str | Path | TrainingData,
    *,
    metrics: Iterable[str] = DEFAULT_METRICS,
    n: int = SAMPLES,
    seed: int = 0,
    extractor: str = DEFAULT_EXTRACTOR,
    extractor_weights: str | Path | None = None,
    split: str = "train",
    batch_size: int | None = None,
    device: str = "auto",
    repeats: int = 1,
    importance_samples: int = IMPORTANCE_SAMPLES,
    binarization: Binarization | None = None,
    save_statistics: Path | None = None,
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> list[Figure]:
    """Measure a model on a data set.

    fid, kid and prdc (precision, recall, density, coverage) compare features of n samples with those of the data, its
    pictures decoded at the model's own size as for training. FID takes all pictures, KID and PRDC at most 10,000 of
    each kind. elbo and iwae bound −log p(x) of up to n pictures of the data, in nats. Memory does not grow with n.

    Under torchrun or `accelerate launch` the processes share the work; all return the same figures.

    Args:
        model: a name, a folder or a generator of pictures.
        data: what `zoo train --data` takes, training data that is decoded already, or a file of statistics.
        seed: of the samples; draw r, from 0, takes seed + r.
        extractor: of the features.
        extractor_weights: its file, where it does not bring its own.
        split: of the data.
        batch_size: of the samples; changes no sample.
        repeats: how many draws; from two on, figures carry their standard deviation between draws.
        importance_samples: k of iwae.
        binarization: of the pixels for elbo and iwae; what fits the model's likelihood by default.
        save_statistics: where to write the statistics of the data, to share.
        tell: is given lines about what is done.
        progress: is given what is done, how much and of how much.

    Raises:
        MetricError: for a metric, count or extractor that cannot be used with this model and data.
        DataError: where the data cannot be read.
        ZooError: what `zoo_core.load` raises.
    """
    wanted = check_metrics(metrics)
    if n < 2 or repeats < 1:
        raise MetricError(f"at least 2 samples and 1 repeat are needed, not {n} and {repeats}")
    generator = load_generator(model, device)
    source = open_data(data, picture_shape(generator), split, tell)
    run = _Run(generator, n, seed, repeats, batch_size, join("cpu"), progress)
    figures: list[Figure] = []
    if set(wanted) & set(FEATURE_METRICS):
        features = open_extractor(extractor, weights=extractor_weights, device=device_and_dtype(generator)[0])
        reference = _reference(source, split, features, run, tell)
        if save_statistics is not None and run.processes.first:
            reference.save(save_statistics)
        figures += _feature_figures(run, features, reference, [name for name in wanted if name in FEATURE_METRICS])
    for name in wanted:
        if name in LIKELIHOODS:
            k = importance_samples if name == "iwae" else None
            figures.append(_likelihood_figure(run, name, require_pictures(source, name), split, k, binarization))
    return figures


def check_metrics(metrics: Iterable[str]) -> list[str]:
    """The names, each once. Raises MetricError for one that is none."""
    wanted = list(dict.fromkeys(metrics))
    for name in wanted:
        if name not in FIGURES:
            raise MetricError(f"there is no metric {printable(name, 40)!r}; there are {', '.join(FIGURES)}")
    if not wanted:
        raise MetricError(f"name at least one metric of {', '.join(FIGURES)}")
    return wanted


@dataclass(frozen=True)
class _Run:
    """What all metrics of one call have in common."""

    generator: Generator
    n: int
    seed: int
    repeats: int
    batch_size: int | None
    processes: Processes
    progress: Progress

    def sampled(self, extractor: OpenExtractor, repeat: int) -> FeatureStatistics:
        """Statistics of the samples of one draw."""
        return sample_statistics(
            self.generator,
            extractor,
            self.n,
            seed=self.seed + repeat,
            batch_size=self.batch_size,
            processes=self.processes,
            progress=self.progress,
        )


def sample_statistics(
    generator: Generator,
    extractor: OpenExtractor,
    n: int,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    processes: Processes | None = None,
    progress: Progress = lambda what, done, total: None,
) -> FeatureStatistics:
    """Statistics of n samples, as the 8-bit pictures that would be saved; every process calls this."""
    processes = processes or Processes()
    running = RunningStatistics(n, extractor.facts.dimensions)
    start, end = share(n, processes)
    done = start
    if end > start:
        for batch in sample_batches(generator, end - start, seed=seed, start=start, batch_size=batch_size):
            pictures = torch.from_numpy(to_uint8(batch)).permute(0, 3, 1, 2)
            running.add(done, extractor(pictures))
            done += len(batch)
            progress(f"samples of seed {seed}", done - start, end - start)
    return running.finish({"seed": str(seed)}, processes)


def compare(reference: FeatureStatistics, found: FeatureStatistics, metrics: Iterable[str]) -> dict[str, float]:
    """Figures of features against those of the data, by name: prdc gives four, kid two."""
    size = min(len(reference.kept), len(found.kept))
    real, fake = reference.kept[:size], found.kept[:size]  # they are in random order
    values: dict[str, float] = {}
    for metric in metrics:
        if metric == "fid":
            values["fid"] = frechet_distance(reference, found)
        elif metric == "kid":
            distance = kernel_distance(real, fake)
            values |= {"kid": distance.mean, "kid_deviation": distance.deviation}
        elif metric == "prdc":
            values |= manifold_figures(real, fake)._asdict()
    return values


def _detail(name: str, reference: FeatureStatistics, n: int) -> str:
    """What else decides a figure of `compare`."""
    if name == "fid":
        return f"against {reference.count:,} pictures"
    size = min(len(reference.kept), n)
    if name in ("kid", "kid_deviation"):
        return f"{SUBSETS} subsets of {min(SUBSET_SIZE, size):,} of {size:,}, drawn by seed {SUBSET_SEED}"
    return f"k = {NEIGHBOURS}, {size:,} of each"


def _reference(
    source: TrainingData | Path, split: str, extractor: OpenExtractor, run: _Run, tell: Callable[[str], object]
) -> FeatureStatistics:
    if isinstance(source, TrainingData):
        return data_statistics(source, split, extractor, processes=run.processes, tell=tell, progress=run.progress)
    extractor.check(run.generator.sample_shape[0])
    found = FeatureStatistics.load(source)
    check_shared(found, extractor, run.generator.sample_shape, source)
    return found


def _feature_figures(
    run: _Run, extractor: OpenExtractor, reference: FeatureStatistics, metrics: Sequence[str]
) -> list[Figure]:
    draws = [compare(reference, run.sampled(extractor, repeat), metrics) for repeat in range(run.repeats)]
    return [
        Figure(
            metric=name,
            value=value,
            error=_deviation([draw[name] for draw in draws]),
            repeats=run.repeats,
            dataset=reference.facts["dataset"],
            split=reference.facts["split"],
            fingerprint=reference.facts["fingerprint"],
            samples=run.n,
            seed=run.seed,
            extractor=extractor.facts.name,
            version=extractor.facts.version,
            weights=extractor.weights,
            resizing=extractor.facts.resizing,
            detail=_detail(name, reference, run.n),
        )
        for name, value in draws[0].items()
    ]


def _likelihood_figure(
    run: _Run, name: str, data: TrainingData, split: str, k: int | None, binarization: Binarization | None
) -> Figure:
    chosen = likelihood.choose_binarization(run.generator, binarization)
    count = min(run.n, len(data))
    draws = [_mean_bound(run, name, data, count, run.seed + repeat, k, chosen) for repeat in range(run.repeats)]
    described = likelihood.describe(chosen, bool(getattr(run.generator, "binary", False)))
    return Figure(
        metric=name,
        value=draws[0],
        error=_deviation(draws),
        repeats=run.repeats,
        dataset=data.name,
        split=split,
        fingerprint=data.fingerprint,
        samples=count,
        seed=run.seed,
        detail=f"bound on −log p(x) in nats, {described}" + (f", k = {k}" if k else ""),
    )


def _mean_bound(
    run: _Run, name: str, data: TrainingData, count: int, seed: int, k: int | None, binarization: Binarization
) -> float:
    """Over the first `count` pictures of the data, which the processes share."""
    start, end = share(count, run.processes)
    total = torch.zeros((), dtype=torch.float64)
    for first in range(start, end, _PICTURES):
        rows = range(first, min(first + _PICTURES, end))
        labels: Tensor | None = data.labels[rows.start : rows.stop] if data.labels is not None else None
        total += likelihood.upper_bound(
            run.generator,
            data.take(rows),
            labels,
            start=first,
            seed=seed,
            binarization=binarization,
            importance_samples=k,
        ).sum()
        run.progress(name, rows.stop - start, end - start)
    return float(total if run.processes.count == 1 else sum_over_processes(total)) / count


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
