"""`zoo train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ArchitectureName, ModelName
from zoo_core.cli.messages import echo_path, report_problems
from zoo_core.cli.progress import hub_job
from zoo_core.errors import printable
from zoo_core.runtime.environment import first_process

if TYPE_CHECKING:
    from zoo_core.interfaces import Parent


@click.command("train")
@click.argument("architecture", type=ArchitectureName())
@click.option(
    "--data",
    help="Training data, as the architecture's kind of samples reads it; for pictures a folder of them, a .zip, "
    ".parquet, .npz, .npy or idx file, a folder of Parquet files, or the id of a data set on the Hub.",
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
    help="Change one setting, one field of the configuration as model.KEY=VALUE, or one of the model's own options for "
    "sampling as options.KEY=VALUE.",
)
@click.option(
    "--from",
    "start_from",
    metavar="MODEL",
    type=ModelName(),
    help="Start from the weights of this model: a name, a folder or hf://user/repo. Its configuration is the default.",
)
@click.option(
    "--from-matching",
    is_flag=True,
    help="With --from: take only the tensors that fit by name and shape; the others start anew.",
)
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint in --out; start if there is none.")
@click.option("--finish", is_flag=True, help="Make a model of the newest checkpoint in --out; it needs no --data.")
@click.option("--steps", help="Shorthand for --set steps=…")
@click.option("--seed", help="Shorthand for --set seed=…")
@click.option("--device", help="Shorthand for --set device=…: auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", help="Shorthand for --set precision=…: auto, fp32, bf16 or fp16.")
@click.option("--size", help="Shorthand for --set model.size=…; taken from the data by default.")
@click.option("--channels", help="Shorthand for --set model.channels=…; taken from the data by default.")
@click.option(
    "--column", "--image-column", "column", help="Column of a table that holds the samples.  [default: image]"
)
@click.option("--label-column", help="Column that holds the classes.  [default: label]")
@options.skip_damaged()
def command(
    architecture: str,
    data: str | None,
    out: Path,
    config_file: Path | None,
    assignments: tuple[str, ...],
    start_from: str | None,
    from_matching: bool,
    resume: bool,
    finish: bool,
    column: str | None,
    label_column: str | None,
    skip_damaged: bool,
    **shorthands: str | None,
) -> None:
    """Train an ARCHITECTURE on your own data; the finished model is written to --out.

    Ctrl-C finishes the step in progress and writes a checkpoint. --resume continues from it as if nothing had happened;
    what --set changes then, such as learning_rate, holds from there on. --finish makes a model of it.

    --from starts from another model's weights instead of random ones, and from its discriminator where it has one.
    """
    report_problems()
    if finish:
        given = [f"--{name}" for name, value in shorthands.items() if value is not None and name != "device"]
        given += [name for name, value in {"--set": assignments, "--from": start_from}.items() if value]
        _finish(architecture, out, shorthands["device"], given)
        return
    if from_matching and start_from is None:
        raise click.UsageError("--from-matching needs --from, which names the model to start from")
    if data is None:
        raise click.UsageError("Missing option '--data'.")
    _refuse_folder(out, data, resume=resume)
    parent = _parent(out, start_from, matching=from_matching, resume=resume)
    for name, value in shorthands.items():
        if value is not None:
            prefix = "model." if name in ("size", "channels") else ""
            assignments = (*assignments, f"{prefix}{name}={value}")
    from zoo_core.training.setup import prepare_training

    trainer, training_data = prepare_training(
        architecture,
        data,
        config_file=config_file,
        assignments=assignments,
        column=column,
        label_column=label_column,
        skip_damaged=skip_damaged,
        parent=parent,
        tell=_tell,
    )
    said = {assignment.partition("=")[0].strip() for assignment in assignments}
    finished = trainer.fit(training_data, out=out, resume=resume, change=said, start_from=parent)
    if first_process():
        echo_path(finished)


def _refuse_folder(out: Path, data: str, *, resume: bool) -> None:
    """Refuse a folder for the run before minutes are spent on decoding the data."""
    from zoo_core.training.run_folder import RunFolder

    run = RunFolder(out)
    run.refuse_data_around(data)
    run.refuse_foreign(resume=resume)
    if first_process():
        run.refuse_if_held()


def _parent(out: Path, start_from: str | None, *, matching: bool, resume: bool) -> Parent | None:
    """Find the model that the run starts from, or the one that the resumed run in `out` was started from."""
    from zoo_core.training.parents import open_parent, parent_of_run
    from zoo_core.training.run_folder import RunFolder

    recorded = RunFolder(out).recorded() if resume else None
    if start_from is None:
        return parent_of_run(out, recorded, None, matching=matching)
    with hub_job() as job:
        return parent_of_run(out, recorded, open_parent(start_from, matching=matching, job=job), matching=matching)


def _finish(architecture: str, out: Path, device: str | None, settings: list[str]) -> None:
    """Make a model of a run that was stopped."""
    from zoo_core.training.stopped_runs import finish_stopped_run

    if settings:
        raise click.UsageError(f"--finish takes the settings of the run: leave out {', '.join(settings)}")
    if first_process():
        echo_path(finish_stopped_run(architecture, out, device=device or "auto"))


def _tell(line: str) -> None:
    if first_process():
        click.echo(printable(line), err=True)
