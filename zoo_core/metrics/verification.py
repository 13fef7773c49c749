"""Verification of a registered model: its files, that it loads, its golden samples, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo_core import models
from zoo_core.errors import VerificationError, printable
from zoo_core.hub.cards import figures_of
from zoo_core.interfaces import Generator
from zoo_core.interfaces.options import recorded
from zoo_core.metrics.conditions import Conditions
from zoo_core.metrics.evaluation import measure
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.golden import check_golden
from zoo_core.metrics.inputs import open_data
from zoo_core.metrics.reporting import MeasuringProgress, Tell, no_message, no_progress
from zoo_core.metrics.table import find_metrics, metric_of
from zoo_core.modelfolder import CARD
from zoo_core.registries import Metric, ModelEntry

ROUNDING = 1e-3  # of the value: how much a figure without a stated error may differ


@dataclass(frozen=True)
class Verified:
    """How much of a model was verified.

    Attributes:
        files: number of files whose digests match.
        golden: number of golden samples that were reproduced.
        stated: number of figures on which registry and card agree.
        measured: number of figures that were measured again.
    """

    files: int
    golden: int
    stated: int
    measured: int = 0


def verify_model(
    name: str,
    *,
    data: str | None = None,
    device: str = "cpu",
    tell: Tell = no_message,
    progress: MeasuringProgress = no_progress,
) -> Verified:
    """Check a model: digests, loading, golden samples, and that registry and card state the same figures.

    Args:
        name: a registry name or alias. A folder is refused: no registry states what it should contain.
        data: data to measure the stated figures on again; each must agree within its stated error.
        device: where the model is loaded: auto, cpu, cuda, cuda:N or mps.

    Raises:
        VerificationError: for the first difference.
        ZooError: whatever loading raises, as a DigestError or ModelFolderError.
    """
    folder, entry = models.resolve(name)
    if entry is None:
        raise VerificationError(
            f"{printable(name)} is a folder, and no registry states what it should be; use zoo verify NAME"
        )
    generator = models.load(name, device=device)
    golden = check_golden(generator, folder)
    _check_card(entry, folder)
    measured = _measure_again(entry, generator, data, tell, progress) if data is not None else 0
    return Verified(len(entry.files), golden, len(entry.metrics), measured)


def _check_card(entry: ModelEntry, folder: Path) -> None:
    """Raise VerificationError unless registry and card state the same figures.

    The digest of the card has been checked, so that a figure changed in the registry alone is noticed here.
    """
    card = folder / CARD
    try:
        on_card = figures_of(card.read_text(encoding="utf-8"), card) if card.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise VerificationError(f"{printable(card)} cannot be read: {printable(error, 120)}") from error
    for name in entry.metrics.keys() | on_card.keys():
        registered = entry.metrics[name].value if name in entry.metrics else "nothing"
        carded = on_card.get(name, "nothing")
        if registered != carded:
            raise VerificationError(f"{entry.name}: the registry states {registered} for {name}, and its card {carded}")


def _measure_again(entry: ModelEntry, generator: Generator, data: str, tell: Tell, progress: MeasuringProgress) -> int:
    for conditions, stated in _by_conditions(entry, generator):
        source = open_data(data, generator, conditions.split, tell)
        metrics = find_metrics(_metric_of(entry.name, name) for name in stated)
        figures = measure(generator, source, metrics, conditions, tell=tell, progress=progress)
        check_figures(entry.name, stated, {figure.metric: figure for figure in figures})
    return len(entry.metrics)


def _by_conditions(entry: ModelEntry, generator: Generator) -> list[tuple[Conditions, dict[str, Metric]]]:
    """The stated figures, grouped by what can be measured in one go."""
    groups: list[tuple[Conditions, dict[str, Metric]]] = []
    for name, metric in entry.metrics.items():
        if metric.split is None or metric.samples is None or metric.seed is None:
            raise VerificationError(
                f"{entry.name}: {printable(name, 80)} cannot be measured again: "
                "the registry does not state its split, samples and seed"
            )
        conditions = Conditions(
            samples=metric.samples,
            seed=metric.seed,
            split=metric.split,
            extractor=metric.extractor,
            options=recorded(generator.options, metric.options, f"{entry.name}: {printable(name, 80)}"),
        )
        for known, stated in groups:
            if known == conditions:
                stated[name] = metric
                break
        else:
            groups.append((conditions, {name: metric}))
    return groups


def _metric_of(model: str, figure: str) -> str:
    metric = metric_of(figure)
    if metric is None:
        raise VerificationError(f"{model}: {printable(figure, 80)} is not a figure that this version measures")
    return metric


def check_figures(model: str, stated: Mapping[str, Metric], measured: Mapping[str, Figure]) -> None:
    """Raise VerificationError for the first stated figure whose value differs, or that has other conditions."""
    for name, metric in stated.items():
        figure = measured[name]
        for field in ("fingerprint", "extractor", "version", "samples", "resizing", "detail"):
            expected, actual = getattr(metric, field), getattr(figure, field)
            if expected is not None and expected != actual:
                raise VerificationError(
                    f"{model}: {name} was measured with another {field}: {expected} is stated, and this is {actual}"
                )
        allowed = metric.error if metric.error is not None else abs(metric.value) * ROUNDING
        difference = figure.value - metric.value
        if abs(difference) > allowed:
            raise VerificationError(
                f"{model}: {name} is {figure.value:.6g}, and {metric.value:.6g} ± {allowed:.2g} is stated: "
                f"a difference of {difference:+.2g}"
            )
