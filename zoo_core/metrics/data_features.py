"""Statistics of a data set's features: computed once, kept in the cache, and shared as a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from zoo_core.data.cache import is_there
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError, OutputError, printable
from zoo_core.files.folders import cache_folder
from zoo_core.metrics.extractors.opening import OpenExtractor
from zoo_core.metrics.statistics import FORMAT, KEPT, FeatureStatistics, RunningStatistics
from zoo_core.runtime.processes import Processes
from zoo_core.sampling.distributed import share

BATCH = 256  # pictures of the data at a time: fewer cost threads their time, more do not fit a processor's cache

Progress = Callable[[str, int, int], object]  # what is being done, how much of it, and how much there is


def data_facts(data: TrainingData, split: str, extractor: OpenExtractor) -> dict[str, str]:
    """What statistics of this data by this extractor are of; they are the same exactly where these are."""
    return {
        "dataset": data.name,
        "split": split,
        "fingerprint": data.fingerprint,
        "shape": "x".join(map(str, data.sample_shape)),
        "extractor": extractor.facts.name,
        "version": str(extractor.facts.version),
        "weights": extractor.weights,
        "resizing": extractor.facts.resizing,
    }


def data_statistics(
    data: TrainingData,
    split: str,
    extractor: OpenExtractor,
    *,
    processes: Processes | None = None,
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> FeatureStatistics:
    """Statistics of all pictures of the data, from the cache where they are there; every process calls this.

    Raises:
        MetricError: where the extractor does not take such pictures. DataError: for one that cannot be decoded.
    """
    processes = processes or Processes()
    extractor.check(data.sample_shape[0])
    facts = data_facts(data, split, extractor)
    file = cache_file(facts)
    cached = _load(file, tell)
    if not processes.any(cached is None):
        assert cached is not None
        return cached
    running = RunningStatistics(len(data), extractor.facts.dimensions)
    start, end = share(len(data), processes)
    for first in range(start, end, BATCH):
        rows = range(first, min(first + BATCH, end))
        running.add(first, extractor(data.take(rows)))
        progress(f"features of {data.name}", rows.stop - start, end - start)
    found = running.finish(facts, processes)
    if processes.first:
        _keep(found, file, tell)
    return found


def cache_file(facts: dict[str, str]) -> Path:
    """Where statistics of these facts lie: in `statistics`, beside the decoded pictures."""
    key = hashlib.sha256(json.dumps([FORMAT, KEPT, facts], sort_keys=True).encode()).hexdigest()
    return cache_folder() / "statistics" / f"{key[:32]}.safetensors"


def _load(file: Path, tell: Callable[[str], object]) -> FeatureStatistics | None:
    if not is_there(file):
        return None
    try:
        return FeatureStatistics.load(file)
    except MetricError as error:
        tell(f"{printable(error)}: the statistics are computed anew")
        return None


def _keep(statistics: FeatureStatistics, file: Path, tell: Callable[[str], object]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        statistics.save(file)
    except (OSError, OutputError) as error:
        tell(f"the statistics of the data are not kept for the next time: {printable(error)}")


def check_shared(statistics: FeatureStatistics, extractor: OpenExtractor, shape: tuple[int, ...], file: Path) -> None:
    """Raise MetricError where statistics from a file are not of this extractor, or not of pictures of this shape."""
    unstated = [name for name in ("dataset", "split", "fingerprint") if name not in statistics.facts]
    if unstated:
        raise MetricError(f"{printable(file)} does not state its {' and '.join(unstated)}")
    expected = {
        "extractor": extractor.facts.name,
        "version": str(extractor.facts.version),
        "weights": extractor.weights,
        "shape": "x".join(map(str, shape)),
    }
    for name, value in expected.items():
        found = str(statistics.facts.get(name, "not stated"))
        if found != value:
            raise MetricError(
                f"{printable(file)} cannot be compared with: its {name} is {printable(found, 80)}, not {value}"
            )
