"""The same function in less time: layers of a finished generator are merged and packed, once for each model.

Nothing of it stands in a model's own code. What is done, each only where it leaves the result as it was but for
rounding, inside plain `nn.Sequential` chains of layers that are known here:

- BatchNorm, which in eval mode is a scale and a shift, goes into the weights of the layer before it.
- Nearest upsampling by 2 and a 3 x 3 convolution become one 4 x 4 transposed convolution of stride 2: a quarter of
  the multiplications are of the same pixel.
- On a CPU, oneDNN gets weights in the layout that it wants and applies the activation while it has the result at
  hand; pictures lie with their channels last.

Everything else stays as it is: other containers, layers with hooks or parametrisations, subclasses.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import is_parametrized

# Merged weights are copies. Large models spend their time in multiplications, not between them.
LARGEST_COPY = 256 * 2**20  # bytes

_Key = tuple[tuple[int, int], ...]
_prepared: weakref.WeakKeyDictionary[nn.Module, tuple[_Key, nn.Module]] = weakref.WeakKeyDictionary()


def prepared(model: nn.Module) -> nn.Module:
    """A module that computes in eval mode what `model` does, faster where that is possible.

    The model itself is left as it is; where nothing is gained, it is what is returned. A model that is asked for
    again is prepared again only if its weights were changed.
    """
    tensors = [*model.parameters(), *model.buffers()]
    size = sum(tensor.nbytes for tensor in tensors)
    if size > LARGEST_COPY or any(tensor.is_meta or tensor.is_inference() for tensor in tensors):
        return model
    # A tensor's version counts its changes in place.
    key = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
    known = _prepared.get(model)
    if known is None or known[0] != key:
        with torch.no_grad():
            known = (key, _rebuilt(model))
        _prepared[model] = known
    return known[1]


def _rebuilt(module: nn.Module) -> nn.Module:
    """The module with its chains merged: new containers, the same tensors where nothing changed."""
    if not _is_plain(module):
        return module
    if type(module) is nn.Sequential:
        return nn.Sequential(*_merged([_rebuilt(layer) for layer in module]))
    children = {name: _rebuilt(child) for name, child in module.named_children()}
    if all(child is getattr(module, name) for name, child in children.items()):
        return module
    clone = copy.copy(module)
    clone._modules = {**module._modules, **children}
    clone.training = False
    return clone


def _is_plain(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return not any(hooks) and not is_parametrized(module)


def _merged(layers: list[nn.Module]) -> Iterator[nn.Module]:
    """The layers of a chain, with those that can be one made one."""
    waiting = _with_batchnorm_folded(layers)
    while waiting:
        layer = waiting.pop(0)
        if waiting and _doubles(layer) and _is_three_by_three(waiting[0]):
            layer = _doubling_convolution(waiting.pop(0))
        activation = _fusible(waiting[0]) if waiting else None
        packed = _packed(layer, activation or _IDENTITY)
        if packed is not None and activation is not None:
            waiting.pop(0)
        yield packed or layer


def _with_batchnorm_folded(layers: list[nn.Module]) -> list[nn.Module]:
    folded: list[nn.Module] = []
    for layer in layers:
        before = folded[-1] if folded else None
        if before is not None and _follows_statistics(layer) and type(before) in _FOLD and _is_plain(before):
            folded[-1] = _fold(before, layer)
        else:
            folded.append(layer)
    return folded


def _follows_statistics(layer: nn.Module) -> bool:
    return (
        type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        and isinstance(layer, _BatchNorm)
        and layer.running_mean is not None
        and _is_plain(layer)
    )


def _fold(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """In float32, whatever the type of the weights: a scale in bfloat16 would be rounded twice."""
    dtype = next(layer.parameters()).dtype
    wide = torch.promote_types(dtype, torch.float32)
    layer, norm = copy.deepcopy(layer).eval().to(wide), copy.deepcopy(norm).eval().to(wide)
    return _FOLD[type(layer)](layer, norm).to(dtype).requires_grad_(False)


_FOLD: dict[type[nn.Module], Callable[[Any, Any], nn.Module]] = {
    nn.Linear: fuse_linear_bn_eval,
    nn.Conv2d: fuse_conv_bn_eval,
    nn.ConvTranspose2d: lambda layer, norm: fuse_conv_bn_eval(layer, norm, transpose=True),
}


def _doubles(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Upsample
        and layer.mode == "nearest"
        and layer.size is None
        and layer.scale_factor in (2, (2, 2))
        and _is_plain(layer)
    )


def _is_three_by_three(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Conv2d
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
        and _is_plain(layer)
    )


def _doubling_convolution(layer: nn.Module) -> nn.ConvTranspose2d:
    """y[o] = Σ w[k] x[⌊(o + k − 1) / 2⌋] as Σ K[o − 2i + 1] x[i], with K[t] = w[2 − t] + w[3 − t] along each axis."""
    assert isinstance(layer, nn.Conv2d)
    weight = layer.weight.detach().double()
    zero = torch.zeros_like(weight[..., :1])
    weight = torch.cat([zero, weight.flip(3)], 3) + torch.cat([weight.flip(3), zero], 3)
    zero = torch.zeros_like(weight[..., :1, :])
    weight = torch.cat([zero, weight.flip(2)], 2) + torch.cat([weight.flip(2), zero], 2)
    with torch.device(layer.weight.device):
        doubling = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, bias=layer.bias is not None)
    doubling.weight.copy_(weight.transpose(0, 1))
    if layer.bias is not None:
        assert doubling.bias is not None
        doubling.bias.copy_(layer.bias)
    return doubling.to(layer.weight.dtype).requires_grad_(False)


# How oneDNN names an activation: its name, its numbers, and which of several formulas.
_Activation = tuple[str, list[float], str]
_IDENTITY: _Activation = ("none", [], "")


def _fusible(layer: nn.Module) -> _Activation | None:
    if not _is_plain(layer):
        return None
    if type(layer) is nn.LeakyReLU:
        return "leaky_relu", [layer.negative_slope], ""
    if type(layer) is nn.GELU:
        return "gelu", [], layer.approximate
    simple = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "swish"}.get(type(layer))
    return (simple, [], "") if simple else None


def _packed(layer: nn.Module, activation: _Activation) -> nn.Module | None:
    """The layer and its activation as one call of oneDNN; None where it is not a layer for that."""
    if not (_is_plain(layer) and _onednn_computes(layer)):
        return None
    if type(layer) is nn.Linear:
        return _PackedLinear(layer, activation)
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return _FusedConvolution(layer, activation)
    if type(layer) is nn.ConvTranspose2d:
        return _FusedTransposedConvolution(layer, activation)
    return None


def _onednn_computes(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


class _PackedLinear(nn.Module):
    def __init__(self, layer: nn.Linear, activation: _Activation) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
        self._bias = layer.bias.detach() if layer.bias is not None else None
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._activation)
        return result


class _FusedConvolution(nn.Module):
    def __init__(self, layer: nn.Conv2d, activation: _Activation) -> None:
        super().__init__()
        self._weight = layer.weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias = layer.bias.detach() if layer.bias is not None else None
        self._how = (layer.padding, layer.stride, layer.dilation, layer.groups, *activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self._weight, self._bias, *self._how)
        return result


class _FusedTransposedConvolution(nn.Module):
    def __init__(self, layer: nn.ConvTranspose2d, activation: _Activation) -> None:
        super().__init__()
        self._weight = layer.weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias = layer.bias.detach() if layer.bias is not None else None
        geometry = (layer.padding, layer.output_padding, layer.stride, layer.dilation, layer.groups)
        self._how = (*geometry, *activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        result: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(x, self._weight, self._bias, *self._how)
        return result
