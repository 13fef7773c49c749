"""What tells training data apart: one sha256 over samples and labels, fed piece by piece."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_PIECE_BYTES = 2**20


class Fingerprint:
    """sha256 over dtype, shape and values of samples, then of labels; how they lie in memory makes no difference.

    Args:
        dtype, shape: of all samples, (N, *sample_shape).
    """

    def __init__(self, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
        self._hash = hashlib.sha256(str((dtype, tuple(shape))).encode())

    def add(self, samples: Tensor) -> None:
        """The next samples. They are made contiguous in small pieces: they may be larger than memory."""
        step = max(1, _PIECE_BYTES // max(1, samples[:1].nbytes))
        for start in range(0, len(samples), step):
            piece = samples[start : start + step]
            self._hash.update(piece.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)

    def of_samples(self) -> str:
        """In hexadecimal, of what was added."""
        return self._hash.hexdigest()

    def with_labels(self, labels: Tensor | None) -> str:
        """In hexadecimal, of what was added and the labels (N,)."""
        whole = self._hash.copy()
        if labels is not None:
            whole.update(labels.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return whole.hexdigest()
