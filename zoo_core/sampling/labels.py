"""Labels: from the classes that a caller gives, in any form, to one label for each sample."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import SamplingError, printable
from zoo_core.sampling.classes import find_class, find_classes, numbered

if TYPE_CHECKING:
    from zoo_core.interfaces import Generator

# One class by number or by name, several of them, or one number for each sample.
Labels = Tensor | np.ndarray[Any, Any] | int | str | Sequence[int | str]


def check_labels(
    generator: Generator, labels: Labels | None, n: int, *, start: int = 0, required: bool = False
) -> Tensor | None:
    """Return the label of each of n samples.

    Args:
        labels: one class for all, by number or by name; a list of n classes, one for each sample; a list of any other
            length, whose classes take turns: sample i gets number i modulo its length; or an array of n numbers.
        start: the index of the first sample.
        required: whether a conditional generator needs labels.

    Returns:
        (n,), int64, on the CPU; None if there are no labels.

    Raises:
        SamplingError: for labels that the generator does not have, or that do not fit n samples.
    """
    if labels is None:
        if required and generator.num_classes is not None:
            raise SamplingError(f"{type(generator).__qualname__} is conditional: it needs a label")
        return None
    num_classes = _number_of_classes(generator)
    if isinstance(labels, Tensor | np.ndarray):
        given = _whole_numbers(labels)
    elif isinstance(labels, list | tuple | range):
        several = [_number(label, generator) for label in labels]
        given = _as_tensor(several) if len(several) == n else in_turn(several, start, n)
    else:
        given = _as_tensor(_number(labels, generator))
    if given.ndim == 0:
        given = given.expand(n)
    if tuple(given.shape) != (n,):
        raise SamplingError(f"labels must be one class or {n} of them, not of shape {tuple(given.shape)}")
    if not bool(((given >= 0) & (given < num_classes)).all()):
        raise _out_of_range(generator)
    return given


def in_turn(labels: Sequence[int], start: int, n: int) -> Tensor:
    """Return labels that take turns: sample i, of start … start + n - 1, gets number i modulo their count.

    Raises:
        SamplingError: if there are none.

    Example:
        >>> in_turn([3, 1, 4], start=5, n=4)
        tensor([4, 3, 1, 4])
    """
    if not labels:
        raise SamplingError("labels is an empty list; give at least one class, or leave it out")
    return _as_tensor([labels[(start + offset) % len(labels)] for offset in range(n)])


def classes_by_name(generator: Generator, given: Sequence[str]) -> list[int]:
    """Return the labels that a user lists in words, such as `cat,dog` or `0-9`, each as `find_classes` reads it.

    Raises:
        SamplingError: for a class that the generator does not have, or a generator without classes.

    Example:
        >>> import zoo_core as zoo
        >>> classes_by_name(zoo.load("dcgan-mnist-conditional"), ["7", "0-2"])
        [7, 0, 1, 2]
    """
    if not given:
        return []
    count = _number_of_classes(generator)
    return [label for text in given for label in find_classes(text, generator.class_names, count)]


def _number_of_classes(generator: Generator) -> int:
    if generator.num_classes is None:
        raise SamplingError(f"{type(generator).__qualname__} is unconditional: it takes no label")
    return generator.num_classes


def _number(label: Any, generator: Generator) -> int:
    """The number of a class that is given by number or by name."""
    if isinstance(label, str):
        number = find_class(label, generator.class_names)
    elif isinstance(label, numbers.Integral) and not isinstance(label, bool):
        number = int(label)
    elif isinstance(label, Tensor | np.ndarray) and label.ndim == 0:
        number = int(_whole_numbers(label))
    else:
        raise SamplingError(f"labels must be numbers or names of classes, not {printable(repr(label), 60)}")
    if not 0 <= number < (generator.num_classes or 0):
        raise _out_of_range(generator)
    return number


def _whole_numbers(labels: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """The labels as int64 on the CPU."""
    try:
        given = torch.as_tensor(labels).detach().cpu()
    except TypeError:  # an array of text or of objects
        raise SamplingError(f"labels must be whole numbers, not of type {labels.dtype}; give names as a list") from None
    if given.dtype == torch.bool or given.is_floating_point() or given.is_complex():
        kind = str(given.dtype).removeprefix("torch.")
        raise SamplingError(f"labels must be whole numbers, not of type {kind}; use labels.long() if they are whole")
    return given.to(torch.int64)


def _as_tensor(labels: int | list[int]) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64, device="cpu")


def _out_of_range(generator: Generator) -> SamplingError:
    bounds, names = f"0 to {(generator.num_classes or 0) - 1}", numbered(generator.class_names)
    return SamplingError(f"labels must be from {bounds}" + (f": {names}" if names not in ("", bounds) else ""))
