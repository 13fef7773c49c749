"""Training data from what is in memory: tensors, arrays, lists, and the Datasets and DataLoaders of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset, default_collate

from zoo_core.data.tensors import sample_tensor
from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError, printable
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory

_SHARE = 1 / 2  # of the free memory, that the samples may take: they are held twice while they are joined
_WHAT = (
    "training data is a tensor or an array (N, *sample_shape), a pair of samples and labels, a list or torch Dataset "
    "of samples or of (sample, label), a DataLoader of these, a TrainingData, or a path"
)


def from_memory(data: object, sample_shape: Sequence[int]) -> TrainingData:
    """Return what is in memory as training data. A Dataset, a DataLoader or an iterable is read once, to its end.

    Pictures may have their channels last, as in most arrays; grey ones may have no channels at all. Floating values
    become float32; of everything else, the dtype is kept. A DataLoader's own order and batches are of no importance,
    since training shuffles; random changes that a Dataset makes to its samples are drawn once.

    Args:
        data: a tensor or an array (N, *sample_shape); a tuple of such samples and labels (N,); or items that are
            samples or pairs (sample, label), from a list, a torch Dataset, a DataLoader or another iterable. A label
            is a class index, or a name.
        sample_shape: of the model.

    Raises:
        DataError: for anything else, for items that differ in shape or type, and for more than fits into memory.

    Example:
        >>> pictures = np.zeros((10, 8, 8, 3), dtype=np.uint8)
        >>> from_memory(pictures, (3, 8, 8)).sample_shape
        (3, 8, 8)
        >>> from_memory([(picture, "cat") for picture in pictures], (3, 8, 8)).class_names
        ('cat',)
    """
    name = type(data).__name__.lower()
    samples, labels = _read(data, name)
    given = sample_tensor(samples, name)
    arranged = _channels_first(given, tuple(sample_shape))
    notes = () if arranged is given else ("the channels of the pictures were last or left out, and are now first",)
    labels, names = _numbered(labels)
    return TrainingData.from_tensors(arranged, labels, name=name, notes=notes, class_names=names)


def _read(data: Any, name: str) -> tuple[Any, Any]:
    """The samples, as a tensor or an array, and the labels: a tensor, an array, a list, or None."""
    if isinstance(data, (Tensor, np.ndarray)):
        return data, None
    if isinstance(data, TensorDataset) and len(data.tensors) <= 2:
        return data.tensors[0], data.tensors[1] if len(data.tensors) == 2 else None
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], (Tensor, np.ndarray)) and data[0].ndim > 1:
        return data
    if isinstance(data, DataLoader):
        return _read(data.dataset, name) if _leaves_nothing_out(data) else _joined(data, torch.cat, name)
    if isinstance(data, (Mapping, str, bytes, Path)):
        raise DataError(f"a {type(data).__name__} cannot be trained on; {_WHAT}")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # a Dataset, or a list
        return _joined((data[index] for index in range(len(data))), torch.stack, name)
    if isinstance(data, Iterable):
        return _joined(data, torch.stack, name)
    raise DataError(f"{printable(repr(data), 60)} of type {type(data).__name__} cannot be trained on; {_WHAT}")


def _leaves_nothing_out(loader: DataLoader[Any]) -> bool:
    """Whether every sample of the Dataset comes once in a pass, as it is there: the Dataset then has them in order.

    In the order of a loader that shuffles, every run would have other data, and none could be resumed.
    """
    plain = type(loader.batch_sampler) is BatchSampler and loader.collate_fn is default_collate
    sampler: Any = loader.sampler
    if type(sampler) is RandomSampler:
        return plain and not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    return plain and type(sampler) is SequentialSampler


def _joined(items: Iterable[Any], join: Any, name: str) -> tuple[Any, Any]:
    """Join samples (by torch.stack) or batches of them (by torch.cat), and their labels, if they have any."""
    samples: list[Tensor] = []
    labels: list[Any] = []
    free, taken = int(available_memory() * _SHARE), 0
    for number, item in enumerate(items):
        sample, label = _parts(item, f"{name}, item {number}")
        samples.append(sample)
        if (sample.shape[join is torch.cat :], sample.dtype) != (
            samples[0].shape[join is torch.cat :],
            samples[0].dtype,
        ):
            raise DataError(
                f"{name}: item {number} is {tuple(sample.shape)} of {sample.dtype}, and the first is "
                f"{tuple(samples[0].shape)} of {samples[0].dtype}; all must be alike"
            )
        if (label is None) != (not labels) and number:
            raise DataError(f"{name}: some items have a label and others, such as item {number}, have none")
        if label is not None:
            labels.extend(label if join is torch.cat else [label])
        taken += sample.nbytes
        if taken > free:
            raise DataError(
                f"{name} has more than {readable_size(free)} of samples, half of the memory that is free; "
                "write pictures into a folder and train on that"
            )
    if not samples:
        raise DataError(f"{name}: the training data is empty")
    return join(samples), labels or None


def _parts(item: Any, where: str) -> tuple[Tensor, Any]:
    """The sample of an item, and its label or None."""
    if isinstance(item, Mapping):
        keys = printable(", ".join(map(str, item)), 80)
        raise DataError(f"{where} is a dictionary with {keys}; training takes samples, or pairs (sample, label)")
    label = None
    if isinstance(item, (tuple, list)) and item and isinstance(item[0], (Tensor, np.ndarray, Image.Image)):
        if len(item) > 2:
            raise DataError(f"{where} has {len(item)} parts; training takes samples, or pairs (sample, label)")
        item, label = item[0], item[1] if len(item) == 2 else None
    if isinstance(item, Image.Image):
        if item.mode not in ("L", "RGB"):
            raise DataError(f"{where} is a picture in mode {item.mode}; convert it to L (grey) or RGB")
        item = np.array(item)
    if isinstance(item, (str, bytes, Path)):
        raise DataError(f"{where} is {printable(repr(item), 80)}; give the folder of the files, not a list of them")
    if not isinstance(item, Tensor):
        try:
            item = np.asarray(item)
        except ValueError as error:  # lists of different lengths
            raise DataError(f"{where} is no array: {printable(error, 120)}") from error
    return sample_tensor(item[None], where)[0], label


def _channels_first(samples: Tensor, sample_shape: tuple[int, ...]) -> Tensor:
    """Samples with their channels in front, where that is the shape of the model's pictures; else as they are."""
    shape = tuple(samples.shape[1:])
    if shape == sample_shape or len(sample_shape) != 3 or sample_shape[0] not in (1, 3):
        return samples
    channels, height, width = sample_shape
    if shape == (height, width, channels):
        return samples.movedim(-1, 1)
    return samples[:, None] if channels == 1 and shape == (height, width) else samples


def _numbered(labels: Any) -> tuple[Any, tuple[str, ...]]:
    """The labels as class indices, and the names of the classes, if the labels are names."""
    if not isinstance(labels, list) or not any(isinstance(label, str) for label in labels):
        return labels, ()
    if not all(isinstance(label, str) for label in labels):
        raise DataError("some labels are names and others are not; use names or class indices for all")
    names = sorted(set(labels))
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[label] for label in labels]), tuple(names)
