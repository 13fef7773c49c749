"""DataSource: data that is opened, so that its shape is known, and not yet decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.errors import DataError, printable

if TYPE_CHECKING:
    from zoo_core.data.training_data import TrainingData
    from zoo_core.runtime.processes import Processes


class DataSource(ABC):
    """Data for training of any kind: what is known of it before it is decoded.

    Attributes:
        name: the name of the data, for messages and model cards.
        sample_shape: the shape that its samples have by themselves, which a model takes as its own if it can.
        num_classes: number of classes; None if it has no labels.
        values: values of the model's configuration that follow from the data, by field, e.g. {"sample_rate": 16000};
            a configuration class takes those of its own fields.
        notes: what was found in the data, one sentence each.

    The last three need not be set: data has no labels, values and notes by default.

    Example:
        A file of two-dimensional points that is only read when it is known how many of them a sample has:

        >>> import numpy as np
        >>> from zoo_core import TrainingData
        >>> class Tracks(DataSource):
        ...     def __init__(self, path):
        ...         self.points = np.loadtxt(path, delimiter=",", dtype="float32", ndmin=2)
        ...         self.name, self.sample_shape = path.stem, (10, 2)
        ...
        ...     def decode(self, sample_shape, *, processes=None):
        ...         length = sample_shape[0]
        ...         whole = self.points[: len(self.points) // length * length]
        ...         return TrainingData.from_tensors(whole.reshape(-1, length, 2), name=self.name)
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "walk.csv")
        ...     np.savetxt(path, np.zeros((25, 2)), delimiter=",")
        ...     tracks = Tracks(path)
        >>> len(tracks.decode((5, 2)))
        5
    """

    name: str
    sample_shape: tuple[int, ...]
    num_classes: int | None = None
    values: Mapping[str, Any] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def shape_for(self, fields: Collection[str]) -> tuple[int, ...]:
        """Return the shape from which a configuration with these fields is completed; by default `sample_shape`.

        Args:
            fields: names of the fields of the model's configuration. Pictures are square for a model that has no
                height and width of their own, for example.

        Example:
            >>> tracks.shape_for(["length"])
            (10, 2)
        """
        return self.sample_shape

    def plan(self, sample_shape: tuple[int, ...]) -> str | None:
        """Return a line about what decoding to this shape takes, such as memory; None if there is nothing to say.

        Example:
            >>> tracks.plan((5, 2)) is None
            True
        """
        return None

    @abstractmethod
    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        """Return the samples in the shape that the model makes.

        Args:
            sample_shape: of the model.
            processes: those that train together; by default this one alone.

        Raises:
            DataError: if they cannot be brought to it, or cannot be read.

        Example:
            >>> tracks.decode((25, 2)).sample_shape
            (25, 2)
        """


class ReadSource(DataSource):
    """Data that has been read already, and has the one shape that it has."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self.name, self.sample_shape, self.num_classes = data.name, data.sample_shape, data.num_classes
        self.values, self.notes = data.values, ()  # its notes come with the data

    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        if tuple(sample_shape) != self.sample_shape:
            raise DataError(
                f"{printable(self.name, 80)} has samples of {self.sample_shape}, but the model makes {sample_shape}"
            )
        return self._data
