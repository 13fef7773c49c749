"""`zoo eval`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
import msgspec

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_facts, echo_json, echo_path, figure_line
from zoo_core.cli.opening import open_model
from zoo_core.cli.working import working
from zoo_core.errors import MetricError, OutputError, printable
from zoo_core.metrics.conditions import DEFAULTS, Binarization, Conditions
from zoo_core.metrics.table import DEFAULT_METRICS, METRICS, default_metrics, find_metrics
from zoo_core.runtime.environment import first_process

NEIGHBOURS = "neighbours"  # the one metric whose result is a picture


@click.command("eval")
@click.argument("name", type=ModelName())
@click.option(
    "--data",
    required=True,
    help="Data to measure against: whatever zoo train takes, or a file of statistics (.safetensors).",
)
@click.option(
    "--metric",
    "metrics",
    help=f"Metrics, separated by commas: {', '.join([*METRICS, NEIGHBOURS])}.  "
    f"[default: {','.join(DEFAULT_METRICS)}; ngrams for texts]",
)
@click.option(
    "-n", "count", type=click.IntRange(min=2), default=DEFAULTS.samples, show_default=True, help="Number of samples."
)
@options.seed("the first draw", 2**63)
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    default=DEFAULTS.repeats,
    show_default=True,
    help="Independent draws; two or more give an error bar.",
)
@click.option(
    "--extractor",
    help="Feature extractor: digits, random-vgg, efficientnet-lite0, inception-v3, spoken-digits, or one of a plugin.  "
    "[default: digits for pictures, spoken-digits for sounds]",
)
@click.option(
    "--extractor-weights",
    type=options.UserPath(),
    help="Weights file, for an extractor that does not bundle one.",
)
@click.option("--split", default=DEFAULTS.split, show_default=True, help="Split of the data.")
@options.sampling_options()
@options.skip_damaged()
@click.option(
    "--importance-samples",
    type=click.IntRange(1, 100_000),
    default=DEFAULTS.importance_samples,
    show_default=True,
    help="Importance samples (k) for iwae.",
)
@click.option(
    "--binarization",
    type=click.Choice(get_args(Binarization)),
    help="How pixels are made binary for elbo, iwae and nll.  [default: what the model's likelihood needs]",
)
@click.option(
    "--save-statistics",
    type=options.UserPath(),
    help="Write the statistics of the data to this file, to reuse or share.",
)
@click.option(
    "-o", "--out", type=options.UserPath(), help="Output for the picture of nearest neighbours: a .png or a .webp."
)
@options.batch_size()
@options.device()
@options.json("the figures")
def command(
    name: str,
    data: str,
    metrics: str | None,
    count: int,
    seed: int,
    repeats: int,
    extractor: str | None,
    extractor_weights: Path | None,
    split: str,
    assignments: tuple[str, ...],
    skip_damaged: bool,
    importance_samples: int,
    binarization: Binarization | None,
    save_statistics: Path | None,
    out: Path | None,
    batch_size: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how good the model NAME is on a data set. Each figure comes with everything needed to measure it again.

    fid and kid (lower is better) and prdc (precision, recall, density, coverage: higher is better) compare features of
    samples with those of the data. elbo and iwae bound −log p of the data in nats, for models that encode; nll is what
    a model with a log_prob states itself, in nats and in bits. ngrams compares texts. neighbours is a picture of
    samples beside the nearest of the data.
    """
    wanted = None if metrics is None else [metric.strip() for metric in metrics.split(",") if metric.strip()]
    _check(wanted or [], out, save_statistics)
    named = None if wanted is None else find_metrics(_measured(wanted)) if set(wanted) != {NEIGHBOURS} else []
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
    from zoo_core.interfaces.options import differences
    from zoo_core.metrics.evaluation import measure
    from zoo_core.metrics.inputs import open_data

    generator, _ = open_model(name, device)
    sampling_options = options.chosen_options(generator, assignments)
    conditions = msgspec.structs.replace(conditions, options=differences(generator.options, sampling_options))
    with working("reading the data"):
        source = open_data(data, generator, split, _tell, skip_damaged=skip_damaged)
    chosen = find_metrics(default_metrics(generator, extractor)) if named is None else named
    if chosen:
        with working("measuring") as work:
            figures = measure(
                generator,
                source,
                chosen,
                conditions,
                batch_size=batch_size,
                save_statistics=save_statistics,
                tell=_tell,
                progress=work.report,
            )
        if as_json and first_process():
            echo_json([figure.to_dict() for figure in figures])
        elif first_process():
            echo_facts([(figure.metric, figure_line(figure.to_metric())) for figure in figures])
    if out is not None and first_process():
        from zoo_core.metrics.neighbours import write_neighbours

        with working("finding neighbours"):
            write_neighbours(generator, source, out, seed=seed, options=sampling_options)
        if not as_json:
            echo_path(out)


def _measured(wanted: list[str]) -> list[str]:
    """The metrics that are figures."""
    return [name for name in wanted if name != NEIGHBOURS]


def _check(wanted: list[str], out: Path | None, save_statistics: Path | None) -> None:
    """Report what is missing before torch is imported."""
    if save_statistics is not None and save_statistics.suffix != ".safetensors":
        raise OutputError(f"{printable(save_statistics, 200)} cannot be written: use a name in .safetensors")
    if NEIGHBOURS in wanted and out is None:
        raise MetricError("the metric neighbours is a picture; use -o neighbours.png to say where to write it")
    if out is not None and NEIGHBOURS not in wanted:
        raise MetricError(
            f"-o is only for the metric neighbours; use --metric {','.join([*(wanted or DEFAULT_METRICS), NEIGHBOURS])}"
        )
    if out is not None:
        from zoo_core.kinds.pictures import STILL, check_picture

        check_picture(out, STILL)


def _tell(line: str) -> None:
    if first_process():
        click.echo(printable(line), err=True)
