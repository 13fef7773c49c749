"""What an extractor of sounds hears: figures of damaged sounds, compared with undamaged ones.

    python benchmarks/audio_extractor.py --data path/to/spoken_digits

One half of the sounds (at most 2,000) is the data. The other half, damaged in each of the ways below or chosen in a way
that loses variety, is used as samples. An extractor is useful if its figures get worse with the damage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics import FeatureStatistics, RunningStatistics, compare, open_extractor
from zoo_core.metrics.extractors.opening import OpenExtractor

COLUMNS = ("fid", "kid", "precision", "recall", "density", "coverage")
MOST = 2000
BATCH = 100


def noisy(x: Tensor, deviation: float) -> Tensor:
    """With normal noise of this standard deviation, where full scale is 1."""
    return x + deviation * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def without_frequencies(x: Tensor, rate: int, low: float, high: float) -> Tensor:
    """Without the frequencies between these two, in Hz."""
    spectrum, frequencies = torch.fft.rfft(x), torch.fft.rfftfreq(x.shape[2], 1 / rate)
    return torch.fft.irfft(spectrum * ((frequencies < low) | (frequencies > high)), x.shape[2])


def in_levels(x: Tensor, levels: int) -> Tensor:
    """Rounded to this many levels."""
    return ((x + 1) / 2 * (levels - 1)).round() / (levels - 1) * 2 - 1


def in_pieces(x: Tensor, pieces: int) -> Tensor:
    """Cut into pieces that are shuffled."""
    parts = x.unflatten(2, (pieces, -1))
    order = torch.rand(len(x), pieces, generator=torch.Generator().manual_seed(0)).argsort(1)
    return parts.gather(2, order[:, None, :, None].expand_as(parts)).flatten(2)


def damages(rate: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to sounds (N, 1, L) of this rate."""
    return {
        "none": lambda x: x,
        "noise of 0.001": lambda x: noisy(x, 0.001),
        "noise of 0.01": lambda x: noisy(x, 0.01),
        "noise of 0.05": lambda x: noisy(x, 0.05),
        "nothing above 4,000 Hz": lambda x: without_frequencies(x, rate, 4000, rate),
        "nothing above 2,000 Hz": lambda x: without_frequencies(x, rate, 2000, rate),
        "nothing below 500 Hz": lambda x: without_frequencies(x, rate, -1, 500),
        "a hum of 100 Hz, 0.02": lambda x: x + 0.02 * torch.sin(torch.arange(x.shape[2]) * 2 * torch.pi * 100 / rate),
        "ten times as loud, clipped": lambda x: 10 * x,
        "a tenth as loud": lambda x: x / 10,
        "rounded to 16 levels": lambda x: in_levels(x, 16),
        "20 ms later": lambda x: x.roll(rate // 50, 2),
        "100 ms later": lambda x: x.roll(rate // 10, 2),
        "backwards": lambda x: x.flip(2),
        "4 pieces shuffled": lambda x: in_pieces(x, 4),
        "each sound the mean of two": lambda x: (x + x.roll(1, 0)) / 2,
        "silence": torch.zeros_like,
        "white noise of 0.1": lambda x: noisy(torch.zeros_like(x), 0.1),
    }


CHOICES: dict[str, Callable[[Tensor], Tensor]] = {  # of undamaged sounds, by their labels
    "one digit missing": lambda labels: (labels != 0).nonzero().flatten(),
    "half of the digits missing": lambda labels: (labels < 5).nonzero().flatten(),
    "half of the sounds, twice": lambda labels: torch.arange(len(labels) // 2).repeat(2),
    "5 % of the sounds, 20 times": lambda labels: torch.arange(len(labels) // 20).repeat(20),
}


def statistics(features: Tensor) -> FeatureStatistics:
    """Statistics of features (N, D)."""
    running = RunningStatistics(*features.shape)
    running.add(0, features)
    return running.finish({})


def features(extractor: OpenExtractor, sounds: Tensor, rate: int) -> Tensor:
    """Features (N, D) of sounds (N, 1, L), cut off at full scale."""
    return torch.cat([extractor(some.clamp(-1, 1), sample_rate=rate) for some in sounds.split(BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="labelled sounds, in any form that `zoo eval` reads")
    parser.add_argument("--extractor", default="spoken-digits", help="feature extractor (default: %(default)s)")
    options = parser.parse_args()
    extractor = open_extractor(options.extractor)
    data: TrainingData = kind_named("audio").read(options.data)
    rate, labels = int(data.values["sample_rate"]), data.labels
    if labels is None:
        raise SystemExit(f"{data.name} has no labels")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    half = min(MOST, len(data) // 2)
    reference = statistics(features(extractor, data.take(order[:half].tolist()), rate))
    others = order[half : 2 * half]
    sounds = data.take(others.tolist())
    undamaged = features(extractor, sounds, rate)

    def show(title: str, found: Tensor) -> None:
        figures = compare(reference, statistics(found), ["fid", "kid", "prdc"])
        print(f"| {title} | " + " | ".join(f"{figures[name]:.3f}" for name in COLUMNS) + " |", flush=True)

    print("| damage | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
    for title, damage in damages(rate).items():
        show(title, features(extractor, damage(sounds), rate))
    for title, choose in CHOICES.items():
        show(title, undamaged[choose(labels[others])])


if __name__ == "__main__":
    main()
