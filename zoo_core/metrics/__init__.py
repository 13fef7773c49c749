"""How good a model is: FID, KID, precision and recall, density and coverage, likelihood bounds, nearest neighbours.

Names are imported at first use (PEP 562), so that nothing here costs a look-up in the registry the import of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core.metrics.evaluation import compare as compare
    from zoo_core.metrics.evaluation import evaluate as evaluate
    from zoo_core.metrics.extractors import open_extractor as open_extractor
    from zoo_core.metrics.figures import Figure as Figure
    from zoo_core.metrics.statistics import FeatureStatistics as FeatureStatistics
    from zoo_core.metrics.statistics import RunningStatistics as RunningStatistics

_HOME = {
    "FeatureStatistics": "statistics",
    "Figure": "figures",
    "RunningStatistics": "statistics",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "open_extractor": "extractors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'zoo_core.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo_core.metrics.{home}"), name)
