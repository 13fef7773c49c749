"""The Inception network of FID: InceptionV3 as in TensorFlow's frozen graph of 2015-12-05, with 2,048 features.

It differs from the InceptionV3 of the paper (Szegedy et al., arXiv 1512.00567): average pooling leaves out the padding,
one block uses max pooling, and pictures are resized as in TensorFlow 1. Figures computed with anything else are not
comparable with published ones. Layers have the names of pytorch-fid and torch-fidelity, whose weights files it reads.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core.errors import MetricError, printable
from zoo_core.files.utf8_names import utf8_name

SIZE = 299  # pixels
PICTURES = 64  # at a time: each needs about 15 MB of activations
DIMENSIONS = 2048
_UNUSED = ("fc.weight", "fc.bias")  # of the classifier, which follows the features
_COUNTER = "num_batches_tracked"  # of BatchNorm, in files written by newer versions of torch


class _Convolution(nn.Module):
    """Convolution, BatchNorm with the ε of the graph, ReLU."""

    def __init__(
        self, width_in: int, width: int, kernel: int | tuple[int, int], stride: int = 1, pad: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _average(x: Tensor) -> Tensor:
    """Average over 3 x 3 pixels, not counting those outside the picture."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _BlockA(nn.Module):
    def __init__(self, width_in: int, pool_width: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(width_in, 64, 1)
        self.branch5x5_1 = _Convolution(width_in, 48, 1)
        self.branch5x5_2 = _Convolution(48, 64, 5, pad=2)
        self.branch3x3dbl_1 = _Convolution(width_in, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, pad=1)
        self.branch_pool = _Convolution(width_in, pool_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_average(x)),
        ]
        return torch.cat(branches, 1)


class _BlockB(nn.Module):
    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(width_in, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Convolution(width_in, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _BlockC(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        row, column = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))  # kernel, stride, padding
        self.branch1x1 = _Convolution(width_in, 192, 1)
        self.branch7x7_1 = _Convolution(width_in, width, 1)
        self.branch7x7_2 = _Convolution(width, width, *row)
        self.branch7x7_3 = _Convolution(width, 192, *column)
        self.branch7x7dbl_1 = _Convolution(width_in, width, 1)
        self.branch7x7dbl_2 = _Convolution(width, width, *column)
        self.branch7x7dbl_3 = _Convolution(width, width, *row)
        self.branch7x7dbl_4 = _Convolution(width, width, *column)
        self.branch7x7dbl_5 = _Convolution(width, 192, *row)
        self.branch_pool = _Convolution(width_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        branches = [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_average(x)),
        ]
        return torch.cat(branches, 1)


class _BlockD(nn.Module):
    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Convolution(width_in, 192, 1)
        self.branch3x3_2 = _Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Convolution(width_in, 192, 1)
        self.branch7x7x3_2 = _Convolution(192, 192, (1, 7), pad=(0, 3))
        self.branch7x7x3_3 = _Convolution(192, 192, (7, 1), pad=(3, 0))
        self.branch7x7x3_4 = _Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, 2)], 1)


