"""Folding: BatchNorm into the layer before it, and upsampling with a convolution into a transposed convolution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """A copy of the layer with the BatchNorm in its weights: in eval mode BatchNorm only scales and shifts.

    The weights are computed in float32 at least: in bfloat16 they would be rounded twice.
    """
    dtype = next(layer.parameters()).dtype
    wide = torch.promote_types(dtype, torch.float32)
    layer, norm = copy.deepcopy(layer).to(wide), copy.deepcopy(norm).to(wide)
    return FOLDABLE[type(layer)][1](layer, norm).to(dtype).requires_grad_(False)


FOLDABLE: dict[type[nn.Module], tuple[type[nn.Module], Callable[[Any, Any], nn.Module]]] = {
    nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_eval),
    nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_eval),
    nn.ConvTranspose2d: (nn.BatchNorm2d, lambda layer, norm: fuse_conv_bn_eval(layer, norm, transpose=True)),
}


def doubles(layer: nn.Module) -> bool:
    """Whether the layer is nearest upsampling by the factor 2."""
    return (
        type(layer) in (nn.Upsample, nn.UpsamplingNearest2d)
        and layer.mode == "nearest"
        and layer.size is None
        and layer.scale_factor in (2, (2, 2))
    )


def is_three_by_three(layer: nn.Module) -> bool:
    """Whether the layer is a plain 3 × 3 convolution that keeps height and width."""
    return (
        type(layer) is nn.Conv2d
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
    )


def doubling_convolution(layer: nn.Module) -> nn.ConvTranspose2d:
    """Nearest upsampling by 2 and a 3 × 3 convolution as one 4 × 4 transposed convolution of stride 2.

    It multiplies each pixel of the smaller picture by 16 weights instead of 36:
    y[o] = Σ w[k] x[⌊(o + k − 1) / 2⌋] as Σ K[o − 2i + 1] x[i], with K[t] = w[2 − t] + w[3 − t] along each axis.
    """
    assert isinstance(layer, nn.Conv2d)
    with torch.device(layer.weight.device):
        doubling = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, bias=layer.bias is not None)
    axis = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]]).to(layer.weight.device, torch.float64)
    doubling.weight.copy_(torch.einsum("tk,ul,oikl->iotu", axis, axis, layer.weight.detach().double()))
    if layer.bias is not None:
        assert doubling.bias is not None
        doubling.bias.copy_(layer.bias)
    return doubling.to(layer.weight.dtype).requires_grad_(False)
