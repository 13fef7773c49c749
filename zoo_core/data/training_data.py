"""What a model is trained on: samples, their labels, and what is known of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo_core.data.decoding import PictureDecoder
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.errors import DataError


@dataclass(frozen=True)
class TrainingData:
    """Samples, and what is known of them.

    Attributes:
        samples: (N, *sample_shape): uint8 pictures (0 to 255), or floating values in the model's own range. Where they
            are larger than memory they cannot be written to; where `decoder` makes them as they are needed, they are on
            the meta device. `take` gives some in any case.
        labels: (N,) class indices, int64, or None.
        name: what the data is called in the model's card.
        notes: what was done to it, a sentence each.
        fingerprint: sha256 over samples and labels; a resumed run refuses other data.
        class_names: of the labels in their order, where the data set names them.
        decoder: of pictures for which there is room neither in memory nor on disk.
        larger_than_memory: whether the samples are a file's that does not fit into memory.
    """

    samples: Tensor
    labels: Tensor | None
    name: str
    notes: tuple[str, ...]
    fingerprint: str
    class_names: tuple[str, ...] = ()
    decoder: PictureDecoder | None = None
    larger_than_memory: bool = False

    @classmethod
    def from_tensors(
        cls,
        samples: Tensor,
        labels: Tensor | None = None,
        *,
        name: str = "tensor",
        notes: Sequence[str] = (),
        class_names: Sequence[str] = (),
    ) -> TrainingData:
        """Data from tensors; raises DataError for none, for as many labels as do not fit, and for a label below 0."""
        if len(samples) == 0:
            raise DataError("the training data is empty")
        if labels is not None and len(labels) != len(samples):
            raise DataError(f"there are {len(labels)} labels for {len(samples)} samples")
        if labels is not None and labels.min() < 0:
            raise DataError(f"there is a label {labels.min()}; classes are numbered from 0")
        fingerprint = Fingerprint(samples.dtype, tuple(samples.shape))
        fingerprint.add(samples)
        return cls(samples, labels, name, tuple(notes), fingerprint.with_labels(labels), tuple(class_names))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[1:])

    @property
    def num_classes(self) -> int | None:
        """How many classes the labels tell apart: those that are named, else the largest label + 1; None without."""
        return count_classes(self.labels, self.class_names)

    def take(self, chosen: Sequence[int]) -> Tensor:
        """The samples of these indices, in this order: (n, *sample_shape), as `samples` has them, on the CPU."""
        if self.decoder is not None:
            return torch.from_numpy(self.decoder[chosen].pixels).permute(0, 3, 1, 2)
        return self.samples[torch.as_tensor(chosen, dtype=torch.int64)].cpu()

    def __len__(self) -> int:
        return len(self.samples)


def count_classes(labels: Tensor | None, class_names: Sequence[str]) -> int | None:
    """Those that are named, or more where a label (N,) is larger; None without labels."""
    return max(len(class_names), int(labels.max()) + 1) if labels is not None else None
