"""What a start from a model is worth: a DCGAN on 500 pictures, from dcgan-emoji-64 and from nothing, FID by steps.

    python benchmarks/transfer.py --data AVATARS --out RUNS [--steps 800]

AVATARS is any labelled data of pictures that `zoo train` reads. The first 500 are trained on, and both runs are the
same but for `--from`; a run that was stopped goes on. Prints a Markdown table, with the next 1,000 pictures in its last
row, and writes RUNS/steps.png: samples of both runs by steps, from the same latents. The figures are those of
`eval_every`: of the averaged generator against the 500.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from zoo_dcgan.model import DCGANConfig
from zoo_dcgan.trainer import DCGANTrainer

from zoo_core import GANSettings, TrainingData
from zoo_core.data.opening import open_images
from zoo_core.metrics.data_features import data_statistics
from zoo_core.metrics.evaluation import compare
from zoo_core.metrics.extractors.opening import open_extractor

PICTURES, SAMPLES = 500, 1000
RUNS = {"from nothing": None, "from dcgan-emoji-64": "dcgan-emoji-64"}
ROWS = 2  # of each sample grid that the picture shows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, others = split(options.data)
    settings = GANSettings(
        steps=options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        augment=("color", "translation", "cutout"),
        ema_decay=0.99,
        precision="fp32",
        sample_every=options.every,
        checkpoint_every=options.every,
        eval_every=options.every,
        eval_metrics=("fid", "kid"),
        eval_samples=SAMPLES,
    )
    config = DCGANConfig(
        size=64, channels=3, latent_size=128, width=48, conditional=True, num_classes=data.num_classes or 1
    )
    for name, parent in RUNS.items():
        trainer = DCGANTrainer(config, settings, data.sample_shape)
        # The classes are others than those of the emoji: the layer that takes them starts anew.
        trainer.fit(data, out=folder_of(options.out, name), resume=True, start_from=parent, matching=parent is not None)
    figures = {name: logged(folder_of(options.out, name)) for name in RUNS}
    print(table(figures, of_real_pictures(data, others)))
    steps = sorted(set.intersection(*map(set, figures.values())))
    picture = Image.fromarray(by_steps(options.out, steps[:: max(1, len(steps) // 3)]))
    picture.quantize(64).save(options.out / "steps.png", optimize=True)


def split(source: str) -> tuple[TrainingData, torch.Tensor]:
    """The first pictures of the data, 64 x 64 in colour, with their classes; and others to compare them with."""
    data = open_images(source).decode((3, 64, 64))
    labels = data.labels[:PICTURES] if data.labels is not None else torch.zeros(PICTURES, dtype=torch.int64)
    first = TrainingData.from_tensors(
        data.take(range(PICTURES)), labels, name=f"{data.name}, the first {PICTURES}", class_names=data.class_names
    )
    return first, data.take(range(PICTURES, PICTURES + SAMPLES))


def of_real_pictures(data: TrainingData, others: torch.Tensor) -> dict[str, float]:
    """The figures of other real pictures in the place of samples."""
    extractor = open_extractor("random-vgg")
    of_others = data_statistics(TrainingData.from_tensors(others), "train", extractor)
    return compare(data_statistics(data, "train", extractor), of_others, ["fid", "kid"])


def folder_of(out: Path, name: str) -> Path:
    return out / name.replace(" ", "-")


def logged(run: Path) -> dict[int, dict[str, float]]:
    """The measured figures by step."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line for line in lines if "fid" in line}


def table(figures: dict[str, dict[int, dict[str, float]]], real: dict[str, float]) -> str:
    names = list(figures)
    head = [f"| steps | {' | '.join(f'{metric}, {name}' for metric in ('FID', 'KID') for name in names)} |"]
    head.append("|---" * (1 + 2 * len(names)) + "|")
    for step in sorted(set().union(*figures.values())):
        found = [figures[name].get(step, {}).get(metric) for metric in ("fid", "kid") for name in names]
        head.append(f"| {step:,} | {' | '.join('–' if value is None else f'{value:.3f}' for value in found)} |")
    cells = [f"{real[metric]:.3f}" for metric in ("fid", "kid") for _ in names]
    return "\n".join([*head, f"| real pictures | {' | '.join(cells)} |"])


def by_steps(out: Path, steps: list[int]) -> np.ndarray:
    """For each run, the first rows of the sample grid of each step, side by side; a column of a grid is a class."""
    height = ROWS * (64 + 2)  # with the lines between samples
    runs = []
    for name in RUNS:
        files = [folder_of(out, name) / "samples" / f"step-{step:08d}.png" for step in steps]
        runs.append(np.concatenate([np.asarray(Image.open(file))[:height] for file in files], axis=1))
    return np.concatenate(runs)


if __name__ == "__main__":
    main()
