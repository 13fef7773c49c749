"""The table of docs/quality.md: the figures of every bundled model, and real digits as what cannot be beaten.

    python benchmarks/quality.py --data path/to/mnist

The figures of the models are those that their registry states; `zoo verify --all --metrics --data …` measures them
again. Those of real digits, the test split beside the train split as if it had been sampled, are measured here.
"""

from __future__ import annotations

import argparse

import zoo_core as zoo
from zoo_core.metrics import compare, open_extractor
from zoo_core.metrics.datafeatures import data_statistics
from zoo_core.registries import Metric
from zoo_core.training.data import open_images

COLUMNS = ("fid", "kid", "precision", "recall", "density", "coverage", "elbo", "iwae")
EXTRACTOR = "digits"


def real_digits(data: str, size: int) -> dict[str, Metric]:
    """The figures of the test split."""
    extractor = open_extractor(EXTRACTOR)
    train, test = (
        data_statistics(open_images(data, split=split).decode(1, size), split, extractor) for split in ("train", "test")
    )
    return {name: Metric(value=value) for name, value in compare(train, test, ["fid", "kid", "prdc"]).items()}


def row(title: str, metrics: dict[str, Metric]) -> str:
    """A line of the table; a figure that does not exist is a dash."""
    cells = [_cell(metrics[name]) if name in metrics else "–" for name in COLUMNS]
    return " | ".join([f"| {title}", *cells]) + " |"


def _cell(metric: Metric) -> str:
    digits = 2 if abs(metric.value) >= 2 else 3
    error = f" ± {metric.error:.{digits}f}" if metric.error is not None else ""
    return f"{metric.value:.{digits}f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="MNIST, as `zoo eval` takes it, with a train and a test split")
    data: str = parser.parse_args().data
    print(" | ".join(["| ", *COLUMNS]) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for size in (28, 32):
        print(row(f"real test digits, {size} x {size}", real_digits(data, size)))
    for entry in zoo.registry().find(dataset="mnist"):
        if entry.folder is not None:
            print(row(f"`{entry.name}`", dict(entry.metrics)))


if __name__ == "__main__":
    main()
