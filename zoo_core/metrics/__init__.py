"""Metrics: how good a model is, in figures that can be measured again.

evaluation         `evaluate`: a model, a data set and names of metrics in, figures out
inputs             the generator and the data that are measured
extractors         networks in whose features samples are measured
statistics         mean, covariance and some features of a set, gathered in a stream
data_features      statistics of a data set's features, cached and shared as a file
frechet            FID
kernel             KID
manifold           precision, recall, density, coverage
likelihood         ELBO and importance-weighted bound
neighbours         the pictures of a data set nearest to samples
figures            a measured figure with its conditions
golden             samples stored beside a model, which it must make again
verification       what `zoo verify` checks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core._lazy import lazy_names

if TYPE_CHECKING:
    from zoo_core.metrics.evaluation import compare as compare
    from zoo_core.metrics.evaluation import evaluate as evaluate
    from zoo_core.metrics.extractors.opening import open_extractor as open_extractor
    from zoo_core.metrics.figures import Figure as Figure
    from zoo_core.metrics.statistics import FeatureStatistics as FeatureStatistics
    from zoo_core.metrics.statistics import RunningStatistics as RunningStatistics

_HOMES = {
    "FeatureStatistics": "zoo_core.metrics.statistics",
    "Figure": "zoo_core.metrics.figures",
    "RunningStatistics": "zoo_core.metrics.statistics",
    "compare": "zoo_core.metrics.evaluation",
    "evaluate": "zoo_core.metrics.evaluation",
    "open_extractor": "zoo_core.metrics.extractors.opening",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
