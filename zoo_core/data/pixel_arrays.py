"""Pictures that are stored as an array of pixels, as in .npz, .npy and idx files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.data.class_labels import number_classes
from zoo_core.data.deep_pixels import PixelKind, white_of
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.errors import DataError
from zoo_core.files.sizes import readable_size
from zoo_core.runtime.memory import available_memory

_CHANNELS = (1, 3, 4)


class PixelArray(EncodedPictures):
    """Pictures in an array: (N, H, W), (N, H, W, C) or (N, C, H, W); C is 1 (grey), 3 (RGB) or 4 (RGB, transparency).

    Args:
        load: reads the array; called again in the processes that decode. See `pixels_of` for the types.
        labels: (N,) of any type that can be sorted, or None.
        name: of the data.
        origin: where the array is, for messages.
        files: that were read.
        part: which array of the files it is; part of the key of the cache.
        before: labels of the training split, if these are of another: its classes keep their numbers.

    Raises:
        DataError: for an array that does not hold pictures, or another number of labels.
    """

    def __init__(
        self,
        load: Callable[[], np.ndarray],
        labels: np.ndarray | None,
        name: str,
        origin: str,
        files: Sequence[Path],
        *,
        part: str = "",
        before: np.ndarray | None = None,
    ) -> None:
        self._load, self.name, self.origin, self._files, self._part = load, name, origin, tuple(files), part
        self._pixels: np.ndarray | None = None
        self._shape: tuple[int, ...] = self._loaded().shape
        if labels is not None and labels.size != len(self):
            raise DataError(f"{origin}: there are {labels.size:,} labels for {len(self):,} pictures")
        earlier = before.reshape(-1).tolist() if before is not None else ()
        self.classes = number_classes(labels.reshape(-1).tolist(), before=earlier) if labels is not None else None

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, numbers: Sequence[int]) -> list[EncodedPicture | None]:
        pixels = self._loaded()
        return [EncodedPicture(None, None, pixels[number]) for number in numbers]

    def size_of_all(self) -> tuple[int, int, int]:
        height, width = self._shape[1:3]
        return (1 if len(self._shape) == 3 else 3), width, height

    def _loaded(self) -> np.ndarray:
        if self._pixels is None:
            array = self._load()
            self._pixels = pixels_of(array, self.origin)
            if array.dtype == np.uint16:
                self.notes = (f"16-bit pixels were scaled to 8 bits: 0 became black and {_white(array):,.0f} white",)
        return self._pixels

    def files(self) -> Iterable[Path]:
        return self._files

    def selection(self) -> tuple[object, ...]:
        return self.split, len(self), self._part

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        with contextlib.suppress(Exception):  # `read` meets it again, where it is reported
            self._loaded()  # before the workers are forked, so that they share it


def pixels_of(array: np.ndarray, origin: str) -> np.ndarray:
    """Return the pictures of an array as uint8, (N, H, W) for grey ones and (N, H, W, 3 or 4) for others.

    uint8 is taken as it is, 16-bit pixels are scaled from the range that they use, booleans are black and white,
    floating values from 0 to 1 are multiplied by 255, and other whole numbers have to be from 0 to 255.

    Raises:
        DataError: for an array of another shape or type, or with other values.

    Example:
        >>> pixels_of(np.array([[[0.0, 0.5, 1.0]]]), "greys.npy").tolist()
        [[[0, 128, 255]]]
        >>> pixels_of(np.zeros((5, 3, 8, 8), np.uint8), "reds.npy").shape
        (5, 8, 8, 3)
    """
    if not is_array_of_pictures(array.shape):
        raise DataError(
            f"{origin} has an array of shape {array.shape}; pictures are (N, H, W), (N, H, W, C) or (N, C, H, W), with "
            "1, 3 or 4 channels C"
        )
    if array.ndim == 4 and array.shape[-1] not in _CHANNELS:
        array = np.moveaxis(array, 1, -1)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return np.round(array * (255 / _white(array))).astype(np.uint8)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{origin} has an array of {array.dtype}, not of pixels")
    lowest, highest = array.min().item(), array.max().item()
    scale, most = (255, 1) if array.dtype.kind in "bf" else (1, 255)
    if not 0 <= lowest <= highest <= most:
        raise DataError(
            f"{origin} has {array.dtype} values from {lowest:.6g} to {highest:.6g}; pictures have whole numbers from 0 "
            "to 255, or floating values from 0 to 1"
        )
    return np.round(array * float(scale)).astype(np.uint8)


def _white(array: np.ndarray) -> float:
    """Return the 16-bit value that becomes white, as for picture files: 65,535, or that of the fewer bits in use."""
    return white_of(PixelKind.INTEGER, array.max().item())


def is_array_of_pictures(shape: tuple[int, ...]) -> bool:
    """Return whether an array of this shape may hold pictures.

    Example:
        >>> is_array_of_pictures((60000, 28, 28)), is_array_of_pictures((60000,)), is_array_of_pictures((0, 8, 8))
        (True, False, False)
    """
    if 0 in shape:
        return False
    return len(shape) == 3 or (len(shape) == 4 and (shape[-1] in _CHANNELS or shape[1] in _CHANNELS))


def check_room(needed: int, origin: str) -> None:
    """Raise DataError if an array of so many bytes, which a file states, does not fit into memory."""
    room = available_memory() // 2
    if needed > room:
        raise DataError(f"{origin} takes {readable_size(needed)}, and there is memory for {readable_size(room)}")
