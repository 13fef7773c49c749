"""Weight transfer: stored weights into a network that is built and about to be trained, all of them or those that fit.

The names of a file are those that the network's class gives its tensors. Where a trainer has parametrized a layer, as
by spectral normalisation, the stored weight is the original that the parametrization works on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo_core.modelfolder.weight_loading import differences_from, facts_of, fits, read_weights, stored_tensors
from zoo_core.modelfolder.weights_header import TensorFacts

_ORIGINAL = re.compile(r"(?P<layer>.*?\.?)parametrizations\.(?P<weight>[^.]+)\.original")


@dataclass(frozen=True)
class Comparison:
    """How the tensors of a file fit those of a network.

    Attributes:
        tensors: number of tensors of the network.
        fitting: the names of those that the file has in the same shape, in the network's order.
        problem: the others of both by name and shape, as one bounded line; None if everything fits.
    """

    tensors: int
    fitting: tuple[str, ...]
    problem: str | None


def compare(module: nn.Module, header: Mapping[str, TensorFacts]) -> Comparison:
    """Compare a network with the header of a safetensors file.

    Example:
        >>> found = compare(nn.Linear(2, 3), {"weight": TensorFacts("F32", (3, 2), (0, 24))})
        >>> found.fitting, found.problem
        (('weight',), 'missing bias')
    """
    expected = facts_of(_named_as_stored(module))
    fitting = tuple(name for name, facts in expected.items() if name in header and fits(header[name], facts))
    return Comparison(len(expected), fitting, differences_from(expected, header))


@torch.no_grad()
def take(module: nn.Module, path: Path, header: Mapping[str, TensorFacts], names: tuple[str, ...]) -> None:
    """Copy the tensors of these names from a file into a network, in the dtypes and on the devices that it has.

    Raises:
        ModelFolderError: where the file cannot be read.
    """
    own = _named_as_stored(module)
    wanted = {name: own[name] for name in names}
    for name, value in read_weights(path, header, wanted, torch.device("cpu"), None).items():
        own[name].copy_(value)


def _named_as_stored(module: nn.Module) -> dict[str, Tensor]:
    """The module's state by the names that it has in a model folder, where nothing is parametrized."""
    named: dict[str, Tensor] = {}
    for name, tensor in stored_tensors(module).items():
        original = _ORIGINAL.fullmatch(name)
        if original is not None:
            named[f"{original['layer']}{original['weight']}"] = tensor
        elif "parametrizations." not in name:  # what a parametrization keeps for itself
            named[name] = tensor
    return named
