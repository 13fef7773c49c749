"""Images per second of the data path, compared with torch's DataLoader.

    python benchmarks/data_path.py [SECONDS]

Reads two data sets: MNIST's grey PNG files as 32 x 32, and colour JPEG files of 178 x 218, CelebA's size, as 64 x 64.
All batches have 64 pictures, in float32 in [-1, 1] with the channels last, on the CPU. The competitors take turns, so
that a noisy machine slows all of them alike, each for SECONDS (1) in each of 7 rounds. Prints medians and their ratios
to the first:

    DataLoader, PIL         as in tutorials: every picture is decoded, cropped, resized and converted when it is needed,
                            by one worker process per processor, and (the default) in the main process
    DataLoader, tensors     over a TensorDataset of decoded pictures in float32, without workers
    memory, disk, decoding  BatchStream with the data set in memory, in a file of the cache, and decoded for every batch
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo_core.data import cache as decodedcache
from zoo_core.data import image_source
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.files.folders import CACHE_VARIABLE
from zoo_core.interfaces import Generator
from zoo_core.training.batches import BatchStream

MNIST = Path(__file__).parents[1] / "tests" / "data" / "mnist" / "train-00000-of-00001.parquet"
BATCH, ROUNDS = 64, 7
CPU = torch.device("cpu")


class Range(Generator):
    """The range [-1, 1] of a generator that ends in tanh."""

    sample_shape, latent_shape = (1, 32, 32), (1,)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return z


class TutorialDataset(Dataset):
    """CenterCrop, Resize, ToTensor and Normalize, in PIL and torch."""

    def __init__(self, encoded: list[bytes], mode: str, size: int) -> None:
        self.encoded, self.mode, self.size = encoded, mode, size

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = Image.open(io.BytesIO(self.encoded[index])).convert(self.mode)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize(
            (self.size, self.size), Image.Resampling.BICUBIC
        )
        pixels = torch.from_numpy(np.array(image).reshape(self.size, self.size, -1)).permute(2, 0, 1)
        return pixels.contiguous().float().div(255).sub(0.5).div(0.5)


def mnist() -> list[bytes]:
    return [cell["bytes"] for cell in pq.read_table(MNIST)["image"].to_pylist()] * 16


def photographs(count: int = 4096) -> list[bytes]:
    """Soft random colours, which take about as many bytes as a portrait of this size."""
    random, encoded = np.random.default_rng(0), []
    for _ in range(count):
        image = Image.fromarray(random.integers(0, 256, (28, 23, 3), np.uint8)).resize(
            (178, 218), Image.Resampling.BICUBIC
        )
        image.save(stream := io.BytesIO(), "JPEG", quality=90)
        encoded.append(stream.getvalue())
    return encoded


def endless(loader: DataLoader) -> Iterator[torch.Tensor]:
    while True:
        yield from loader


def of_loader(loader: DataLoader) -> Callable[[], object]:
    batches = endless(loader)
    return lambda: next(batches)


def of_stream(data: TrainingData) -> Callable[[], object]:
    stream, number, generator = BatchStream(data, BATCH, 0, CPU), iter(range(10**12)), Range()
    return lambda: stream.batch(next(number), generator)


def decode(folder: Path, channels: int, size: int, *, memory: bool = True, disk: bool = True) -> TrainingData:
    """The data set as it is stored if it does not fit into memory or on the disk."""
    available, free = image_source.available_memory, decodedcache.free_space
    try:
        if not memory:
            image_source.available_memory = lambda: 0
        if not disk:
            decodedcache.free_space = lambda folder: 0
        return open_images(folder).decode((channels, size, size))
    finally:
        image_source.available_memory, decodedcache.free_space = available, free


def measure(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The median images per second of each; the first round is discarded."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, batch in ways.items():
            batch()
            time.sleep(seconds / 5)  # lets the workers of the previous competitor finish what they prefetched
            start, done = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                batch()
                done += BATCH
            if number:
                rates[name].append(done / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def compare(name: str, encoded: list[bytes], channels: int, size: int, seconds: float) -> None:
    folder = Path(tempfile.mkdtemp())
    pq.write_table(pa.table({"image": [{"bytes": data, "path": None} for data in encoded]}), folder / "train.parquet")
    start = time.perf_counter()
    as_needed = decode(
        folder, channels, size, memory=False, disk=False
    )  # first, because the others leave a file in the cache
    decoding = time.perf_counter() - start
    on_disk = decode(folder, channels, size, memory=False)
    start = time.perf_counter()
    in_memory = decode(folder, channels, size)
    print(f"{name}: {len(encoded):,} pictures opened and decoded in {decoding:.2f} s; from the cache in "
          f"{time.perf_counter() - start:.2f} s")  # fmt: skip
    tutorial = TutorialDataset(encoded, "L" if channels == 1 else "RGB", size)
    tensors = TensorDataset(in_memory.samples.float() / 127.5 - 1)
    loading = {"batch_size": BATCH, "shuffle": True, "drop_last": True}
    rates = measure(
        {
            "DataLoader, PIL": of_loader(
                DataLoader(tutorial, num_workers=os.cpu_count() or 1, persistent_workers=True, **loading)
            ),
            "... without workers": of_loader(DataLoader(tutorial, **loading)),
            "DataLoader, tensors": of_loader(DataLoader(tensors, **loading)),
            "memory": of_stream(in_memory),
            "disk": of_stream(on_disk),
            "decoding": of_stream(as_needed),
        },
        seconds,
    )
    reference = next(iter(rates.values()))
    for way, rate in rates.items():
        print(f"    {way:<22}{rate:12,.0f} images/s {rate / reference:8.2f} x")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = os.environ[CACHE_VARIABLE] = folder
        image_source.CACHED_FROM = 0
        compare("PNG 28 x 28 to grey 32 x 32", mnist(), 1, 32, seconds)
        compare("JPEG 178 x 218 to colour 64 x 64", photographs(), 3, 64, seconds)


if __name__ == "__main__":
    main()
