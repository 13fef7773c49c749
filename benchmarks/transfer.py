"""What a start from a model is worth: a DCGAN on 500 pictures, from dcgan-emoji-64 and from nothing, FID by steps.

    python benchmarks/transfer.py --data AVATARS --out RUNS [--steps 800] [--classes]

AVATARS is any labelled data of pictures that `zoo train` reads. The first 500 are trained on, and both runs are the same
but for `--from`; a run that was stopped goes on. Prints a Markdown table and writes RUNS/steps.png: samples of both runs
by steps. The figures are those of `eval_every`: of the averaged generator against the 500 pictures.
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

PICTURES = 500
RUNS = {"from nothing": None, "from dcgan-emoji-64": "dcgan-emoji-64"}
COLUMNS = 6  # samples a run in the picture, of each grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = first_pictures(options.data, PICTURES)
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
        eval_samples=1000,
    )
    config = DCGANConfig(
        size=64, channels=3, latent_size=128, width=48, conditional=True, num_classes=data.num_classes or 1
    )
    for name, parent in RUNS.items():
        trainer = DCGANTrainer(config, settings, data.sample_shape)
        # The classes are others than those of the emoji: the layer that takes them starts anew.
        trainer.fit(data, out=folder_of(options.out, name), resume=True, start_from=parent, matching=parent is not None)
    figures = {name: logged(folder_of(options.out, name)) for name in RUNS}
    print(table(figures))
    Image.fromarray(by_steps(options.out, list(figures["from nothing"]))).save(options.out / "steps.png")


def first_pictures(source: str, count: int) -> TrainingData:
    """The first pictures of the data, 64 x 64 in colour, with their classes."""
    data = open_images(source).decode(3, 64)
    labels = data.labels[:count] if data.labels is not None else torch.zeros(count, dtype=torch.int64)
    return TrainingData.from_tensors(
        data.take(range(count)), labels, name=f"{data.name}, the first {count}", class_names=data.class_names
    )


def folder_of(out: Path, name: str) -> Path:
    return out / name.replace(" ", "-")


def logged(run: Path) -> dict[int, dict[str, float]]:
    """The measured figures by step."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line for line in lines if "fid" in line}


def table(figures: dict[str, dict[int, dict[str, float]]]) -> str:
    names = list(figures)
    head = [f"| steps | {' | '.join(f'{metric}, {name}' for metric in ('FID', 'KID') for name in names)} |"]
    head.append("|---" * (1 + 2 * len(names)) + "|")
    rows = [
        f"| {step:,} | "
        + " | ".join(f"{figures[name][step][metric]:.3g}" for metric in ("fid", "kid") for name in names)
        + " |"
        for step in figures[names[0]]
    ]
    return "\n".join(head + rows)


def by_steps(out: Path, steps: list[int]) -> np.ndarray:
    """A row for each run: from the grid of each step, the first samples."""
    side, rows = 64, []
    for name in RUNS:
        grids = [np.asarray(Image.open(folder_of(out, name) / "samples" / f"step-{step:08d}.png")) for step in steps]
        rows.append(np.concatenate([np.asarray(grid)[: 3 * (side + 2), : 2 * (side + 2)] for grid in grids], axis=1))
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
