"""Merging: groups of layers in a chain that become one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo_core.sampling.inference.folding import FOLDABLE, doubles, doubling_convolution, folded, is_three_by_three
from zoo_core.sampling.inference.packing import onednn_activation, onednn_computes, packed

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Group:
    """Layers of a chain that become one function: a linear layer or a convolution, and its neighbours.

    Attributes:
        layers: all layers of the group, in order.
        main: the linear layer or convolution.
        norm: the BatchNorm after it, if there is one.
        activation: the activation after these, if there is one that oneDNN knows.
    """

    layers: tuple[nn.Module, ...]
    main: nn.Module
    norm: nn.Module | None
    activation: nn.Module | None

    @classmethod
    def at_the_head_of(cls, layers: tuple[nn.Module, ...]) -> Group | None:
        """The group that begins with the first of these layers; None if that layer stays as it is."""
        upsamples = doubles(layers[0]) and len(layers) > 1 and is_three_by_three(layers[1])
        count = 1 + upsamples
        main = layers[count - 1]
        if type(main) not in FOLDABLE:
            return None
        norm = layers[count] if len(layers) > count and type(layers[count]) is FOLDABLE[type(main)][0] else None
        count += norm is not None
        activation = layers[count] if len(layers) > count and onednn_activation(layers[count]) else None
        count += activation is not None
        return cls(layers[:count], main, norm, activation)

    def merged(self) -> Function:
        """One function for the group: its layers are folded, then packed if this CPU supports that."""
        weight = self.main.weight
        assert isinstance(weight, Tensor)
        layer = self.main if self.norm is None else folded(self.main, self.norm)
        if self.layers[0] is not self.main:
            layer = doubling_convolution(layer)
        merged = (
            packed(layer, onednn_activation(self.activation) or ("none", [], "")) if onednn_computes(weight) else None
        )
        if merged is None:
            merged = nn.Sequential(layer, self.activation) if self.activation else layer
        # With three dimensions BatchNorm1d normalises the second, while a linear layer computes along the third.
        ranks = (2,) if type(layer) is nn.Linear and self.norm else (2, 3) if type(layer) is nn.Linear else (4,)
        return _Step(self.layers, merged, ranks, weight.dtype)


@dataclass(frozen=True)
class _Step:
    """Merged layers for inputs of the rank and dtype that they were made for; the layers themselves for any other."""

    layers: tuple[nn.Module, ...]
    merged: Function
    ranks: tuple[int, ...]
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim in self.ranks and x.dtype == self.dtype:
            return self.merged(x)
        for layer in self.layers:
            x = layer(x)
        return x
