"""`zoo sample`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import known_kind, open_model
from zoo_core.cli.standard_output import STDOUT, check_stdout, write_to_stdout
from zoo_core.cli.working import counted, working
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.output import check_output, default_output, write_samples
from zoo_core.runtime.environment import first_process, process_count

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Generator
    from zoo_core.sampling.distributed import DrawSamples


@click.command("sample")
@click.argument("name", type=ModelName())
@click.option("-n", "count", type=click.IntRange(min=1), default=64, show_default=True, help="Number of samples.")
@click.option(
    "-o",
    "--out",
    type=options.OutputName(),
    help="Output: for pictures a name in .png, .webp, .npz, .gif, or of a folder; zoo info shows what other samples "
    "are written to; - is stdout.  [default: NAME.png, or the first that zoo info shows]",
)
@options.seed()
@options.start()
@options.label()
@options.truncation()
@options.batch_size()
@options.device()
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of the weights.",
)
def command(
    name: str,
    count: int,
    out: str | None,
    seed: int,
    start: int,
    label: tuple[str, ...],
    truncation: float | None,
    batch_size: int | None,
    device: str,
    precision: str,
) -> None:
    """Draw samples from the model NAME: a registry name, hf://user/repo[@revision], or a folder (with a / in it).

    What -o may end in depends on the kind of the samples; zoo info NAME lists it. Pictures: a .png or .webp is one grid
    of all samples, a .gif a film of them, an .npz holds arr_0, uint8 (N, H, W, C), and a folder holds 000000.png,
    000001.png and so on. A seed gives the same samples whatever the batch size.
    """
    known = known_kind(name)
    to_stdout = out == STDOUT
    if to_stdout:
        check_stdout(known, count)
    elif out is not None:  # report an output that cannot be written before torch is imported
        check_output(out, known, count)
    generator, stem = open_model(name, device, precision)
    kind = kind_named(generator.kind)
    if out is None:
        out = default_output(kind, stem)
    if to_stdout:
        check_stdout(kind, count, generator.sample_shape)
    else:
        check_output(out, kind, count, generator.sample_shape)

    from zoo_core.sampling.batches import sample_batches
    from zoo_core.sampling.labels import classes_by_name, in_turn

    classes = classes_by_name(generator, label)

    def draw(first: int, n: int) -> Iterator[torch.Tensor]:
        labels = in_turn(classes, first, n) if classes else None
        return sample_batches(
            generator, n, seed=seed, start=first, labels=labels, truncation=truncation, batch_size=batch_size
        )

    if process_count() > 1:
        _sample_together(generator, count, out, draw, start)
        return
    with working("sampling", count) as work:
        batches = counted(draw(start, count), work)
        if to_stdout:
            write_to_stdout(batches, count, generator, start=start)
            return
        path = write_samples(batches, count, generator, out, start=start)
    echo_path(path)


def _sample_together(generator: Generator, count: int, out: str, draw: DrawSamples, start: int) -> None:
    """Write this process's share, as one of several that torchrun or `accelerate launch` started."""
    from zoo_core.runtime.processes import join
    from zoo_core.sampling.distributed import share_of_process, write_together

    processes = join("cpu")
    with working("sampling", share_of_process(count, processes)[1]) as work:
        path = write_together(
            generator, count, out, processes, lambda first, n: counted(draw(first, n), work), start=start
        )
    if first_process():
        echo_path(path)
