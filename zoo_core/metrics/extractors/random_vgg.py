"""Features of pictures of any kind: an untrained VGG with fixed random weights.

Features learnt from photographs, or from digits, capture what matters in those. For other data, a random network is the
fairer choice (Naeem et al., 2020, arXiv 2002.09797). It captures strokes, colours and their places, not their meaning.
As in that paper it has VGG16's stages of convolutions and 64 features; it is half as wide, has no hidden linear layers,
and takes pictures of 64 x 64, so that a CPU computes 10,000 of them in minutes.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 64  # pixels; pictures of other sizes are resized
DIMENSIONS = 64
WIDTHS = ((32, 32), (64, 64), (128, 128, 128), (256, 256, 256), (256, 256, 256))  # VGG16's, halved
SEED = 0


class RandomVGG(nn.Module):
    """VGG16's five stages of convolutions, each ending in a pooling to half the size, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for stage in WIDTHS:
            for width in stage:
                layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.ReLU()]
                width_in = width
            layers.append(nn.MaxPool2d(2))
        side = SIZE // 2 ** len(WIDTHS)
        self.convolutions = nn.Sequential(*layers)
        self.embedding = nn.Linear(width_in * side * side, DIMENSIONS, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, 64), float32, of pictures (N, 1 or 3, H, W), uint8; grey becomes three equal channels."""
        x = pictures.expand(-1, 3, -1, -1).float() / 127.5 - 1
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.embedding(self.convolutions(x).flatten(1))
        return features


@torch.no_grad()
def load(weights: Path | None = None) -> RandomVGG:
    """Return the network in eval mode; it needs no weights file.

    Weights are uniform, in a range that keeps activations bounded (He et al., 2015, arXiv 1502.01852). They come from
    NumPy's frozen Mersenne twister through products and differences alone: the same bits on every machine and release.
    """
    network, numbers = RandomVGG(), np.random.RandomState(SEED)
    for weight in network.parameters():
        bound = math.sqrt(6 / weight[0].numel())
        weight.copy_(torch.from_numpy(numbers.random_sample(tuple(weight.shape)) * (2 * bound) - bound))
    return network.eval().requires_grad_(False)
