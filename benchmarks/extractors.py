"""What a feature extractor sees: figures of damaged real pictures, compared with undamaged ones.

    python benchmarks/extractors.py --data path/to/pictures --extractor random-vgg --size 64

One half of the pictures (at most 2,000) is the data. The other half, damaged in each of the ways below, is used as
samples. An extractor is useful if its figures get worse with the damage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_core.data.opening import open_images
from zoo_core.metrics import FeatureStatistics, RunningStatistics, compare, open_extractor
from zoo_core.metrics.extractors.opening import OpenExtractor

COLUMNS = ("fid", "precision", "recall", "density", "coverage")
MOST = 2000
BATCH = 250


def blurred(x: Tensor, deviation: float) -> Tensor:
    """Blurred by a Gaussian with this standard deviation in pixels."""
    reach = int(3 * deviation + 1)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), "replicate"), kernel, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, reach, reach), "replicate"), kernel.mT, groups=x.shape[1])


def noisy(x: Tensor, deviation: float) -> Tensor:
    """With normal noise of this standard deviation, where white is 1."""
    return x + deviation * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def shuffled(x: Tensor, pieces: int) -> Tensor:
    """Cut into pieces x pieces squares that are shuffled."""
    count, channels, size = x.shape[0], x.shape[1], x.shape[2] // pieces
    squares = x.unfold(2, size, size).unfold(3, size, size).reshape(count, channels, pieces**2, size, size)
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(count, pieces**2, generator=generator).argsort(1)[:, None, :, None, None].expand_as(squares)
    grid = squares.gather(2, order).unflatten(2, (pieces, pieces))
    return grid.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, pieces * size, pieces * size)


DAMAGE: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "blur of 0.7 pixels": lambda x: blurred(x, 0.7),
    "blur of 1.5 pixels": lambda x: blurred(x, 1.5),
    "blur of 3 pixels": lambda x: blurred(x, 3),
    "noise of 0.05": lambda x: noisy(x, 0.05),
    "noise of 0.15": lambda x: noisy(x, 0.15),
    "noise of 0.3": lambda x: noisy(x, 0.3),
    "2 x 2 squares shuffled": lambda x: shuffled(x, 2),
    "4 x 4 squares shuffled": lambda x: shuffled(x, 4),
    "each picture the mean of two": lambda x: (x + x.roll(1, 0)) / 2,
    "half of the pictures, twice": lambda x: x[: len(x) // 2].repeat(2, 1, 1, 1),
    "5 % of the pictures, 20 times": lambda x: x[: len(x) // 20].repeat(20, 1, 1, 1),
}


def features(extractor: OpenExtractor, pictures: Tensor) -> FeatureStatistics:
    """Statistics of pictures (N, C, H, W), uint8."""
    running = RunningStatistics(len(pictures), extractor.facts.dimensions)
    for start in range(0, len(pictures), BATCH):
        running.add(start, extractor(pictures[start : start + BATCH]))
    return running.finish({})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="pictures, in any form that `zoo eval` reads")
    parser.add_argument("--extractor", default="digits", help="feature extractor (default: %(default)s)")
    parser.add_argument("--size", type=int, default=28, help="pixels per side (default: %(default)s)")
    options = parser.parse_args()
    extractor = open_extractor(options.extractor)
    pictures = open_images(options.data).decode((max(extractor.facts.channels), options.size, options.size)).samples
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    half = min(MOST, len(pictures) // 2)
    reference = features(extractor, pictures[order[:half]])
    samples = pictures[order[half : 2 * half]].float() / 255
    print("| damage | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
    for title, damage in DAMAGE.items():
        damaged = (damage(samples).clamp(0, 1) * 255).round().to(torch.uint8)
        found = compare(reference, features(extractor, damaged), ["fid", "prdc"])
        print(f"| {title} | " + " | ".join(f"{found[name]:.3f}" for name in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
