"""The tables of docs/quality.md: the figures of every bundled model, with real pictures as an upper limit.

    python benchmarks/quality.py --mnist path/to/mnist --emoji path/to/emoji

The figures of the models are those stated in their registry; `zoo verify --all --metrics --data …` measures them again.
Those of real pictures are measured here: MNIST's test split is compared with its train split as if it had been sampled,
and one half of Noto Emoji, which has only one split, with the other half.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import torch
from extractors import features

import zoo_core as zoo
from zoo_core.data.opening import open_images
from zoo_core.metrics import FeatureStatistics, compare, open_extractor
from zoo_core.metrics.data_features import data_statistics
from zoo_core.registries import Metric

FEATURE_METRICS = ("fid", "kid", "precision", "recall", "density", "coverage")
COLUMNS = (*FEATURE_METRICS, "elbo", "iwae")


def real_digits(data: str, size: int) -> dict[str, Metric]:
    """The figures of MNIST's test split, in the features of `digits`."""
    extractor = open_extractor("digits")
    train, test = (
        data_statistics(open_images(data, split=split).decode((1, size, size)), split, extractor)
        for split in ("train", "test")
    )
    return _metrics(train, test)


def real_emoji(data: str) -> dict[str, Metric]:
    """The figures of one half of the pictures, in the features of `random-vgg`."""
    extractor = open_extractor("random-vgg")
    pictures = open_images(data).decode((3, 64, 64)).samples
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    half = len(order) // 2
    return _metrics(features(extractor, pictures[order[:half]]), features(extractor, pictures[order[half : 2 * half]]))


def _metrics(reference: FeatureStatistics, found: FeatureStatistics) -> dict[str, Metric]:
    return {name: Metric(value=value) for name, value in compare(reference, found, ["fid", "kid", "prdc"]).items()}


def head(columns: Sequence[str]) -> str:
    """The first two lines of a table."""
    return " | ".join(["| ", *columns]) + " |\n" + "|---" * (1 + len(columns)) + "|"


def row(title: str, metrics: Mapping[str, Metric], columns: Sequence[str] = COLUMNS) -> str:
    """A row of the table; a missing figure is a dash."""
    cells = [_cell(metrics[name]) if name in metrics else "–" for name in columns]
    return " | ".join([f"| {title}", *cells]) + " |"


def _cell(metric: Metric) -> str:
    digits = 2 if abs(metric.value) >= 2 else 3
    error = f" ± {metric.error:.{digits}f}" if metric.error is not None else ""
    return f"{metric.value:.{digits}f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--mnist", required=True, help="MNIST with a train and a test split, in any form that `zoo eval` reads"
    )
    parser.add_argument("--emoji", required=True, help="Noto Emoji in 64 x 64, in any form that `zoo eval` reads")
    options = parser.parse_args()
    print(head(COLUMNS))
    for size in (28, 32):
        print(row(f"real test digits, {size} x {size}", real_digits(options.mnist, size)))
    for entry in zoo.registry().find(dataset="mnist"):
        if entry.folder is not None:
            print(row(f"`{entry.name}`", entry.metrics))
    print(f"\n{head(FEATURE_METRICS)}")
    print(row("half of the real emoji, against the other half", real_emoji(options.emoji), FEATURE_METRICS))
    emoji = zoo.registry()["dcgan-emoji-64"]
    print(row(f"`{emoji.name}`", emoji.metrics, FEATURE_METRICS))


if __name__ == "__main__":
    main()
