"""Statistics of a data set's features: computed once, then read from the cache or from a shared file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from torch import Tensor

from zoo_core.data.cache import is_there
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, OutputError, printable
from zoo_core.files.folders import cache_folder
from zoo_core.interfaces import Generator
from zoo_core.interfaces.names import canonical_name
from zoo_core.metrics.extractors.opening import OpenExtractor
from zoo_core.metrics.presenting import data_to_measure, sample_rate
from zoo_core.metrics.reporting import MeasuringProgress, Tell, no_message, no_progress
from zoo_core.metrics.statistics import FORMAT, KEPT, FeatureStatistics, RunningStatistics
from zoo_core.runtime.processes import Processes
from zoo_core.sampling.distributed import share_of_process

BATCH = 256  # samples at a time: fewer leave threads idle, more do not fit into a processor's cache


def data_facts(
    data: TrainingData, split: str, extractor: OpenExtractor, generator: Generator | None = None
) -> dict[str, str]:
    """Return what identifies statistics of this data by this extractor: equal facts mean equal statistics.

    Args:
        generator: a model whose samples are like the data; it may be left out for pictures.
    """
    return {
        "dataset": data.name,
        "split": split,
        "fingerprint": data.fingerprint,
        "shape": "x".join(map(str, data.sample_shape)),
        "extractor": extractor.facts.name,
        "version": str(extractor.facts.version),
        "weights": extractor.weights,
        "resizing": extractor.facts.resizing,
    } | _kind_facts(generator)


def _kind_facts(generator: Generator | None) -> dict[str, str]:
    """What the shape does not tell about samples that are not pictures."""
    if generator is None or generator.kind == "image":
        return {}
    rate = sample_rate(generator)
    return {"kind": canonical_name(generator.kind)} | ({"sample_rate": str(rate)} if rate is not None else {})


def data_statistics(
    data: TrainingData,
    split: str,
    extractor: OpenExtractor,
    *,
    generator: Generator | None = None,
    processes: Processes | None = None,
    tell: Tell = no_message,
    progress: MeasuringProgress = no_progress,
) -> FeatureStatistics:
    """Return statistics of all samples of the data, from the cache if it has them; every process must call this.

    Args:
        data: pictures (N, C, H, W), uint8, or samples of another kind in the range of the model.
        split: name of the split they are, recorded with the statistics.
        generator: a model whose samples are like the data; it may be left out for pictures.
        processes: the processes that share the work; by default this one alone.

    Raises:
        MetricError: if the extractor does not take such samples.
        DataError: for a sample that cannot be decoded.
    """
    processes = processes or Processes()
    extractor.check("image" if generator is None else generator.kind, data.sample_shape)
    facts = data_facts(data, split, extractor, generator)
    file = cache_file(facts)
    cached = _load(file, tell)
    if not processes.any(cached is None):
        assert cached is not None
        return cached
    running = RunningStatistics(len(data), extractor.facts.dimensions)
    start, end = share_of_process(len(data), processes)
    for first in range(start, end, BATCH):
        rows = range(first, min(first + BATCH, end))
        running.add(first, _features(extractor, generator, data.take(rows)))
        progress(f"features of {data.name}", rows.stop - start, end - start)
    computed = running.finish(facts, processes)
    if processes.first:
        _keep(computed, file, tell)
    return computed


def _features(extractor: OpenExtractor, generator: Generator | None, samples: Tensor) -> Tensor:
    if generator is None:
        return extractor(samples)
    return extractor(data_to_measure(generator, samples), sample_rate=sample_rate(generator))


def cache_file(facts: dict[str, str]) -> Path:
    """Return the file that caches statistics with these facts: in `statistics`, beside the decoded pictures."""
    key = hashlib.sha256(json.dumps([FORMAT, KEPT, facts], sort_keys=True).encode()).hexdigest()
    return cache_folder() / "statistics" / f"{key[:32]}.safetensors"


def _load(file: Path, tell: Tell) -> FeatureStatistics | None:
    if not is_there(file):
        return None
    try:
        return FeatureStatistics.load(file)
    except MetricError as error:
        tell(f"{printable(error)}; the statistics are computed again")
        return None


def _keep(statistics: FeatureStatistics, file: Path, tell: Tell) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        statistics.save(file)
    except (OSError, OutputError) as error:
        tell(f"the statistics of the data are not cached, and will be computed again next time: {printable(error)}")


def check_shared(statistics: FeatureStatistics, extractor: OpenExtractor, generator: Generator, file: Path) -> None:
    """Raise MetricError if statistics from a file are of another extractor, or of other samples than a model makes."""
    missing = [name for name in ("dataset", "split", "fingerprint") if name not in statistics.facts]
    if missing:
        raise MetricError(
            f"{printable(file)} does not state its {' and '.join(missing)}; write it with zoo eval --save-statistics"
        )
    if statistics.mean.numel() != extractor.facts.dimensions:
        raise MetricError(
            f"{printable(file)} cannot be compared with: it has {statistics.mean.numel()} features of a sample, "
            f"and extractor {extractor.facts.name} has {extractor.facts.dimensions}"
        )
    expected = {
        "extractor": extractor.facts.name,
        "version": str(extractor.facts.version),
        "weights": extractor.weights,
        "shape": "x".join(map(str, generator.sample_shape)),
    } | _kind_facts(generator)
    for name, value in expected.items():
        stated = str(statistics.facts.get(name, "not stated"))
        if stated != value:
            raise MetricError(
                f"{printable(file)} cannot be compared with: its {name} is {printable(stated, 80)}, not {value}"
            )