class _BlockE(nn.Module):
    """Pooling is the only difference between the last two blocks: the last one of the graph uses max pooling."""

    def __init__(self, width_in: int, *, pools_by_maximum: bool) -> None:
        super().__init__()
        self.pools_by_maximum = pools_by_maximum
        self.branch1x1 = _Convolution(width_in, 320, 1)
        self.branch3x3_1 = _Convolution(width_in, 384, 1)
        self.branch3x3_2a = _Convolution(384, 384, (1, 3), pad=(0, 1))
        self.branch3x3_2b = _Convolution(384, 384, (3, 1), pad=(1, 0))
        self.branch3x3dbl_1 = _Convolution(width_in, 448, 1)
        self.branch3x3dbl_2 = _Convolution(448, 384, 3, pad=1)
        self.branch3x3dbl_3a = _Convolution(384, 384, (1, 3), pad=(0, 1))
        self.branch3x3dbl_3b = _Convolution(384, 384, (3, 1), pad=(1, 0))
        self.branch_pool = _Convolution(width_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.pools_by_maximum else _average(x)
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(branches, 1)


class FIDInception(nn.Module):
    """Maps pictures to the 2,048 features before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, pad=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b = _BlockA(192, 32)
        self.Mixed_5c = _BlockA(256, 64)
        self.Mixed_5d = _BlockA(288, 64)
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b = _BlockC(768, 128)
        self.Mixed_6c = _BlockC(768, 160)
        self.Mixed_6d = _BlockC(768, 160)
        self.Mixed_6e = _BlockC(768, 192)
        self.Mixed_7a = _BlockD(768)
        self.Mixed_7b = _BlockE(1280, pools_by_maximum=False)
        self.Mixed_7c = _BlockE(2048, pools_by_maximum=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, 2048), float32, of pictures (N, 1 or 3, H, W), uint8."""
        return torch.cat([self._features(part) for part in torch.split(pictures, PICTURES)])

    def _features(self, pictures: Tensor) -> Tensor:
        x = resize_as_tensorflow_1(pictures.float(), SIZE)
        x = (x - 128) / 128
        x = x.expand(-1, 3, -1, -1)  # grey: three equal channels
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features: Tensor = x.mean((2, 3))
        return features


def resize_as_tensorflow_1(x: Tensor, size: int) -> Tensor:
    """Resize (N, C, H, W) to (N, C, size, size), bilinearly, with pixel i of the result at i · H / size of the picture.

    Only the top left corners are aligned, and nothing is blurred before pixels are dropped: this is
    tf.image.resize_bilinear(align_corners=False), which FID was defined with.
    """
    rows, columns = (_interpolation(length, size).to(x) for length in x.shape[2:])
    return rows @ x @ columns.T


def _interpolation(length: int, size: int) -> Tensor:
    """Return the matrix (size, length) of linear interpolation."""
    place = torch.arange(size, dtype=torch.float64) * (length / size)
    low = place.floor().long()
    high = (low + 1).clamp(max=length - 1)
    fraction = place - low
    matrix = torch.zeros(size, length, dtype=torch.float64)
    every = torch.arange(size)
    matrix[every, low] += 1 - fraction
    matrix[every, high] += fraction
    return matrix


def load(weights: Path | None) -> FIDInception:
    """Return the network with weights from a .safetensors or .pth file, in eval mode.

    A .pth file is read with weights_only=True, which builds tensors and runs no code.

    Raises:
        MetricError: if the file is missing, is something else, or holds other tensors.
    """
    if weights is None:
        raise MetricError("inception-v3 needs a file of weights")
    tensors = {name: tensor for name, tensor in _read(weights).items() if name not in _UNUSED}
    with torch.device("meta"):
        network = FIDInception()
    expected = {name: value.shape for name, value in network.state_dict().items() if not name.endswith(_COUNTER)}
    given = {name: value.shape for name, value in tensors.items() if not name.endswith(_COUNTER)}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        raise MetricError(
            f"{printable(weights)} does not hold the weights of FID's Inception: {len(wrong)} tensors are missing, "
            f"unexpected or of another shape, {printable(wrong[0], 80)} for example"
        )
    counters = {name: torch.zeros((), dtype=torch.int64) for name in network.state_dict() if name.endswith(_COUNTER)}
    network.load_state_dict({name: tensors[name].float() for name in expected} | counters, assign=True)
    return network.eval().requires_grad_(False)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            with utf8_name(file) as name:
                return load_file(name)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MetricError(f"there is no file {printable(file)} with the weights of inception-v3") from None
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, ValueError, EOFError, LookupError) as error:
        raise MetricError(f"{printable(file)} holds no weights: {printable(error, 120)}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise MetricError(f"{printable(file)} holds no weights: it is not a mapping of names to tensors")
    return content
