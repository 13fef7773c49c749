"""Packing: weights in the layout of oneDNN, and activations that it applies in the same call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

# An activation in the terms of oneDNN: its name, its parameters, and which of several formulas.
Activation = tuple[str, list[float], str]

_MANY = 16  # pictures


def onednn_activation(layer: nn.Module | None) -> Activation | None:
    """The activation in the terms of oneDNN; None for a layer that it does not know."""
    if type(layer) is nn.LeakyReLU:
        return "leaky_relu", [layer.negative_slope], ""
    if type(layer) is nn.GELU:
        return "gelu", [], layer.approximate
    simple = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "swish"}.get(type(layer))
    return (simple, [], "") if simple else None


_OPERATIONS = (
    "_linear_pointwise",
    "_reorder_linear_weight",
    "_convolution_pointwise",
    "_reorder_convolution_weight",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_transpose_weight",
)


def onednn_computes(weight: Tensor) -> bool:
    """Whether this build of torch and this CPU can compute with packed weights."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def packed(layer: nn.Module, activation: Activation) -> Callable[[Tensor], Tensor] | None:
    """The layer and its activation as one call of oneDNN; None for a layer that it does not compute."""
    if type(layer) is nn.Linear:
        return _PackedLinear(layer.weight, layer.bias, activation)
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return _PackedConvolution(layer, activation)
    if type(layer) is nn.ConvTranspose2d:
        return _OfOnePixel(layer, activation) if _spreads_one_pixel(layer) else _PackedConvolution(layer, activation)
    return None


class _PackedLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: Activation) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = bias.detach() if bias is not None else None
        self._activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._activation)
        return result


class _PackedConvolution:
    """A convolution and its activation, computed by oneDNN.

    The best layout of the weights depends on the size of the pictures, so that they are packed at the first call, for
    its size, and for many of them even if it has one. For another size the result is right too, only slower.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, activation: Activation) -> None:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        name = "_convolution_transpose" if transposed else "_convolution"
        self._reorder = getattr(torch.ops.mkldnn, f"_reorder{name}_weight")
        self._convolve = getattr(torch.ops.mkldnn, f"{name}_pointwise")
        output_padding = (layer.output_padding,) if transposed else ()
        self._geometry = (layer.padding, *output_padding, layer.stride, layer.dilation, layer.groups)
        self._weight = layer.weight.detach()
        self._packed: Tensor | None = None
        self._bias = layer.bias.detach() if layer.bias is not None else None
        self._activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        # The packed weight is published by one assignment and never replaces the layer's own: another thread sees
        # either no packed weight or a complete one, and at worst packs a second time.
        weight = self._packed
        if weight is None:
            own = self._weight.contiguous(memory_format=torch.channels_last)
            weight = self._packed = self._reorder(own, *self._geometry, [max(_MANY, len(x)), *x.shape[1:]])
        result: Tensor = self._convolve(x, weight, self._bias, *self._geometry, *self._activation)
        return result


def _spreads_one_pixel(layer: nn.ConvTranspose2d) -> bool:
    """Whether the output for one pixel is the kernel times that pixel, as in the first layer of a DCGAN."""
    geometry = (layer.padding, layer.output_padding, layer.dilation, layer.groups)
    return geometry == ((0, 0), (0, 0), (1, 1), 1)


class _OfOnePixel:
    """A transposed convolution that is computed as a linear layer if the picture has one pixel."""

    def __init__(self, layer: nn.ConvTranspose2d, activation: Activation) -> None:
        channels_in, self._channels, self._height, self._width = layer.weight.shape
        # The outputs in the order of a picture with channels last in memory.
        weight = layer.weight.permute(2, 3, 1, 0).reshape(-1, channels_in)
        bias = layer.bias.repeat(self._height * self._width) if layer.bias is not None else None
        self._linear = _PackedLinear(weight, bias, activation)
        self._convolution = _PackedConvolution(layer, activation)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1):
            return self._convolution(x)
        rows = self._linear(x.flatten(1))
        return rows.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)
