"""What `zoo verify` checks of a model: its files, that it loads, its golden samples, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zoo_core import models
from zoo_core.errors import VerificationError, printable
from zoo_core.hub.cards import figures_of
from zoo_core.interfaces import Generator
from zoo_core.metrics.data_features import Progress
from zoo_core.metrics.evaluation import DEFAULT_EXTRACTOR, FIGURES, evaluate
from zoo_core.metrics.figures import Figure
from zoo_core.metrics.golden import check_golden
from zoo_core.metrics.inputs import open_data, picture_shape
from zoo_core.modelfolder import CARD
from zoo_core.registries import Metric, ModelEntry

UNSTATED = 1e-3  # of the value: what a figure without an error may differ by, for rounding alone


@dataclass(frozen=True)
class Verified:
    """What was found right.

    Attributes:
        files: whose digests were compared.
        golden: samples that were made again.
        stated: figures on which registry and
            card agree. measured: figures that were measured again.
    """

    files: int
    golden: int
    stated: int
    measured: int = 0


def verify(
    name: str,
    *,
    data: str | None = None,
    device: str = "cpu",
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> Verified:
    """Check a model: digests, loading, golden samples, that registry and card state the same figures.

    Args:
        name: a registry name or alias; of a folder, no registry states what it should be.
        data: measure the stated figures again on this data; each must agree within its stated error.

    Raises:
        VerificationError: for the first difference. DigestError, ModelFolderError and others: what loading raises.
    """
    folder, entry = models.resolve(name)
    if entry is None:
        raise VerificationError(f"{printable(name)} is a folder: no registry states what it should be; zoo verify NAME")
    generator = models.load(name, device=device)
    golden = check_golden(generator, folder) if generator.kind == "image" else 0
    _check_card(entry, folder)
    measured = _measure_again(entry, generator, data, tell, progress) if data is not None else 0
    return Verified(len(entry.files), golden, len(entry.metrics), measured)


def _check_card(entry: ModelEntry, folder: Path) -> None:
    """The card's digest is verified: a figure that was changed in the registry alone shows here."""
    card = folder / CARD
    try:
        stated = figures_of(card.read_text(encoding="utf-8"), card) if card.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise VerificationError(f"{printable(card)} cannot be read: {printable(error, 120)}") from error
    for name in entry.metrics.keys() | stated.keys():
        mine = entry.metrics[name].value if name in entry.metrics else "nothing"
        its = stated.get(name, "nothing")
        if mine != its:
            raise VerificationError(f"{entry.name}: the registry states {mine} for {name}, and its card {its}")


def _measure_again(
    entry: ModelEntry, generator: Generator, data: str, tell: Callable[[str], object], progress: Progress
) -> int:
    for conditions, stated in _by_conditions(entry).items():
        found = evaluate(
            generator,
            open_data(data, picture_shape(generator), conditions.split, tell),
            metrics=dict.fromkeys(_metric_of(entry.name, name) for name in stated),
            n=conditions.samples,
            seed=conditions.seed,
            split=conditions.split,
            extractor=conditions.extractor or DEFAULT_EXTRACTOR,
            tell=tell,
            progress=progress,
        )
        check_figures(entry.name, stated, {figure.metric: figure for figure in found})
    return len(entry.metrics)


class _Conditions(NamedTuple):
    """What figures that are measured in one go have in common."""

    split: str
    samples: int
    seed: int
    extractor: str | None


def _by_conditions(entry: ModelEntry) -> dict[_Conditions, dict[str, Metric]]:
    grouped: dict[_Conditions, dict[str, Metric]] = {}
    for name, metric in entry.metrics.items():
        if metric.split is None or metric.samples is None or metric.seed is None:
            raise VerificationError(
                f"{entry.name}: {printable(name, 80)} cannot be measured again: "
                "the registry does not state its split, samples and seed"
            )
        key = _Conditions(metric.split, metric.samples, metric.seed, metric.extractor)
        grouped.setdefault(key, {})[name] = metric
    return grouped


def _metric_of(model: str, figure: str) -> str:
    """What `zoo eval --metric` calls the metric that gives a figure."""
    found = next((metric for metric, figures in FIGURES.items() if figure in figures), None)
    if found is None:
        raise VerificationError(f"{model}: {printable(figure, 80)} is no figure that this version measures")
    return found


def check_figures(model: str, stated: Mapping[str, Metric], found: Mapping[str, Figure]) -> None:
    """Raise VerificationError for the first stated figure that was measured otherwise, or of something else."""
    for name, metric in stated.items():
        figure = found[name]
        for field in ("fingerprint", "extractor", "version", "samples", "resizing", "detail"):
            expected, is_now = getattr(metric, field), getattr(figure, field)
            if expected is not None and expected != is_now:
                raise VerificationError(
                    f"{model}: {name} was measured with another {field}: {expected} is stated, and this is {is_now}"
                )
        allowed = metric.error if metric.error is not None else abs(metric.value) * UNSTATED
        difference = figure.value - metric.value
        if abs(difference) > allowed:
            raise VerificationError(
                f"{model}: {name} is {figure.value:.6g}, and {metric.value:.6g} ± {allowed:.2g} is stated: "
                f"a difference of {difference:+.2g}"
            )
