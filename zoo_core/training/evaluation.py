"""Metrics while a model is trained: of the averaged generator, against the run's own data, as `zoo eval` measures them.

A measurement leaves the run as it was: no random state moves, and no layer learns from what is sampled. Of several
processes, the first measures and the others wait.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import MetricError
from zoo_core.interfaces import Generator, Settings, Trainer
from zoo_core.metrics.conditions import DEFAULTS, Conditions
from zoo_core.metrics.data_features import data_statistics
from zoo_core.metrics.evaluation import measure
from zoo_core.metrics.extractors.opening import default_extractor, find_extractor, open_extractor
from zoo_core.metrics.inputs import open_data
from zoo_core.metrics.table import AnyMetric, FeatureMetric, LikelihoodMetric, find_metrics
from zoo_core.runtime.devices import allow_tf32, tf32_restored
from zoo_core.runtime.processes import ALONE
from zoo_core.runtime.random_states import random_states_kept

EXTRACTOR_OF_PICTURES = "random-vgg"  # where the settings name none: it takes any pictures


def check_names(settings: Settings) -> None:
    """Raise MetricError for a metric or an extractor in the settings that does not exist."""
    try:
        find_metrics(settings.eval_metrics)
    except MetricError as error:
        raise MetricError(f"eval_metrics: {error}") from error
    try:
        if settings.eval_extractor:
            find_extractor(settings.eval_extractor)
    except MetricError as error:
        raise MetricError(f"eval_extractor: {error}") from error


def _extractor(settings: Settings, kind: str) -> str | None:
    if settings.eval_extractor:
        return settings.eval_extractor
    return EXTRACTOR_OF_PICTURES if kind == "image" else default_extractor(kind)


def figures_measured(settings: Settings) -> tuple[str, ...]:
    """Return the names of the figures that are measured in a run with these settings.

    Example:
        >>> figures_measured(Settings(eval_every=100, eval_metrics=("fid", "kid"))), figures_measured(Settings())
        (('fid', 'kid', 'kid_deviation'), ())
    """
    chosen = find_metrics(settings.eval_metrics) if settings.eval_every else []
    return tuple(name for metric in chosen for name in metric.figures)


@dataclass
class Evaluation:
    """What a run measures, and on which data.

    Attributes:
        seconds_for_data: time that the features of the data took, once.
        seconds: time that the latest measurement took without them.
        warnings: what makes figures of the latest measurement unreliable, by the name of the figure.
    """

    trainer: Trainer
    metrics: Sequence[AnyMetric]
    conditions: Conditions
    data: TrainingData
    seconds_for_data: float = field(default=0.0, init=False)
    seconds: float = field(default=0.0, init=False)
    warnings: dict[str, str] = field(default_factory=dict, init=False)
    _data_is_measured: bool = field(default=False, init=False)

    @classmethod
    def of(cls, trainer: Trainer, generator: Generator, data: TrainingData) -> Evaluation | None:
        """Return what the settings of a trainer ask for, or None if they ask for nothing.

        Args:
            generator: the model, with any weights.
            data: the data as it was read, before `Trainer.prepare_data`.

        Raises:
            MetricError: for a metric or an extractor that cannot be used with this model and this data.
        """
        settings = trainer.settings
        check_names(settings)
        if not settings.eval_every:
            return None
        chosen = find_metrics(settings.eval_metrics)
        try:
            extractor = _extractor(settings, generator.kind)
            conditions = Conditions(samples=settings.eval_samples, extractor=extractor)
            source = open_data(data, generator)
            assert isinstance(source, TrainingData)
            for metric in chosen:
                if isinstance(metric, LikelihoodMetric):
                    metric.detail(generator, conditions)  # refuses a model without this metric
                    if generator.num_classes is not None and data.labels is None:
                        raise MetricError(f"{metric.name} of a conditional model needs data with labels")
            if any(isinstance(metric, FeatureMetric) for metric in chosen):
                if extractor is None:
                    raise MetricError(f"no extractor takes samples of kind {generator.kind}; nll and ngrams need none")
                with random_states_kept(trainer.device):  # the network draws weights before it reads them
                    open_extractor(extractor).check(generator.kind, generator.sample_shape)
        except MetricError as error:
            raise MetricError(f"eval_metrics: {error}") from error
        return cls(trainer, chosen, conditions, source)

    def due(self, step: int) -> bool:
        """Whether to measure after a step: every `eval_every` steps, and at the end."""
        settings = self.trainer.settings
        return step % settings.eval_every == 0 or step == settings.steps

    def measure(self, generator: Generator) -> dict[str, float]:
        """Return the figures of a generator by name; an empty dictionary in any process but the first.

        Raises:
            MetricError: if they cannot be computed, as from samples that are not finite.
        """
        figures: dict[str, float] = {}
        processes, device = self.trainer.processes, self.trainer.device
        if processes.first:
            with tf32_restored(), random_states_kept(device), torch.no_grad():
                allow_tf32(device, False)  # as `zoo eval` computes
                begin = time.perf_counter()
                self._measure_data(generator)
                after_data = time.perf_counter()
                try:
                    found = measure(generator, self.data, self.metrics, self.conditions, processes=ALONE)
                except MetricError as error:
                    raise MetricError(
                        f"step {self.trainer.step}: {error}; --resume goes on from the newest checkpoint, with "
                        "eval_every=0 without measuring"
                    ) from error
                figures = {figure.metric: figure.value for figure in found}
                self.warnings = {figure.metric: figure.warning for figure in found if figure.warning is not None}
                self.seconds = time.perf_counter() - after_data
                self.seconds_for_data += after_data - begin
        processes.wait()
        return figures

    def _measure_data(self, generator: Generator) -> None:
        """Have the features of the data in the cache, so that each measurement takes as long as any other."""
        name = self.conditions.extractor
        of_features = any(isinstance(metric, FeatureMetric) for metric in self.metrics)
        if name is not None and of_features and not self._data_is_measured:
            extractor = open_extractor(name, device=self.trainer.device)
            data_statistics(self.data, DEFAULTS.split, extractor, generator=generator)
        self._data_is_measured = True

    def cost(self, seconds_of_training: float) -> str:
        """Return what the first measurement cost, in words, beside the steps that were trained until then."""
        names = ", ".join(metric.name for metric in self.metrics)
        share = self.seconds / (self.seconds + seconds_of_training) if seconds_of_training > 0 else 1.0
        once = f", and {self.seconds_for_data:.1f} s once for the features of the data" if self.seconds_for_data else ""
        return (
            f"measuring {names} of {self.conditions.samples:,} samples takes {self.seconds:.1f} s, {share:.0%} of the "
            f"time of this run{once}"
        )
