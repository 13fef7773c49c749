"""Metrics: how good a model is, in figures that can be measured again.

table              the table of metrics: names, figures, how each is computed, and its detail
conditions         what decides a figure besides model and data
evaluation         `evaluate`: figures of a model on a data set
figures            a measured figure with its conditions
inputs             the generator and the data to measure
presenting         samples and data as extractors take them
extractors         networks in whose features samples and data are compared
statistics         mean, covariance and some features of a set of samples, computed as a stream
data_features      statistics of a data set's features, cached and shared as a file
distances          FID, KID, precision, recall, density and coverage, from features
likelihood         ELBO and importance-weighted bound
log_prob           the log-likelihood that a model states itself, in nats and in bits
ngrams             texts compared by their n-grams
neighbours         the pictures of a data set that are nearest to samples
golden             samples stored beside a model, which it must reproduce
verification       what `zoo verify` checks
reporting          callbacks for messages and progress
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
