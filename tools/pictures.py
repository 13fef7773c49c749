"""Draw the pictures of docs/theory.md: python tools/pictures.py --data path/to/mnist

The same weights give the same pictures. The curves need matplotlib, which is in requirements-docs.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot

import zoo_core as zoo
from zoo_core import losses
from zoo_core.data.opening import open_images
from zoo_core.kinds.pictures import grid, save_png, to_uint8
from zoo_core.sampling import latent_space

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
INK = "#808080"  # legible on white and on black
WALKS, WAYPOINTS, FRAMES = 6, 3, 6
RECONSTRUCTED = 12


def generator_losses(file: Path) -> None:
    """Both generator losses and their gradients as functions of a sample's logit."""
    logits = torch.linspace(-6, 6, 61, dtype=torch.float64, requires_grad=True)
    figure, (values, gradients) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name, loss, colour in (
        ("minimax", losses.minimax_generator_loss, "#e07b39"),
        ("non-saturating", losses.non_saturating_generator_loss, "#3f7fd0"),
    ):
        each = torch.stack([loss(logit[None]) for logit in logits])
        (gradient,) = torch.autograd.grad(each.sum(), logits)
        values.plot(logits.detach(), each.detach(), colour, label=name)
        gradients.plot(logits.detach(), gradient, colour)
    values.set(title="loss of G", xlabel="logit of a sample: D is winning on the left")
    gradients.set(title="its gradient", xlabel="logit of a sample")
    values.legend(frameon=False)
    figure.savefig(file, transparent=True, metadata={"Date": None})


def reconstructions(file: Path, data: str) -> None:
    """Digits of the test split above their reconstructions by the VAE."""
    vae = zoo.load("vae-mnist", device="cpu")
    digits = open_images(data, split="test").decode((1, 28, 28)).samples[:RECONSTRUCTED].float() / 255
    pictures = torch.cat([digits, latent_space.reconstruct(vae, digits)])
    save_png(_rows(pictures, RECONSTRUCTED), file)


def interpolation(file: Path) -> None:
    """One walk per row."""
    vae = zoo.load("vae-mnist", device="cpu")
    walks = latent_space.interpolate(vae, WALKS, through=WAYPOINTS, frames=FRAMES)
    pictures = torch.stack(list(walks)).transpose(0, 1).flatten(0, 1)
    save_png(_rows(pictures, len(pictures) // WALKS), file)


def traversal(file: Path) -> None:
    """One dimension per row."""
    vae = zoo.load("beta-vae-mnist", device="cpu")
    pictures, _ = latent_space.traverse(vae, torch.zeros(vae.latent_shape), steps=13)
    save_png(_rows(pictures.flatten(0, 1), pictures.shape[1]), file)


def _rows(pictures: torch.Tensor, columns: int) -> np.ndarray:
    return grid(to_uint8(pictures), columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="MNIST with a test split, in any form that `zoo eval` reads")
    data: str = parser.parse_args().data
    matplotlib.rcParams |= {"svg.hashsalt": "zoo-core", "svg.fonttype": "none", "font.size": 11}
    for part in ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"):
        matplotlib.rcParams[part] = INK
    FOLDER.mkdir(exist_ok=True)
    generator_losses(FOLDER / "generator-losses.svg")
    reconstructions(FOLDER / "reconstructions.png", data)
    interpolation(FOLDER / "interpolation.png")
    traversal(FOLDER / "traversal.png")


if __name__ == "__main__":
    main()
