"""`zoo eval`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_facts, echo_json, echo_path, figure_line, report_problems
from zoo_core.errors import MetricError, printable
from zoo_core.metrics.conditions import DEFAULTS, Binarization, Conditions
from zoo_core.metrics.table import DEFAULT_METRICS, METRICS, find_metrics
from zoo_core.runtime.environment import first_process

if TYPE_CHECKING:
    from zoo_core.metrics.reporting import MeasuringProgress

NEIGHBOURS = "neighbours"  # the one metric that is a picture


@click.command("eval")
@click.argument("name", type=ModelName())
@click.option("--data", required=True, help="What zoo train takes, or a file of statistics (.safetensors).")
@click.option(
    "--metric",
    "metrics",
    default=",".join(DEFAULT_METRICS),
    show_default=True,
    help=f"With commas: {', '.join([*METRICS, NEIGHBOURS])}.",
)
@click.option(
    "-n", "count", type=click.IntRange(min=2), default=DEFAULTS.samples, show_default=True, help="How many samples."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63), default=DEFAULTS.seed, show_default=True, help="Of the first draw."
)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=DEFAULTS.repeats, show_default=True, help="Draws, for an error."
)
@click.option(
    "--extractor",
    default=DEFAULTS.extractor,
    show_default=True,
    help="Of the features: digits, random-vgg, inception-v3, ….",
)
@click.option("--extractor-weights", type=click.Path(path_type=Path), help="Its file, where it does not bring its own.")
@click.option("--split", default=DEFAULTS.split, show_default=True, help="Of the data.")
@click.option(
    "--importance-samples",
    type=click.IntRange(1, 100_000),
    default=DEFAULTS.importance_samples,
    show_default=True,
    help="k of iwae.",
)
@click.option("--binarization", type=click.Choice(get_args(Binarization)), help="Of the pixels for elbo, iwae.")
@click.option("--save-statistics", type=click.Path(path_type=Path), help="Write the data's statistics, to share.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The picture of the nearest neighbours, a .png.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples at a time; changes no sample.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    name: str,
    data: str,
    metrics: str,
    count: int,
    seed: int,
    repeats: int,
    extractor: str,
    extractor_weights: Path | None,
    split: str,
    importance_samples: int,
    binarization: Binarization | None,
    save_statistics: Path | None,
    out: Path | None,
    batch_size: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how good the model NAME is on a data set, each figure with what it takes to measure it again.

    fid and kid (less is better) and prdc (precision, recall, density, coverage: more is better) compare features of
    samples and data. elbo and iwae bound −log p of the data in nats, for models that encode. neighbours is a picture
    of samples beside the pictures of the data that lie nearest.
    """
    wanted = [metric.strip() for metric in metrics.split(",") if metric.strip()]
    _check(wanted, out)
    chosen = find_metrics(name for name in wanted if name != NEIGHBOURS) if set(wanted) != {NEIGHBOURS} else []
    conditions = Conditions(
        samples=count,
        seed=seed,
        repeats=repeats,
        split=split,
        extractor=extractor,
        extractor_weights=extractor_weights,
        importance_samples=importance_samples,
        binarization=binarization,
    )
    from zoo_core.metrics.evaluation import measure
    from zoo_core.metrics.inputs import load_generator, open_data, picture_shape

    report_problems()
    generator = load_generator(name, device)
    source = open_data(data, picture_shape(generator), split, _tell)
    if chosen:
        with _progress() as progress:
            figures = measure(
                generator,
                source,
                chosen,
                conditions,
                batch_size=batch_size,
                save_statistics=save_statistics,
                tell=_tell,
                progress=progress,
            )
        if as_json and first_process():
            echo_json([figure.to_dict() for figure in figures])
        elif first_process():
            echo_facts([(figure.metric, figure_line(figure.to_metric())) for figure in figures])
    if out is not None and first_process():
        from zoo_core.metrics.neighbours import write_neighbours

        write_neighbours(generator, source, out, seed=seed)
        if not as_json:
            echo_path(out)


def _check(wanted: list[str], out: Path | None) -> None:
    """What is missing is told before torch is imported."""
    if NEIGHBOURS in wanted and out is None:
        raise MetricError("neighbours is a picture: -o neighbours.png says where to write it")
    if out is not None and NEIGHBOURS not in wanted:
        raise MetricError(f"-o is for the metric neighbours: --metric {','.join([*wanted, NEIGHBOURS])}")
    if out is not None:
        from zoo_core.kinds.image import check_picture

        check_picture(out, (".png",))


def _tell(line: str) -> None:
    if first_process():
        click.echo(printable(line), err=True)


@contextlib.contextmanager
def _progress() -> Iterator[MeasuringProgress]:
    """A bar on a terminal, a new one for each thing that is done; silence in a pipe."""
    if not sys.stderr.isatty() or not first_process():
        yield lambda what, done, total: None
        return
    with contextlib.ExitStack() as stack:
        bars: dict[str, Callable[[int], object]] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()  # ends the line of the bar before
                bar = stack.enter_context(click.progressbar(length=total, file=sys.stderr, label=what, show_pos=True))
                bars[what] = lambda now: bar.update(now - bar.pos)
            bars[what](done)

        yield show
