"""The fingerprint of training data: a sha256 over samples and labels, computed piece by piece."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_PIECE_BYTES = 2**20


class Fingerprint:
    """A sha256 over dtype, shape and values of samples, then of labels, independent of their layout in memory.

    Args:
        dtype: of the samples.
        shape: of all samples, (N, *sample_shape).

    Example:
        >>> whole, pieces = (Fingerprint(torch.float32, (4, 2)) for _ in range(2))
        >>> whole.add(torch.ones(4, 2))
        >>> pieces.add(torch.ones(1, 2))
        >>> pieces.add(torch.ones(3, 2))
        >>> whole.of_samples() == pieces.of_samples()
        True
    """

    def __init__(self, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
        self._hash = hashlib.sha256(str((dtype, tuple(shape))).encode())

    def add(self, samples: Tensor) -> None:
        """Add the next samples. They are made contiguous in small pieces, as they may be larger than memory."""
        step = max(1, _PIECE_BYTES // max(1, samples[:1].nbytes))
        for start in range(0, len(samples), step):
            piece = samples[start : start + step]
            self._hash.update(piece.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)

    def of_samples(self) -> str:
        """Return the fingerprint of the samples that were added, in hexadecimal."""
        return self._hash.hexdigest()

    def with_labels(self, labels: Tensor | None) -> str:
        """Return the fingerprint of the samples that were added and the labels (N,), in hexadecimal."""
        whole = self._hash.copy()
        if labels is not None:
            whole.update(labels.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return whole.hexdigest()
