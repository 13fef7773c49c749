"""DataSource: data that is opened, so that its shape is known, and not yet decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
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
    """

    name: str
    sample_shape: tuple[int, ...]
    num_classes: int | None
    values: Mapping[str, Any]
    notes: tuple[str, ...]

    def plan(self, sample_shape: tuple[int, ...]) -> str | None:
        """Return a line about what decoding to this shape takes, such as memory; None if there is nothing to say."""
        return None

    @abstractmethod
    def decode(self, sample_shape: tuple[int, ...], *, processes: Processes | None = None) -> TrainingData:
        """Return the samples in the shape that the model makes.

        Raises:
            DataError: if they cannot be brought to it, or cannot be read.
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
