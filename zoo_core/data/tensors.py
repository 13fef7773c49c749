"""Samples and labels as the tensors that training takes: what is converted, and what is refused."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import DataError, printable

# Types of numpy for which torch has no type, or one that it does not compute with, and a wider one that holds them all.
_WIDER = {"uint16": np.int32, "uint32": np.int64, "longdouble": np.float64, "float128": np.float64}


def sample_tensor(samples: object, name: str) -> Tensor:
    """Return samples as a tensor (N, *sample_shape) without a graph; floating values become float32.

    Args:
        samples: a tensor or an array; every dtype but complex ones is kept, if it is not floating.
        name: name of the data, for messages.

    Raises:
        DataError: for anything but dense real numbers, or a value that is NaN or infinite.

    Example:
        >>> sample_tensor(np.zeros((4, 2)), "points").dtype
        torch.float32
        >>> sample_tensor(np.full((4, 2), np.nan), "points")
        Traceback (most recent call last):
        zoo_core.errors.DataError: points: there are samples that are NaN or infinite; the first is sample 0
    """
    tensor = samples.detach() if isinstance(samples, Tensor) else _from_array(np.asarray(samples), name)
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
        kind = "on the meta device, without values" if tensor.is_meta else f"{tensor.layout}, {tensor.dtype}"
        raise DataError(f"{name}: samples must be a dense tensor of real numbers, not one that is {kind}")
    if tensor.ndim == 0:
        raise DataError(f"{name}: samples must be (N, *sample_shape), not a single number")
    if tensor.is_floating_point():
        tensor = tensor.float()
        _check_finite(tensor, name)
    return tensor


def label_tensor(labels: object, count: int) -> Tensor:
    """Return labels as class indices (N,), int64. Raises DataError for anything but one whole number for each sample.

    Args:
        labels: a tensor, an array or a list of numbers.
        count: number of samples.

    Example:
        >>> label_tensor(np.array([0, 2, 1], dtype=np.uint8), 3)
        tensor([0, 2, 1])
    """
    tensor = labels.detach() if isinstance(labels, Tensor) else _from_array(np.asarray(labels), "labels")
    if tensor.ndim != 1:
        raise DataError(f"labels must be class indices of shape (N,), not {tuple(tensor.shape)}; argmax(1) of one-hot")
    if len(tensor) != count:
        raise DataError(f"there are {len(tensor)} labels for {count} samples")
    if tensor.is_complex() or tensor.is_meta:
        raise DataError("labels must be whole numbers with values")
    whole = tensor.to(torch.int64)
    if tensor.is_floating_point() and not torch.equal(whole.to(tensor.dtype), tensor):
        raise DataError("labels must be class indices, and there are some that are no whole numbers")
    if len(whole) and whole.min() < 0:
        raise DataError(f"there is a label {whole.min()}; classes are numbered from 0")
    return whole


def _from_array(array: np.ndarray, name: str) -> Tensor:
    array = array.astype(_WIDER.get(array.dtype.name, array.dtype.newbyteorder("=")), copy=False)
    if array.dtype.kind not in "biuf" or array.dtype.name == "uint64":
        raise DataError(f"{name}: an array of {printable(array.dtype, 60)} has no numbers that can be trained on")
    # torch takes neither a step backwards nor, without a warning, memory that it may not write to.
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _check_finite(samples: Tensor, name: str) -> None:
    if not samples.numel() or all(torch.isfinite(end) for end in torch.aminmax(samples)):
        return
    first = int((~torch.isfinite(samples.reshape(len(samples), -1)).all(1)).nonzero()[0])
    raise DataError(f"{name}: there are samples that are NaN or infinite; the first is sample {first}")
