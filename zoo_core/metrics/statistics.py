"""Statistics of a set of features: mean and covariance, computed as a stream, and a fixed number of the features.

A million samples need no more memory than ten thousand: the mean and the sum of squared deviations are updated batch
by batch and merged without loss of precision (Chan, Golub & LeVeque, 1983), and only `KEPT` features are kept.
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
from zoo_core.files import strict_json
from zoo_core.files.atomic import write_bytes
from zoo_core.files.paths import user_path
from zoo_core.files.utf8_names import utf8_name
from zoo_core.runtime.processes import Processes, sum_over_processes

KEPT = 10_000  # features kept for KID, precision, recall, density and coverage
FORMAT = "1"


@dataclass(frozen=True)
class FeatureStatistics:
    """The features of a set of samples, summarised.

    Attributes:
        count: N, the number of samples.
        mean: (D,), float64.
        covariance: (D, D), float64, with N − 1 in the denominator.
        kept: (min(N, KEPT), D), float32: some of the features, in random order.
        facts: what the features are of: data set, split, fingerprint, extractor, ….

    Example:
        >>> running = RunningStatistics(count=3, dimensions=2)
        >>> running.add(0, torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]))
        >>> statistics = running.finish({"dataset": "mine"})
        >>> statistics.mean.tolist(), statistics.covariance.diag().tolist()
        ([2.0, 2.0], [4.0, 3.0])
    """

    count: int
    mean: Tensor
    covariance: Tensor
    kept: Tensor
    facts: Mapping[str, str]

    def save(self, path: str | Path) -> None:
        """Write a safetensors file to share, with the facts in its metadata. Raises OutputError.

        Example:
            >>> from pathlib import Path
            >>> import tempfile
            >>> running = RunningStatistics(count=2, dimensions=1)
            >>> running.add(0, torch.tensor([[1.0], [2.0]]))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     running.finish({"dataset": "mine"}).save(Path(folder, "mine.safetensors"))
            ...     FeatureStatistics.load(Path(folder, "mine.safetensors")).facts
            {'dataset': 'mine'}
        """
        facts = json.dumps(dict(self.facts), sort_keys=True)
        metadata = {"format": FORMAT, "count": str(self.count), "facts": facts, "sha256": self._digest(facts)}
        tensors = {"mean": self.mean, "covariance": self.covariance, "kept": self.kept}
        write_bytes(user_path(path), to_bytes(tensors, metadata))

    def _digest(self, facts: str) -> str:
        digest = hashlib.sha256(f"{self.count} {facts}".encode())
        for tensor in (self.mean, self.covariance, self.kept):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> FeatureStatistics:
        """Read a file that `save` wrote.

        Raises:
            MetricError: if the file is missing, damaged, or not such a file; a file from a stranger is safe to read.

        Example:
            >>> from pathlib import Path
            >>> FeatureStatistics.load(Path("nowhere.safetensors"))
            Traceback (most recent call last):
            zoo_core.errors.MetricError: nowhere.safetensors holds no statistics: ...
        """
        path = user_path(path)
        try:
            with utf8_name(path) as readable, safe_open(readable, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise MetricError(f"{printable(path)} holds no statistics that this version reads")
                mean, covariance, kept = (file.get_tensor(name) for name in ("mean", "covariance", "kept"))
            facts = msgspec.convert(strict_json.decode(metadata["facts"].encode()), dict[str, str])
            loaded = cls(int(metadata["count"]), mean, covariance, kept, facts)
        except (OSError, SafetensorError, LookupError, ValueError) as error:
            raise MetricError(f"{printable(path)} holds no statistics: {printable(error, 120)}") from error
        loaded._check_tensors(path)
        if loaded._digest(metadata["facts"]) != metadata.get("sha256"):
            raise MetricError(f"{printable(path)} is damaged: its sha256 is not the one that it states")
        return loaded

    def _check_tensors(self, path: Path) -> None:
        """Raise MetricError for tensors on which a distance would fail far from the file that is to blame."""
        tensors, size = (self.mean, self.covariance, self.kept), self.mean.numel()
        shapes = [(size,), (size, size), (min(self.count, KEPT), size)]
        if size == 0 or [tuple(tensor.shape) for tensor in tensors] != shapes:
            raise MetricError(f"{printable(path)} holds no statistics: its tensors do not fit each other")
        if [tensor.dtype for tensor in tensors] != [torch.float64, torch.float64, torch.float32]:
            raise MetricError(f"{printable(path)} holds no statistics: its tensors are of another type")
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise MetricError(f"{printable(path)} holds no statistics: its tensors hold NaN or infinity")


def kept_rows(count: int) -> np.ndarray:
    """Return which of `count` samples are kept, in the order in which they are kept; every call returns the same."""
    return np.random.default_rng(0).permutation(count)[:KEPT]


class RunningStatistics:
    """Statistics of features that arrive in batches, for samples 0 … count − 1, in one process or in several.

    Args:
        count: number of samples that will be added, over all processes.
        dimensions: D, the number of features of a sample.

    Example:
        >>> features = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> running = RunningStatistics(count=100, dimensions=4)
        >>> running.add(0, features[:60])
        >>> running.add(60, features[60:])
        >>> torch.allclose(running.finish({}).covariance, features.double().T.cov())
        True
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
        """Add the features (n, D) of samples start … start + n − 1. Raises MetricError for NaN or infinite ones.

        Example:
            >>> RunningStatistics(count=1, dimensions=1).add(0, torch.tensor([[float("nan")]]))
            Traceback (most recent call last):
            zoo_core.errors.MetricError: the extractor gives NaN or infinite features
        """
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
        """Return the statistics of all features of all processes; every process must call this.

        Args:
            facts: what the features are of, recorded with the statistics.
            processes: the processes that added features; by default this one alone.

        Raises:
            MetricError: if fewer than two samples were added, or not as many as were announced.

        Example:
            >>> RunningStatistics(count=5, dimensions=1).finish({})
            Traceback (most recent call last):
            zoo_core.errors.MetricError: there are features of 0 samples, not of 5
        """
        if processes is not None and processes.count > 1:
            self._gather()
        if self._seen != self._total:
            raise MetricError(f"there are features of {self._seen:,} samples, not of {self._total:,}")
        if self._seen < 2:
            raise MetricError("statistics need at least two samples")
        covariance = self._squares / (self._seen - 1)
        return FeatureStatistics(self._seen, self._mean, covariance, self._kept, dict(facts))

    def _gather(self) -> None:
        """Combine the processes: mean and squares as `_merge` does for two, and the rows that each of them keeps."""
        seen = torch.tensor(float(self._seen), dtype=torch.float64)
        total = sum_over_processes(seen)
        mean = sum_over_processes(self._mean * seen) / total
        shift = self._mean - mean
        self._squares = sum_over_processes(self._squares + torch.outer(shift, shift) * seen)
        self._mean, self._seen = mean, int(total)
        self._kept = sum_over_processes(self._kept)
