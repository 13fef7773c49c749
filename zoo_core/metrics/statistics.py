"""What is known of a set of features: mean and covariance, gathered in a stream, and a fixed number of the features.

A million pictures need no more memory than ten thousand: the mean and the sum of squared deviations are updated
batch by batch and merged without loss of precision (Chan, Golub & LeVeque, 1983), and only `KEPT` features stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from zoo_core.errors import MetricError, printable
from zoo_core.files.atomic import write_bytes
from zoo_core.runtime.processes import Processes, sum_over_processes

KEPT = 10_000  # features that KID, precision, recall, density and coverage are computed from
FORMAT = "1"


@dataclass(frozen=True)
class FeatureStatistics:
    """A set of pictures as an extractor sees it.

    Attributes:
        count: N, of the pictures.
        mean: (D,), float64.
        covariance: (D, D), float64, with N − 1 in the denominator.
        kept: (min(N, KEPT), D), float32: some of the features, in random order.
        facts: what they are of: data set, split, fingerprint, extractor, …
    """

    count: int
    mean: Tensor
    covariance: Tensor
    kept: Tensor
    facts: Mapping[str, str]

    def save(self, path: Path) -> None:
        """Write a safetensors file, its facts in the metadata, to share. Raises OutputError."""
        facts = json.dumps(dict(self.facts), sort_keys=True)
        metadata = {"format": FORMAT, "count": str(self.count), "facts": facts, "sha256": self._digest(facts)}
        tensors = {"mean": self.mean, "covariance": self.covariance, "kept": self.kept}
        write_bytes(path, to_bytes(tensors, metadata))

    def _digest(self, facts: str) -> str:
        digest = hashlib.sha256(f"{self.count} {facts}".encode())
        for tensor in (self.mean, self.covariance, self.kept):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    @classmethod
    def load(cls, path: Path) -> FeatureStatistics:
        """Read what `save` wrote. Raises MetricError."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise MetricError(f"{printable(path)} holds no statistics that this version reads")
                mean, covariance, kept = (file.get_tensor(name) for name in ("mean", "covariance", "kept"))
            facts = msgspec.convert(json.loads(metadata["facts"]), dict[str, str])
            found = cls(int(metadata["count"]), mean, covariance, kept, facts)
        except (OSError, SafetensorError, LookupError, ValueError) as error:
            raise MetricError(f"{printable(path)} holds no statistics: {printable(error, 120)}") from error
        size = mean.numel()
        if mean.shape != (size,) or covariance.shape != (size, size) or kept.shape[1:] != (size,):
            raise MetricError(f"{printable(path)} holds no statistics: its tensors do not fit each other")
        if found._digest(metadata["facts"]) != metadata.get("sha256"):
            raise MetricError(f"{printable(path)} is damaged: its sha256 is not the one that it states")
        return found


def kept_rows(count: int) -> np.ndarray:
    """Which pictures of `count` are kept, in the order in which they are: the same ones at every call."""
    return np.random.default_rng(0).permutation(count)[:KEPT]


class RunningStatistics:
    """Statistics of features that come in batches, of pictures 0 … count − 1, in this process or shared among several.

    Args:
        count: of the pictures that will come, over all processes.
        dimensions: D.
    """

    def __init__(self, count: int, dimensions: int) -> None:
        self._total, self._seen = count, 0
        self._mean = torch.zeros(dimensions, dtype=torch.float64)
        self._squares = torch.zeros(dimensions, dimensions, dtype=torch.float64)
        rows = torch.from_numpy(kept_rows(count))
        self._slot = torch.full((count,), -1, dtype=torch.int32)
        self._slot[rows] = torch.arange(len(rows), dtype=torch.int32)
        self._kept = torch.zeros(len(rows), dimensions)

    def add(self, start: int, features: Tensor) -> None:
        """Features (n, D) of pictures start … start + n − 1. Raises MetricError for NaN or infinite ones."""
        features = features.cpu()
        if not bool(features.isfinite().all()):
            raise MetricError("the extractor gives NaN or infinite features")
        slots = self._slot[start : start + len(features)]
        self._kept[slots[slots >= 0]] = features[slots >= 0].float()
        wide = features.double()
        mean = wide.mean(0)
        deviations = wide - mean
        self._merge(len(wide), mean, deviations.T @ deviations)

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        total = self._seen + count
        shift = mean - self._mean
        self._squares += squares + torch.outer(shift, shift) * (self._seen * count / total)
        self._mean += shift * (count / total)
        self._seen = total

    def finish(self, facts: Mapping[str, str], processes: Processes | None = None) -> FeatureStatistics:
        """The statistics of all features of all processes; every one of them calls this.

        Raises:
            MetricError: where fewer than two came, or not as many as were announced.
        """
        if processes is not None and processes.count > 1:
            self._gather()
        if self._seen != self._total:
            raise MetricError(f"there are features of {self._seen:,} pictures, not of {self._total:,}")
        if self._seen < 2:
            raise MetricError("statistics need at least two pictures")
        covariance = self._squares / (self._seen - 1)
        return FeatureStatistics(self._seen, self._mean, covariance, self._kept, dict(facts))

    def _gather(self) -> None:
        """Mean and squares of several processes, as `_merge` has them for two; rows that one process keeps, for all."""
        seen = torch.tensor(float(self._seen), dtype=torch.float64)
        total = sum_over_processes(seen)
        mean = sum_over_processes(self._mean * seen) / total
        shift = self._mean - mean
        self._squares = sum_over_processes(self._squares + torch.outer(shift, shift) * seen)
        self._mean, self._seen = mean, int(total)
        self._kept = sum_over_processes(self._kept)
