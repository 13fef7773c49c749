"""TrainingData: the samples that a model is trained on, their labels, and what is known about both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.decoding import PictureDecoder
from zoo_core.data.fingerprint import Fingerprint
from zoo_core.data.tensors import label_tensor, sample_tensor
from zoo_core.errors import DataError, printable, unseen, well_formed


@dataclass(frozen=True)
class TrainingData:
    """Samples for training, and what is known about them.

    Attributes:
        samples: (N, *sample_shape): uint8 pictures (0 to 255), or floating ones in the model's own range; sounds in
            [-1, 1]; texts as whole numbers; for any other kind whatever values the model takes. Only pictures are ever
            rescaled. Samples larger than memory cannot be written to; samples that `decoder` makes when they are needed
            are on the meta device. `take` returns some of them in any case.
        labels: (N,) class indices, int64, or None.
        name: the name of the data in the model card.
        notes: what was done to the data, one sentence each.
        fingerprint: sha256 over samples and labels. A run cannot be resumed on other data.
        class_names: the names of the classes, in the order of their labels; empty if the data set has none.
        decoder: decodes pictures that fit neither into memory nor onto the disk.
        values: values of the model's configuration that follow from the data, by field: {"sample_rate": 16000}. A
            configuration class takes those of its own fields.
        larger_than_memory: whether the samples are mapped from a file that does not fit into memory.

    Example:
        >>> pictures = torch.zeros(8, 1, 28, 28, dtype=torch.uint8)
        >>> data = TrainingData.from_tensors(pictures, torch.arange(8) % 2, class_names=["cat", "dog"])
        >>> len(data), data.sample_shape, data.num_classes
        (8, (1, 28, 28), 2)
    """

    samples: Tensor
    labels: Tensor | None
    name: str
    notes: tuple[str, ...]
    fingerprint: str
    class_names: tuple[str, ...] = ()
    decoder: PictureDecoder | None = None
    larger_than_memory: bool = False
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        # The names of files may be any bytes, and these texts end in JSON, model cards and PNGs.
        object.__setattr__(self, "name", well_formed(self.name))
        for texts in ("notes", "class_names"):
            object.__setattr__(self, texts, tuple(map(well_formed, getattr(self, texts))))
        for name in self.class_names:
            if (char := unseen(name)) is not None:
                raise DataError(
                    f"the class {printable(name, 80)!r} has {char} in its name, which shows nothing; rename it"
                )

    @classmethod
    def from_tensors(
        cls,
        samples: Tensor | np.ndarray,
        labels: Tensor | np.ndarray | Sequence[int] | None = None,
        *,
        name: str = "tensor",
        notes: Sequence[str] = (),
        class_names: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
    ) -> TrainingData:
        """Make training data from tensors.

        Args:
            samples: (N, *sample_shape), a tensor or an array: uint8 pictures, or floating values in the model's own
                range, which become float32. A model that makes no pictures takes any dtype, as it is.
            labels: (N,) class indices, of any dtype.
            name, notes, class_names, values: as the attributes.

        Raises:
            DataError: if there are no samples, or one that is NaN or infinite; for another number of labels, a label
                below 0, or a class whose name has characters that cannot be seen.

        Example:
            >>> TrainingData.from_tensors(torch.randn(100, 2), name="points").sample_shape
            (2,)
        """
        samples = sample_tensor(samples, name)
        if len(samples) == 0:
            raise DataError("the training data is empty")
        if labels is not None:
            labels = label_tensor(labels, len(samples))
        fingerprint = Fingerprint(samples.dtype, tuple(samples.shape))
        fingerprint.add(samples)
        return cls(
            samples,
            labels,
            name,
            tuple(notes),
            fingerprint.with_labels(labels),
            tuple(class_names),
            values=MappingProxyType(dict(values or {})),
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch.

        Example:
            >>> TrainingData.from_tensors(torch.zeros(5, 3, 32, 32)).sample_shape
            (3, 32, 32)
        """
        return tuple(self.samples.shape[1:])

    @property
    def num_classes(self) -> int | None:
        """The number of classes: as many as have names, or the largest label + 1 if that is more; None without labels.

        Example:
            >>> TrainingData.from_tensors(torch.zeros(3, 2), torch.tensor([0, 4, 1])).num_classes
            5
        """
        return count_classes(self.labels, self.class_names)

    def take(self, chosen: Sequence[int]) -> Tensor:
        """Return the samples of these indices in this order: (n, *sample_shape), on the CPU, in the type of `samples`.

        Example:
            >>> TrainingData.from_tensors(torch.tensor([[10.0], [20.0], [30.0]])).take([2, 0])
            tensor([[30.],
                    [10.]])
        """
        if self.decoder is not None:
            return torch.from_numpy(self.decoder[chosen].pixels).permute(0, 3, 1, 2)
        return self.samples[torch.as_tensor(chosen, dtype=torch.int64)].cpu()

    def __len__(self) -> int:
        return len(self.samples)


def count_classes(labels: Tensor | None, class_names: Sequence[str]) -> int | None:
    """The number of names, or the largest label (N,) + 1 if that is more; None without labels."""
    return max(len(class_names), int(labels.max()) + 1) if labels is not None else None
