"""`zoo train`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ArchitectureName
from zoo_core.cli.messages import echo_path, report_problems
from zoo_core.errors import printable
from zoo_core.runtime.environment import first_process


@click.command("train")
@click.argument("architecture", type=ArchitectureName())
@click.option(
    "--data",
    required=True,
    help="Training data: a Parquet file or folder, a folder of pictures, or the id of a data set on the Hub.",
)
@click.option(
    "--out",
    required=True,
    type=options.UserPath(),
    help="Folder of the run; the finished model appears at its root.",
)
@click.option(
    "--config",
    "config_file",
    type=options.UserPath(),
    help="YAML file with settings, and the configuration under `model:`.",
)
@click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one setting, or one field of the configuration as model.KEY=VALUE.",
)
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint in --out; start if there is none.")
@click.option("--steps", help="Shorthand for --set steps=…")
@click.option("--seed", help="Shorthand for --set seed=…")
@click.option("--device", help="Shorthand for --set device=…: auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", help="Shorthand for --set precision=…: auto, fp32, bf16 or fp16.")
@click.option("--size", help="Shorthand for --set model.size=…; taken from the data by default.")
@click.option("--channels", help="Shorthand for --set model.channels=…; taken from the data by default.")
@click.option("--image-column", help="Column that holds the pictures.  [default: image]")
@click.option("--label-column", help="Column that holds the classes.  [default: label]")
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
    """Train an ARCHITECTURE on your own pictures; the finished model is written to --out.

    Ctrl-C finishes the step in progress and writes a checkpoint. --resume continues from it as if nothing had happened.
    """
    from zoo_core.training.run_folder import RunFolder
    from zoo_core.training.setup import prepare_training

    report_problems()
    RunFolder(out).refuse_foreign(resume=resume)  # before minutes are spent on decoding the data
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
