"""The same function in less time: the layers of a finished generator are merged and packed, once for each model.

Nothing of it stands in a model's own code, and the model itself is never changed. What is done, inside plain
`nn.Sequential` chains, and only where it leaves the result as it was but for rounding:

- BatchNorm, which in eval mode is a scale and a shift, goes into the weights of the layer before it.
- Nearest upsampling by 2 and a 3 x 3 convolution become one 4 x 4 transposed convolution of stride 2: 16 weights
  for each pixel of the smaller picture in place of 36.
- On a CPU, oneDNN gets weights in the layout that it wants and applies the activation while it has the result at
  hand; pictures lie with their channels last.

A model with any part that is not known here (a layer of its own, dropout, a hook, a parametrisation, a norm over the
batch) is left wholly as it is: its samples are bit for bit those of its own layers.
"""

from __future__ import annotations

import copy
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import is_parametrized

# Merged weights are copies. Large models spend their time in multiplications, not between them.
LARGEST_COPY = 256 * 2**20  # bytes
_PROBES = 16  # values of each tensor that are compared, see _State

_Function = Callable[[Tensor], Tensor]


def prepared(model: nn.Module) -> nn.Module:
    """A module that computes in eval mode what `model`, in eval mode, does; faster where that is possible.

    Where nothing is gained, it is the model itself. Merged weights are kept for the next time, as long as the model
    lives and its weights stay as they are. Where gradients or autocast are on, the model's own layers compute.

    Args:
        model: left as it is.

    Returns:
        A module that takes what `model` takes. Its attributes are those of `model` now: ask again for every use.
    """
    return _with_short_chains(model) if _is_known(model) else model


def _is_known(model: nn.Module) -> bool:
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return False
    tensors = [*model.parameters(), *model.buffers()]
    return (
        all(map(_is_plain, model.modules()))
        and all(map(_is_ordinary, tensors))
        and len({tensor.device for tensor in tensors}) == 1
        and sum(tensor.nbytes for tensor in tensors) <= LARGEST_COPY
    )


def _is_plain(module: nn.Module) -> bool:
    """Whether a call of the module is a call of its class's forward, in eval mode, and nothing else."""
    if module.training or module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    if is_parametrized(module) or isinstance(module, _DropoutNd):
        return False
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return False  # it norms over the batch, in eval mode too
    return bool(module._modules) or type(module).__module__.startswith("torch.nn.modules.")


def _is_ordinary(tensor: Tensor) -> bool:
    ordinary = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return ordinary and not (tensor.is_meta or tensor.is_inference())


