"""Features of handwritten digits: a small classifier of MNIST, bundled, so that evaluation needs no download.

Trained by tools/train_extractor.py. Its features decide every figure that names it, so that other weights, another size
or another resizer make another version.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core.metrics.extractors.bundled import load_bundled

SIZE = 28  # pixels; pictures of other sizes are resized
DIMENSIONS = 64
WEIGHTS = Path(__file__).with_name("weights") / "digits-1.safetensors"


def _convolution(width_in: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


class DigitNetwork(nn.Module):
    """Four convolutions and two linear layers; the features are the normalised output of the first linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(1, 24, 1), *_convolution(24, 24, 2), *_convolution(24, 48, 1), *_convolution(48, 48, 2)
        )
        self.embedding = nn.Linear(48 * (SIZE // 4) ** 2, DIMENSIONS, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSIONS)
        self.classifier = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Linear(DIMENSIONS, 10))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, 64), float32, of grey pictures (N, 1, H, W), uint8, resized to 28 x 28 if need be."""
        x = pictures.float() / 255
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.norm(self.embedding(self.convolutions(x).flatten(1)))
        return features

    def logits(self, pictures: Tensor) -> Tensor:
        """Return the logits of the ten digits, (N, 10), for pictures as `forward` takes them."""
        scores: Tensor = self.classifier(self(pictures))
        return scores


def load(weights: Path | None = None) -> DigitNetwork:
    """Return the bundled network, or one from a file of the same tensors, in eval mode. Raises MetricError."""
    return load_bundled(DigitNetwork(), weights or WEIGHTS, "digits")
