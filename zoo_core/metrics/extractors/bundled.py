"""Weights of the extractors that zoo-core bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from zoo_core.errors import MetricError, printable
from zoo_core.files.utf8_names import utf8_name

Network = TypeVar("Network", bound=nn.Module)


def load_bundled(network: Network, file: Path, name: str) -> Network:
    """Fill a network with the tensors of a safetensors file, and return it in eval mode, without gradients.

    Args:
        name: of the extractor, for messages.

    Raises:
        MetricError: if the file does not hold exactly these tensors.
    """
    try:
        with utf8_name(file) as readable:
            network.load_state_dict(load_file(readable))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise MetricError(
            f"{printable(file)} does not hold the weights of {name}: {printable(error, 200)}; reinstall zoo-core"
        ) from error
    return network.eval().requires_grad_(False)