def _with_short_chains(module: nn.Module) -> nn.Module:
    """The module with every chain in it replaced: new containers around the same tensors."""
    if type(module) is nn.Sequential:
        return _short_chain(module)
    children = {name: _with_short_chains(child) for name, child in module.named_children()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    clone: nn.Module = object.__new__(type(module))
    vars(clone).update(vars(module), _modules={**module._modules, **children})
    return clone


_chains: weakref.WeakKeyDictionary[nn.Module, _Chain] = weakref.WeakKeyDictionary()


def _short_chain(chain: nn.Sequential) -> _Chain:
    state = _State.of(tuple(_flat(chain)))
    known = _chains.get(chain)
    if known is None or known.state != state:
        known = _chains[chain] = _Chain(chain._modules, state)
    return known


def _flat(chain: nn.Sequential) -> Iterator[nn.Module]:
    for layer in chain:
        yield from _flat(layer) if type(layer) is nn.Sequential else (layer,)


@dataclass(frozen=True)
class _State:
    """What a chain was when it was merged, to tell whether it still is that.

    A tensor's version counts its changes in place, but not those made through `.data`, as many a moving average is
    written. They change whole tensors, so that a few values of each tell.
    """

    layers: tuple[nn.Module, ...]
    settings: tuple[tuple[object, ...], ...]
    places: tuple[tuple[int, int], ...]
    values: bytes
    tensors: tuple[Tensor, ...] = field(compare=False)  # held, so that no other gets their addresses

    @classmethod
    def of(cls, layers: tuple[nn.Module, ...]) -> _State:
        leaves = [layer for layer in layers if not layer._modules]
        settings = tuple(tuple(v for k, v in vars(leaf).items() if not k.startswith("_")) for leaf in leaves)
        held = [t for leaf in leaves for t in (*leaf._parameters.values(), *leaf._buffers.values()) if t is not None]
        tensors = tuple(tensor.detach() for tensor in held)
        places = tuple((tensor.data_ptr(), tensor._version) for tensor in held)
        probes = [flat[:: -(-len(flat) // _PROBES)] for tensor in tensors if len(flat := tensor.reshape(-1))]
        values = torch.cat(probes).double().cpu().numpy().tobytes() if probes else b""
        return cls(layers, settings, places, values, tensors)


class _Chain(nn.Sequential):
    """A chain whose call takes the short way; to everything else it is what it stands for, layer by layer."""

    def __init__(self, layers: dict[str, nn.Module], state: _State) -> None:
        super().__init__()
        self._modules = layers
        self.training = False
        self.state = state
        self._steps: list[_Function] | None = None  # until it is called: an encoder, say, is not when samples are drawn

    def __getitem__(self, index: Any) -> Any:
        return nn.Sequential(OrderedDict(self.named_children()))[index]

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
            result: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return result
        if self._steps is None:
            self._steps = list(_steps(self.state.layers))
        for step in self._steps:
            x = step(x)
        return x.contiguous()  # a model's own code may ask for a view of it


def _steps(layers: tuple[nn.Module, ...]) -> Iterator[_Function]:
    while layers:
        found = _Group.at_the_head_of(layers)
        if found is None:
            yield _as_it_is(layers[0])
            layers = layers[1:]
        else:
            yield found.merged()
            layers = layers[len(found.own) :]


def _as_it_is(layer: nn.Module) -> _Function:
    if not layer._modules:
        return layer
    return lambda x: _with_short_chains(layer)(x.contiguous())


# How oneDNN names an activation: its name, its numbers, and which of several formulas.
_Activation = tuple[str, list[float], str]


def _activation(layer: nn.Module | None) -> _Activation | None:
    if type(layer) is nn.LeakyReLU:
        return "leaky_relu", [layer.negative_slope], ""
    if type(layer) is nn.GELU:
        return "gelu", [], layer.approximate
    simple = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "swish"}.get(type(layer))
    return (simple, [], "") if simple else None


@dataclass(frozen=True)
class _Group:
    """Layers of a chain that become one: a linear layer or a convolution and what stands around it."""

    own: tuple[nn.Module, ...]
    main: nn.Module
    norm: nn.Module | None
    activation: nn.Module | None

    @classmethod
    def at_the_head_of(cls, layers: tuple[nn.Module, ...]) -> _Group | None:
        doubles = _doubles(layers[0]) and len(layers) > 1 and _is_three_by_three(layers[1])
        count = 1 + doubles
        main = layers[count - 1]
        if type(main) not in _FOLD:
            return None
        norm = layers[count] if len(layers) > count and type(layers[count]) is _FOLD[type(main)][0] else None
        count += norm is not None
        activation = layers[count] if len(layers) > count and _activation(layers[count]) else None
        count += activation is not None
        return cls(layers[:count], main, norm, activation)

    def merged(self) -> _Function:
        weight = self.main.weight
        assert isinstance(weight, Tensor)
        layer = self.main if self.norm is None else _fold(self.main, self.norm)
        if self.own[0] is not self.main:
            layer = _doubling_convolution(layer)
        packed = _packed(layer, _activation(self.activation) or ("none", [], "")) if _onednn_computes(weight) else None
        if packed is None:
            packed = nn.Sequential(layer, self.activation) if self.activation else layer
        # A BatchNorm1d norms the second of three dimensions, which is not the linear layer's last.
        ranks = (2,) if type(layer) is nn.Linear and self.norm else (2, 3) if type(layer) is nn.Linear else (4,)
        return _Step(self.own, packed, ranks, weight.dtype)


@dataclass(frozen=True)
class _Step:
    """Merged layers for the inputs that they are made for; the own ones for all others."""

    own: tuple[nn.Module, ...]
    merged: _Function
    ranks: tuple[int, ...]
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim in self.ranks and x.dtype == self.dtype:
            return self.merged(x)
        for layer in self.own:
            x = layer(x)
        return x


def _fold(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """In float32, whatever the type of the weights: a scale in bfloat16 would be rounded twice."""
    dtype = next(layer.parameters()).dtype
    wide = torch.promote_types(dtype, torch.float32)
    layer, norm = copy.deepcopy(layer).to(wide), copy.deepcopy(norm).to(wide)
    return _FOLD[type(layer)][1](layer, norm).to(dtype).requires_grad_(False)


_FOLD: dict[type[nn.Module], tuple[type[nn.Module], Callable[[Any, Any], nn.Module]]] = {
    nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_eval),
    nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_eval),
    nn.ConvTranspose2d: (nn.BatchNorm2d, lambda layer, norm: fuse_conv_bn_eval(layer, norm, transpose=True)),
}


def _doubles(layer: nn.Module) -> bool:
    return (
        type(layer) in (nn.Upsample, nn.UpsamplingNearest2d)
        and layer.mode == "nearest"
        and layer.size is None
        and layer.scale_factor in (2, (2, 2))
    )


def _is_three_by_three(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Conv2d
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and layer.padding in ((1, 1), "same")
        and layer.padding_mode == "zeros"
    )


def _doubling_convolution(layer: nn.Module) -> nn.ConvTranspose2d:
    """y[o] = Σ w[k] x[⌊(o + k − 1) / 2⌋] as Σ K[o − 2i + 1] x[i], with K[t] = w[2 − t] + w[3 − t] along each axis."""
    assert isinstance(layer, nn.Conv2d)
    with torch.device(layer.weight.device):
        doubling = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, bias=layer.bias is not None)
    axis = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]]).to(layer.weight.device, torch.float64)
    doubling.weight.copy_(torch.einsum("tk,ul,oikl->iotu", axis, axis, layer.weight.detach().double()))
    if layer.bias is not None:
        assert doubling.bias is not None
        doubling.bias.copy_(layer.bias)
    return doubling.to(layer.weight.dtype).requires_grad_(False)


