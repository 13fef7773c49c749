"""Feature extractors by name: the core's own and those that plugins register, opened with their weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo_core.errors import MetricError, did_you_mean, printable
from zoo_core.interfaces import FeatureExtractor
from zoo_core.interfaces.extractor import CORE_EXTRACTORS
from zoo_core.interfaces.import_strings import import_object
from zoo_core.interfaces.names import canonical_name
from zoo_core.plugins import manager


def extractors() -> dict[str, FeatureExtractor]:
    """Every extractor that is known, by its name as it is compared (lower case, hyphens)."""
    of_plugins = [extractor for info in manager().plugins if info.status == "ok" for extractor in info.extractors]
    return {canonical_name(extractor.name): extractor for extractor in (*CORE_EXTRACTORS, *of_plugins)}


def find_extractor(name: str) -> FeatureExtractor:
    """The extractor of that name. Raises MetricError, with close names."""
    known = extractors()
    found = known.get(canonical_name(name))
    if found is None:
        hint = did_you_mean(canonical_name(name), known)
        raise MetricError(f"there is no feature extractor {printable(name, 80)!r}; {hint}")
    return found


@dataclass(frozen=True)
class OpenExtractor:
    """An extractor with its weights, ready to be asked.

    Attributes:
        facts: what it is.
        weights: sha256 over names and values of its tensors: two files of other weights are two extractors.
    """

    facts: FeatureExtractor
    network: nn.Module
    weights: str
    device: torch.device

    def check(self, channels: int) -> None:
        """Raise MetricError where the extractor does not take pictures of so many channels."""
        if channels not in self.facts.channels:
            kind = {1: "grey", 3: "colour"}
            takes = " or ".join(kind[number] for number in self.facts.channels)
            others = " or ".join(facts.name for facts in extractors().values() if channels in facts.channels)
            raise MetricError(
                f"extractor {self.facts.name} takes {takes} pictures, not {kind.get(channels, f'{channels}-channel')} "
                f"ones; --extractor names another{f', as {others}' if others else ''}"
            )

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Features (N, D), float32, on the CPU, of pictures (N, C, H, W), uint8. Raises MetricError."""
        found = self.network(pictures.to(self.device))
        expected = (len(pictures), self.facts.dimensions)
        if not isinstance(found, Tensor) or tuple(found.shape) != expected:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MetricError(f"extractor {self.facts.name} returned {shape}, not {expected}")
        return found.float().cpu()


def open_extractor(
    name: str, *, weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> OpenExtractor:
    """Find an extractor and read its weights.

    Args:
        weights: the file, for an extractor that does not bring its own; the one that its environment variable names
            by default.

    Raises:
        MetricError: where there is no such extractor, no file, or a file of something else.
        PluginError: where a plugin's extractor cannot be imported.
    """
    facts = find_extractor(name)
    build = import_object(facts.network, f"extractor {facts.name}: network")
    try:
        network = build(_weight_file(facts, weights))
    except MetricError:
        raise
    except Exception as error:  # a plugin's function can fail in any way
        raise MetricError(f"extractor {facts.name} cannot be opened: {printable(error, 200)}") from error
    if not isinstance(network, nn.Module):
        raise MetricError(f"extractor {facts.name}: {facts.network} returned no torch.nn.Module")
    place = torch.device(device)
    return OpenExtractor(facts, network.eval().requires_grad_(False).to(place), _digest(network), place)


def _weight_file(facts: FeatureExtractor, given: str | Path | None) -> Path | None:
    if facts.weights_variable is None:
        if given is not None:
            raise MetricError(f"extractor {facts.name} brings its own weights; leave --extractor-weights out")
        return None
    named = given or os.environ.get(facts.weights_variable)
    if not named:
        raise MetricError(
            f"extractor {facts.name} needs a file of weights: name {facts.weights_source or 'it'} "
            f"by --extractor-weights or {facts.weights_variable}"
        )
    return Path(named).expanduser()


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
