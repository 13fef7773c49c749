"""What feature extractors see: figures of damaged real pictures, compared with undamaged ones.

    python benchmarks/extractors.py --data path/to/emoji --size 64 --model dcgan-emoji-64 random-vgg efficientnet-lite0

The data are 1,000 pictures. The samples are 1,000 others: damaged in each of the ways below, chosen in a way that loses
variety, or drawn from a model. An extractor is useful if its figures get worse with the damage. Prints one table, with
the figures of the extractors side by side, and to stderr how many pictures each takes in a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

import zoo_core as zoo
from zoo_core.data.opening import open_images
from zoo_core.data.training_data import TrainingData
from zoo_core.metrics import FeatureStatistics, RunningStatistics, compare, open_extractor
from zoo_core.metrics.extractors.opening import OpenExtractor

COLUMNS = ("fid", "kid", "precision", "recall", "density", "coverage")
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


def shifted(x: Tensor) -> Tensor:
    """Each shifted by up to two pixels, with the border repeated."""
    rows, columns = torch.randint(0, 5, (2, len(x)), generator=torch.Generator().manual_seed(0)).tolist()
    padded, size = F.pad(x, (2, 2, 2, 2), "replicate"), x.shape[2]
    places = zip(padded, rows, columns, strict=True)
    return torch.stack([picture[:, row : row + size, column : column + size] for picture, row, column in places])


DAMAGE: dict[str, Callable[[Tensor], Tensor]] = {
    "blur of 0.7 pixels": lambda x: blurred(x, 0.7),
    "blur of 1.5 pixels": lambda x: blurred(x, 1.5),
    "blur of 3 pixels": lambda x: blurred(x, 3),
    "noise of 0.05": lambda x: noisy(x, 0.05),
    "noise of 0.15": lambda x: noisy(x, 0.15),
    "2 x 2 squares shuffled": lambda x: shuffled(x, 2),
    "each picture the mean of two": lambda x: (x + x.roll(1, 0)) / 2,
    "5 % of the pictures, 20 times, shifted": lambda x: shifted(x[: len(x) // 20].repeat(20, 1, 1, 1)),
}
COLOUR_DAMAGE: dict[str, Callable[[Tensor], Tensor]] = {
    "20 % less blue": lambda x: x * torch.tensor([1, 1, 0.8])[:, None, None],
    "red and blue exchanged": lambda x: x.flip(1),
}
# Losses of variety: which of `count` undamaged pictures are the samples, and which classes are left.
REPETITION: dict[str, Callable[[int], Tensor]] = {
    "none": lambda count: torch.arange(count),
    "half of the pictures, twice": lambda count: torch.arange(count // 2).repeat(2),
    "5 % of the pictures, 20 times": lambda count: torch.arange(count // 20).repeat(20),
}
CLASSES: dict[str, Callable[[Tensor], Tensor]] = {
    "the largest class missing": lambda labels: labels != labels.bincount().argmax(),
    "half of the classes missing": lambda labels: labels >= len(labels.bincount()) // 2,
}


def features(extractor: OpenExtractor, pictures: Tensor) -> FeatureStatistics:
    """Statistics of pictures (N, C, H, W), uint8."""
    return statistics(computed(extractor, pictures))


def computed(extractor: OpenExtractor, pictures: Tensor) -> Tensor:
    """Features (N, D) of pictures (N, C, H, W), uint8."""
    return torch.cat([extractor(part) for part in pictures.split(BATCH)])


def statistics(features: Tensor) -> FeatureStatistics:
    """Statistics of features (N, D)."""
    running = RunningStatistics(*features.shape)
    running.add(0, features)
    return running.finish({})


class Pictures:
    """Undamaged pictures in a random order, the first `count` of which are the data."""

    def __init__(self, source: TrainingData, count: int) -> None:
        order = torch.randperm(len(source.samples), generator=torch.Generator().manual_seed(0))
        self.count = min(count, len(order) // 2)
        others = order[self.count : 4 * self.count]  # enough to choose as many from without some classes
        self.data, self.others = source.samples[order[: self.count]], source.samples[others]
        self.labels = None if source.labels is None else source.labels[others]

    def chosen(self) -> Iterator[tuple[str, Tensor]]:
        """Each loss of variety, and which of the others are left."""
        for title, choose in REPETITION.items():
            yield title, choose(self.count)
        for title, keep in CLASSES.items() if self.labels is not None else ():
            yield title, keep(self.labels).nonzero().flatten()[: self.count]

    def damaged(self) -> Iterator[tuple[str, Tensor]]:
        """Each damage, and as many pictures with it."""
        samples = self.others[: self.count].float() / 255
        for title, damage in DAMAGE.items() if samples.shape[1] == 1 else (DAMAGE | COLOUR_DAMAGE).items():
            yield title, (damage(samples).clamp(0, 1) * 255).round().to(torch.uint8)


def rows(pictures: Pictures, extractor: OpenExtractor, model: zoo.Generator | None) -> Iterator[tuple[str, list[str]]]:
    """The title of each row, and the extractor's figures."""
    began = time.monotonic()
    reference = features(extractor, pictures.data)
    print(
        f"{extractor.facts.name}: {pictures.count / (time.monotonic() - began):.0f} pictures a second", file=sys.stderr
    )

    def row(title: str, samples: FeatureStatistics) -> tuple[str, list[str]]:
        found = compare(reference, samples, ["fid", "kid", "prdc"])
        return title, [f"{round(found[name], 3) + 0:.3f}" for name in COLUMNS]  # never -0.000

    chosen = dict(pictures.chosen())
    used, places = torch.cat(list(chosen.values())).unique(return_inverse=True)
    undamaged = computed(extractor, pictures.others[used])
    for title, picked in zip(chosen, places.split([len(some) for some in chosen.values()]), strict=True):
        yield row(title, statistics(undamaged[picked]))
    for title, damaged in pictures.damaged():
        yield row(title, features(extractor, damaged))
    if model is not None:
        drawn = (model.sample(pictures.count) * 255).round().to(torch.uint8)
        yield row("samples of the model", features(extractor, drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extractors", nargs="+", metavar="EXTRACTOR", help="name of a feature extractor")
    parser.add_argument("--data", required=True, help="pictures, in any form that `zoo eval` reads")
    parser.add_argument("--size", type=int, default=28, help="pixels per side (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=1000, help="pictures of each kind (default: %(default)s)")
    parser.add_argument("--model", help="a model whose samples are measured too")
    options = parser.parse_args()
    extractors = [open_extractor(name) for name in options.extractors]
    channels = max(min(extractors, key=lambda extractor: max(extractor.facts.channels)).facts.channels)
    pictures = Pictures(open_images(options.data).decode((channels, options.size, options.size)), options.pictures)
    model = zoo.load(options.model, device="cpu") if options.model else None
    titles = [title for extractor in extractors for title in (f"`{extractor.facts.name}`: {COLUMNS[0]}", *COLUMNS[1:])]
    print("| damage | " + " | ".join(titles) + " |\n" + "|---" * (1 + len(titles)) + "|")
    for side_by_side in zip(*(rows(pictures, extractor, model) for extractor in extractors), strict=True):
        cells = [cell for _, figures in side_by_side for cell in figures]
        print(f"| {side_by_side[0][0]} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
