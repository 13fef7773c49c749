"""Feature extractors by name, those of the core and those that plugins register, and their weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo_core.errors import MetricError, ZooError, did_you_mean, printable
from zoo_core.files.paths import user_path
from zoo_core.interfaces import FeatureExtractor
from zoo_core.interfaces.extractor import CORE_EXTRACTORS, DEFAULT_EXTRACTORS
from zoo_core.interfaces.import_strings import import_object
from zoo_core.interfaces.names import canonical_name
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.extractors.resampling import resampled
from zoo_core.plugins import manager


def extractors() -> dict[str, FeatureExtractor]:
    """Return every known extractor, by its name in the form that is compared: lower case, with hyphens."""
    of_plugins = [extractor for info in manager().plugins if info.status == "ok" for extractor in info.extractors]
    return {canonical_name(extractor.name): extractor for extractor in (*CORE_EXTRACTORS, *of_plugins)}


def find_extractor(name: str) -> FeatureExtractor:
    """Return the extractor with that name. Raises MetricError, which suggests close names.

    Example:
        >>> find_extractor("random_vgg").dimensions
        64
    """
    known = extractors()
    extractor = known.get(canonical_name(name))
    if extractor is None:
        hint = did_you_mean(canonical_name(name), known)
        raise MetricError(f"there is no feature extractor {printable(name, 80)!r}; {hint}")
    return extractor


@dataclass(frozen=True)
class OpenExtractor:
    """An extractor with its weights, ready to use.

    Attributes:
        facts: what the extractor is.
        network: maps samples to features.
        weights: sha256 of the names and values of its tensors: with other weights it is another extractor.
        device: where the network computes.
    """

    facts: FeatureExtractor
    network: nn.Module
    weights: str
    device: torch.device

    def check(self, kind: str, sample_shape: tuple[int, ...]) -> None:
        """Raise MetricError if the extractor does not take samples of that kind, or with so many channels."""
        facts = self.facts
        if not facts.takes(kind):
            raise MetricError(
                f"extractor {facts.name} takes {_of_kinds(facts.kinds)}, and this model's are of kind {kind}; "
                + _others(kind, None)
            )
        if facts.channels and sample_shape[0] not in facts.channels:
            takes = " or ".join(_channels(kind, number) for number in facts.channels)
            raise MetricError(
                f"extractor {facts.name} takes {takes} {_noun(kind)}, not {_channels(kind, sample_shape[0])} ones; "
                + _others(kind, sample_shape[0])
            )

    @torch.no_grad()
    def __call__(self, samples: Tensor, *, sample_rate: int | None = None) -> Tensor:
        """Return the features (N, D) of samples, as FeatureExtractor describes them: float32, on the CPU.

        Args:
            samples: (N, …): pictures (N, C, H, W), uint8; sounds (N, C, L), float32; codes (N, L), int64; or others.
            sample_rate: the rate of sounds in Hz, which are resampled if it is not that of the extractor.

        Raises:
            MetricError: if the network returns another shape than it states.
        """
        samples = samples.to(self.device)
        if sample_rate is not None and self.facts.sample_rate is not None:
            samples = resampled(samples, sample_rate, self.facts.sample_rate)
        features = self.network(samples)
        expected = (len(samples), self.facts.dimensions)
        if not isinstance(features, Tensor) or tuple(features.shape) != expected:
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise MetricError(f"extractor {self.facts.name} returned {shape}, not {expected}")
        return features.float().cpu()


def default_extractor(kind: str) -> str | None:
    """Return the extractor that measures samples of a kind where none is named; None if there is none.

    It is the core's, or the only one that a plugin provides for the kind.

    Raises:
        MetricError: if plugins provide several.

    Example:
        >>> default_extractor("audio")
        'spoken-digits'
    """
    if canonical_name(kind) in DEFAULT_EXTRACTORS:
        return DEFAULT_EXTRACTORS[canonical_name(kind)]
    names = _names_for(kind)
    if len(names) > 1:
        raise MetricError(f"several extractors take samples of kind {kind}; choose {' or '.join(names)} by --extractor")
    return names[0] if names else None


def _names_for(kind: str, channels: int | None = None) -> list[str]:
    """The extractors that take samples of a kind with so many channels."""
    return [
        facts.name
        for facts in extractors().values()
        if facts.takes(kind) and (channels is None or not facts.channels or channels in facts.channels)
    ]


def _others(kind: str, channels: int | None) -> str:
    """What to do about an extractor that does not take such samples, as the end of a sentence."""
    names = _names_for(kind, channels)
    if names:
        return f"choose another with --extractor, as {' or '.join(names)}"
    return "no extractor here takes such samples, and a plugin may provide one"


def _noun(kind: str) -> str:
    return kind_named(kind).noun[1]


def _of_kinds(kinds: tuple[str, ...]) -> str:
    return f"samples of kind {' or '.join(kinds)}"


def _channels(kind: str, number: int) -> str:
    words = {"image": {1: "grey", 3: "colour"}, "audio": {1: "mono", 2: "stereo"}}
    return words.get(canonical_name(kind), {}).get(number, f"{number}-channel")


def open_extractor(
    name: str, *, weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> OpenExtractor:
    """Find an extractor and read its weights.

    Args:
        name: digits, random-vgg, efficientnet-lite0, inception-v3, spoken-digits, or the name of one of a plugin.
        weights: weights file, for an extractor that does not bundle one; by default the file that its environment
            variable names.
        device: where the network computes.

    Raises:
        MetricError: if there is no such extractor or no file, or the file holds something else.
        MissingExtraError: if its weights belong to an extra that is not installed.
        PluginError: if a plugin's extractor cannot be imported.

    Example:
        >>> extractor = open_extractor("random-vgg")
        >>> extractor(torch.zeros(3, 1, 28, 28, dtype=torch.uint8)).shape
        torch.Size([3, 64])
    """
    facts = find_extractor(name)
    build = import_object(facts.network, f"extractor {facts.name}: network")
    try:
        network = build(_weight_file(facts, weights))
    except ZooError:
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
            raise MetricError(f"extractor {facts.name} needs no file of weights; leave --extractor-weights out")
        return None
    named = given or os.environ.get(facts.weights_variable)
    if not named:
        raise MetricError(
            f"extractor {facts.name} needs a file of weights: pass {facts.weights_source or 'it'} "
            f"with --extractor-weights or {facts.weights_variable}"
        )
    return user_path(named)


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