_OPERATIONS = (
    "_linear_pointwise",
    "_reorder_linear_weight",
    "_convolution_pointwise",
    "_reorder_convolution_weight",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_transpose_weight",
)


def _onednn_computes(weight: Tensor) -> bool:
    """Whether this build of torch and this CPU have what the packed layers call."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def _packed(layer: nn.Module, activation: _Activation) -> _Function | None:
    """The layer and its activation as one call of oneDNN; None where it is not a layer for that."""
    if type(layer) is nn.Linear:
        return _PackedLinear(layer.weight, layer.bias, activation)
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return _PackedConvolution(layer, activation)
    if type(layer) is nn.ConvTranspose2d:
        return _OfOnePixel(layer, activation) if _spreads_one_pixel(layer) else _PackedConvolution(layer, activation)
    return None


class _PackedLinear:
    def __init__(self, weight: Tensor, bias: Tensor | None, activation: _Activation) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = bias.detach() if bias is not None else None
        self._activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._activation)
        return result


class _PackedConvolution:
    """The layout that oneDNN wants depends on the picture's size: weights are packed for the first that comes.

    Others are right as well, only slower.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, activation: _Activation) -> None:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        name = "_convolution_transpose" if transposed else "_convolution"
        self._reorder = getattr(torch.ops.mkldnn, f"_reorder{name}_weight")
        self._convolve = getattr(torch.ops.mkldnn, f"{name}_pointwise")
        output_padding = (layer.output_padding,) if transposed else ()
        self._geometry = (layer.padding, *output_padding, layer.stride, layer.dilation, layer.groups)
        self._weight, self._is_packed = layer.weight.detach(), False
        self._bias = layer.bias.detach() if layer.bias is not None else None
        self._activation = activation

    def __call__(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if not self._is_packed:
            weight = self._weight.contiguous(memory_format=torch.channels_last)
            self._weight, self._is_packed = self._reorder(weight, *self._geometry, list(x.shape)), True
        result: Tensor = self._convolve(x, self._weight, self._bias, *self._geometry, *self._activation)
        return result


def _spreads_one_pixel(layer: nn.ConvTranspose2d) -> bool:
    """Whether the layer makes of one pixel its kernel times that pixel, as the first one of a DCGAN does."""
    geometry = (layer.padding, layer.output_padding, layer.dilation, layer.groups)
    return geometry == ((0, 0), (0, 0), (1, 1), 1)


class _OfOnePixel:
    """A transposed convolution that, of a picture of one pixel, is a linear layer."""

    def __init__(self, layer: nn.ConvTranspose2d, activation: _Activation) -> None:
        channels_in, self._channels, self._height, self._width = layer.weight.shape
        # Rows in the order of a picture whose channels lie last.
        weight = layer.weight.permute(2, 3, 1, 0).reshape(-1, channels_in)
        bias = layer.bias.repeat(self._height * self._width) if layer.bias is not None else None
        self._linear = _PackedLinear(weight, bias, activation)
        self._convolution = _PackedConvolution(layer, activation)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1):
            return self._convolution(x)
        rows = self._linear(x.flatten(1))
        return rows.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)
