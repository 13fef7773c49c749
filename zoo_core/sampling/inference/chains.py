"""Chains: the `nn.Sequential`s of a model, computed by fewer functions and checked for changes before each use."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.sampling.inference.merging import Function, Group

_PROBES = 16  # how many values of each tensor are compared, see _State


def with_short_chains(module: nn.Module) -> nn.Module:
    """The module with every chain in it replaced. Containers of chains are copied; their tensors are shared."""
    if type(module) is nn.Sequential:
        return _short_chain(module)
    children = {name: with_short_chains(child) for name, child in module.named_children()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    clone: nn.Module = object.__new__(type(module))
    vars(clone).update(vars(module), _modules={**module._modules, **children})
    return clone


# An entry is kept as long as the model's own chain exists. The lock protects the dictionary, from which dead keys are
# dropped at any time; the entries themselves never change.
_chains: weakref.WeakKeyDictionary[nn.Module, _Chain] = weakref.WeakKeyDictionary()
_chains_lock = threading.Lock()


def _short_chain(chain: nn.Sequential) -> _Chain:
    state = _State.of(tuple(_flat(chain)))
    with _chains_lock:
        known = _chains.get(chain)
        if known is None or known.state != state:
            known = _chains[chain] = _Chain(chain._modules, state)
    return known


def _flat(chain: nn.Sequential) -> Iterator[nn.Module]:
    for layer in chain:
        yield from _flat(layer) if type(layer) is nn.Sequential else (layer,)


@dataclass(frozen=True)
class _State:
    """The state of a chain when it was merged, to detect any change since then.

    Each field detects one kind of change.

    Attributes:
        layers: a layer replaced by another.
        settings: an attribute changed, such as the slope of a LeakyReLU.
        places: a tensor replaced by another, or changed in place. The version of a tensor counts changes in place,
            except those through `.data`, by which many moving averages are written.
        values: changes through `.data`. These change whole tensors, so that a few values of each reveal them.
        tensors: the tensors themselves, held so that no other tensor can get their addresses.
    """

    layers: tuple[nn.Module, ...]
    settings: tuple[tuple[object, ...], ...]
    places: tuple[tuple[int, int], ...]
    values: bytes
    tensors: tuple[Tensor, ...] = field(compare=False)

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
    """A chain that computes with merged layers; in every other respect it is the chain that it replaces."""

    def __init__(self, layers: dict[str, nn.Module], state: _State) -> None:
        super().__init__()
        self._modules = layers
        self.training = False
        self.state = state
        self._merged: tuple[Function, ...] | None = None  # at the first call: sampling never calls an encoder

    def __getitem__(self, index: Any) -> Any:
        return nn.Sequential(OrderedDict(self.named_children()))[index]

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
            result: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return result
        # At the first call two threads may both merge. Each assigns a complete result, and the results are equal.
        merged = self._merged
        if merged is None:
            with torch._C._DisableTorchDispatch():  # merging is no part of the forward pass, which may be watched
                merged = self._merged = tuple(_merged(self.state.layers))
        for function in merged:
            x = function(x)
        return x.contiguous()  # the model's own code may call `view`


def _merged(layers: tuple[nn.Module, ...]) -> Iterator[Function]:
    """The layers as fewer functions, each of which replaces a group of layers."""
    while layers:
        group = Group.at_the_head_of(layers)
        if group is None:
            yield _unmerged(layers[0])
            layers = layers[1:]
        else:
            yield group.merged()
            layers = layers[len(group.layers) :]


def _unmerged(layer: nn.Module) -> Function:
    if not layer._modules:
        return layer
    return lambda x: with_short_chains(layer)(x.contiguous())
