"""Training data: pictures read through `datasets`, decoded once, and batches gathered from memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from zoo_core.errors import DataError, MissingExtraError, printable
from zoo_core.interfaces import Batch, Generator

IMAGE_COLUMNS = ("image", "img", "picture")
LABEL_COLUMNS = ("label", "labels", "fine_label")
_READ_ROWS = 1000


@dataclass(frozen=True)
class TrainingData:
    """Samples in memory, and what is known of them.

    Attributes:
        samples: (N, *sample_shape): uint8 pictures (0 to 255), or floating values in the model's own range.
        labels: (N,) class indices, int64, or None.
        name: what the data is called in the model's card.
        notes: what was done to it, a sentence each.
        fingerprint: sha256 over samples and labels; a resumed run refuses other data.
    """

    samples: Tensor
    labels: Tensor | None
    name: str
    notes: tuple[str, ...]
    fingerprint: str

    @classmethod
    def from_tensors(
        cls, samples: Tensor, labels: Tensor | None = None, *, name: str = "tensor", notes: Sequence[str] = ()
    ) -> TrainingData:
        """Data from tensors; raises DataError for none, or for as many labels as do not fit."""
        if len(samples) == 0:
            raise DataError("the training data is empty")
        if labels is not None and len(labels) != len(samples):
            raise DataError(f"there are {len(labels)} labels for {len(samples)} samples")
        digest = hashlib.sha256(str((samples.dtype, tuple(samples.shape))).encode())
        for tensor in (samples, labels):
            if tensor is not None:
                digest.update(tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return cls(samples, labels, name, tuple(notes), digest.hexdigest())

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[1:])

    def __len__(self) -> int:
        return len(self.samples)


class BatchStream:
    """The batches of a run: batch number i depends on (seed, i) alone, so a position is all that resuming needs.

    Every epoch is a new permutation; samples that do not fill a last batch wait for another epoch. The data is held
    on the device where that is the CPU, and is otherwise gathered in pinned memory and copied without waiting.
    """

    def __init__(self, data: TrainingData, batch_size: int, seed: int, device: torch.device) -> None:
        if len(data) < batch_size:
            raise DataError(
                f"{data.name} has {len(data)} samples, fewer than one batch of {batch_size}; "
                f"--set batch_size={len(data)} is the most"
            )
        self.data, self.batch_size, self.seed, self.device = data, batch_size, seed, device
        self.batches_per_epoch = len(data) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, number: int, generator: Generator) -> Batch:
        """Batch `number` (from 0) in the range of `generator`."""
        epoch, position = divmod(number, self.batches_per_epoch)
        if epoch != self._epoch:
            seed = (self.seed * 0x9E3779B97F4A7C15 + epoch) % 2**63
            self._epoch = epoch
            self._order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(seed))
        chosen = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        samples = self._to_device(self.data.samples[chosen])
        if samples.dtype == torch.uint8:
            samples = generator.from_unit(samples.float() / 255)
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        labels = self.data.labels
        return Batch(samples, self._to_device(labels[chosen]) if labels is not None else None)

    def _to_device(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class ImageSource:
    """Pictures that have not been decoded yet: rows of a data set with an image column.

    Attributes:
        shape: (channels, side, side) of the first picture once it is square, which decides what is not asked for.
    """

    def __init__(self, rows: Any, image_column: str, label_column: str | None, name: str) -> None:
        self.rows, self.image_column, self.label_column, self.name = rows, image_column, label_column, name
        first = _open(rows[0][image_column], name, 0)
        side = min(first.size)
        self.shape = (_channels(first), side, side)

    def __len__(self) -> int:
        return len(self.rows)

    def decode(self, channels: int, size: int) -> TrainingData:
        """All pictures as uint8 (N, channels, size, size): centre-cropped to a square and resized where needed.

        Raises:
            DataError: for a picture that cannot be decoded, naming its row.
        """
        samples = np.empty((len(self.rows), channels, size, size), np.uint8)
        counts = dict.fromkeys(("cropped", "resized", "converted"), 0)
        labels = []
        for start in range(0, len(self.rows), _READ_ROWS):
            chunk = self.rows[start : start + _READ_ROWS]
            for offset, value in enumerate(chunk[self.image_column]):
                row = start + offset
                image = _open(value, self.name, row)
                try:
                    samples[row] = _decode(image, channels, size, counts)
                except (OSError, ValueError, SyntaxError) as error:  # what Pillow's decoders raise
                    raise _undecodable(value, self.name, row, error) from error
            if self.label_column:
                labels.extend(chunk[self.label_column])
        return TrainingData.from_tensors(
            torch.from_numpy(samples),
            torch.tensor(labels, dtype=torch.int64) if labels else None,
            name=self.name,
            notes=self._notes(channels, size, counts),
        )

    def _notes(self, channels: int, size: int, counts: dict[str, int]) -> list[str]:
        kind = "grey" if channels == 1 else "colour"
        notes = [f"{len(self.rows):,} {kind} pictures of {size} x {size}"]
        meaning = {
            "cropped": "were not square and were cropped about their centre",
            "resized": f"were resized to {size} x {size} (bicubic)",
            "converted": f"were converted to {kind} 8-bit pixels (transparency onto white)",
        }
        return notes + [f"{count:,} {meaning[what]}" for what, count in counts.items() if count]


def open_images(source: str | Path, *, image_column: str | None = None, label_column: str | None = None) -> ImageSource:
    """Find the pictures in a Parquet file or folder, an image folder, or a Hub data set: its train split.

    Raises:
        DataError: where nothing is there, or not the column asked for.
        MissingExtraError: where `datasets` is not installed.
    """
    rows, name = _load_train_split(str(source))
    if len(rows) == 0:
        raise DataError(f"{name} has no rows")
    image = _choose_column(rows.column_names, image_column, IMAGE_COLUMNS, name, "image")
    if image is None:
        raise DataError(
            f"{name} has no image column; its columns are {', '.join(rows.column_names)}; --image-column names one"
        )
    label = _choose_column(rows.column_names, label_column, LABEL_COLUMNS, name, "label")
    if label is not None and not _holds_classes(rows, label):
        if label_column is not None:
            raise DataError(f"{name}: column {label!r} does not hold a class, a whole number, in every row")
        label = None  # a column of that name which is something else, and which nobody asked for
    from datasets import Image as ImageFeature

    try:
        rows = rows.cast_column(image, ImageFeature(decode=False))
    except Exception as error:  # pyarrow and datasets raise whatever fits the column's type
        raise DataError(f"{name}: column {image!r} does not hold pictures: {printable(error, 120)}") from error
    return ImageSource(rows.select_columns([image, label] if label else [image]), image, label, name)


def _load_train_split(source: str) -> tuple[Any, str]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("train", "reading training data") from None
    path = Path(source).expanduser()
    name = path.resolve().name if path.exists() else source
    if not path.exists() and (source.count("/") > 1 or source.startswith((".", "/", "~")) or path.suffix):
        raise DataError(f"there is no file or folder {source}")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{source} is an empty folder")
    datasets.disable_progress_bars()
    try:
        if path.is_file():
            if path.suffix != ".parquet":
                raise DataError(f"{source} is not a .parquet file; give a folder of pictures or Parquet files")
            return datasets.load_dataset("parquet", data_files={"train": str(path)}, split="train"), path.stem
        return datasets.load_dataset(str(path) if path.exists() else source, split="train"), name
    except DataError:
        raise
    except Exception as error:  # the reasons range from pyarrow's to the network's; all mean: no data
        raise DataError(
            f"{source} cannot be read as training data: {type(error).__name__}: {printable(error, 200)}"
        ) from error


def _choose_column(columns: Sequence[str], asked: str | None, usual: Sequence[str], name: str, role: str) -> str | None:
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{name} has no column {asked!r} for the {role}; it has {', '.join(columns)}")
        return asked
    return next((column for column in usual if column in columns), None)


def _holds_classes(rows: Any, column: str) -> bool:
    """Whether every row of a column is a whole number; told by its type, and by its count of nulls."""
    values = rows.data.column(column)
    return str(values.type).lstrip("u").startswith("int") and values.null_count == 0


def _open(value: Any, name: str, row: int) -> Image.Image:
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise DataError(f"{name}, row {row}: there is no picture")
    try:
        return Image.open(io.BytesIO(value["bytes"]) if value.get("bytes") else value["path"])
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _undecodable(value, name, row, error) from error


def _undecodable(value: Any, name: str, row: int, error: Exception) -> DataError:
    file = f" ({printable(Path(value['path']).name)})" if isinstance(value, dict) and value.get("path") else ""
    return DataError(f"{name}, row {row}{file}: the picture cannot be decoded: {printable(error, 120)}")


def _channels(image: Image.Image) -> int:
    return 1 if image.mode in ("1", "L", "I", "I;16", "F", "LA") else 3


def _decode(image: Image.Image, channels: int, size: int, counts: dict[str, int]) -> np.ndarray:
    """One picture as uint8 (channels, size, size); counts what was done to it."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = _convert(image, mode)
        counts["converted"] += 1
    if image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        counts["cropped"] += 1
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        counts["resized"] += 1
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
