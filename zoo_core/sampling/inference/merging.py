"""Merging: the groups of layers in a chain that become one function."""

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
    """Layers of a chain that become one: a linear layer or a convolution, and the layers around it.

    Attributes:
        layers: all of them, in order.
        main: the linear layer or convolution.
        norm, activation: the layers after it, where there are such.
    """

    layers: tuple[nn.Module, ...]
    main: nn.Module
    norm: nn.Module | None
    activation: nn.Module | None

    @classmethod
    def at_the_head_of(cls, layers: tuple[nn.Module, ...]) -> Group | None:
        """The group that the first of these layers begins; None where it stays on its own."""
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
        """One function for the group: folded, then packed where this CPU can."""
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
        # BatchNorm1d normalises the second of three dimensions, which is not the last one of a linear layer.
        ranks = (2,) if type(layer) is nn.Linear and self.norm else (2, 3) if type(layer) is nn.Linear else (4,)
        return _Step(self.layers, merged, ranks, weight.dtype)


@dataclass(frozen=True)
class _Step:
    """Merged layers for the inputs that they were made for, and the layers themselves for any other input."""

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
