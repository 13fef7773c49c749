"""`zoo train`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli.completion import ArchitectureName
from zoo_core.cli.messages import echo_path, report_problems
from zoo_core.errors import printable
from zoo_core.runtime.environment import first_process


@click.command("train")
@click.argument("architecture", type=ArchitectureName())
@click.option("--data", required=True, help="A Parquet file or folder, a folder of pictures, or a Hub data set id.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run's folder.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML: settings, and `model:`.")
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="One setting, or model.KEY=VALUE.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in --out; without one, start.")
@click.option("--steps", help="Shorthand for --set steps=…")
@click.option("--seed", help="Shorthand for --set seed=…")
@click.option("--device", help="Shorthand for --set device=…: auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", help="Shorthand for --set precision=…: auto, fp32, bf16 or fp16.")
@click.option("--size", help="Shorthand for --set model.size=…; from the data where it is not given.")
@click.option("--channels", help="Shorthand for --set model.channels=…; from the data where it is not given.")
@click.option("--image-column", help="The column with the pictures.  [default: image]")
@click.option("--label-column", help="The column with the classes.  [default: label]")
def command(
    architecture: str,
    data: str,
    out: Path,
    config_file: Path | None,
    assignments: tuple[str, ...],
    resume: bool,
    image_column: str | None,
    label_column: str | None,
    **shorthands: str | None,
) -> None:
    """Train an ARCHITECTURE on your own pictures and leave a finished model in --out.

    Ctrl-C ends the step in progress and leaves a checkpoint; --resume goes on from there as if nothing had been.
    """
    from zoo_core.training.run_folder import RunFolder
    from zoo_core.training.setup import prepare_training

    report_problems()
    RunFolder(out).refuse_foreign(resume=resume)  # before minutes go into decoding the data
    for name, value in shorthands.items():
        if value is not None:
            prefix = "model." if name in ("size", "channels") else ""
            assignments = (*assignments, f"{prefix}{name}={value}")
    trainer, training_data = prepare_training(
        architecture,
        data,
        config_file=config_file,
        assignments=assignments,
        image_column=image_column,
        label_column=label_column,
        tell=_tell,
    )
    finished = trainer.fit(training_data, out=out, resume=resume)
    if first_process():
        echo_path(finished)


def _tell(line: str) -> None:
    if first_process():
        click.echo(printable(line), err=True)
