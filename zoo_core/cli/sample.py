"""`zoo sample`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import open_model
from zoo_core.cli.working import counted, working
from zoo_core.kinds.output import check_output, names_of_formats, write_samples
from zoo_core.runtime.environment import first_process, process_count

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Generator
    from zoo_core.sampling.distributed import DrawSamples


@click.command("sample")
@click.argument("name", type=ModelName())
@click.option("-n", "count", type=click.IntRange(min=1), default=64, show_default=True, help="Number of samples.")
@click.option(
    "-o", "--out", type=options.OutputName(), help=f"Output: a name {names_of_formats()}.  [default: NAME.png]"
)
@options.seed()
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
    label: tuple[str, ...],
    truncation: float | None,
    batch_size: int | None,
    device: str,
    precision: str,
) -> None:
    """Draw samples from the model NAME: a registry name, hf://user/repo[@revision], or a folder (with a / in it).

    A .png is one grid of all samples. An .npz holds arr_0: uint8 (N, H, W, C) for pictures, float32 for anything else.
    A folder holds 000000.png, 000001.png and so on. A seed gives the same samples whatever the batch size.
    """
    if out is not None:  # report an output that cannot be written before torch is imported
        check_output(out, None, count)
    generator, stem = open_model(name, device, precision)
    if out is None:
        out = f"{stem}.png" if generator.kind == "image" else f"{stem}.npz"
    check_output(out, generator.kind, count, generator.sample_shape)

    from zoo_core.sampling.batches import sample_batches
    from zoo_core.sampling.labels import classes_by_name, in_turn

    classes = classes_by_name(generator, label)

    def draw(start: int, n: int) -> Iterator[torch.Tensor]:
        labels = in_turn(classes, start, n) if classes else None
        return sample_batches(
            generator, n, seed=seed, start=start, labels=labels, truncation=truncation, batch_size=batch_size
        )

    if process_count() > 1:
        _sample_together(generator, count, out, draw)
        return
    with working("sampling", count) as work:
        path = write_samples(counted(draw(0, count), work), count, generator.sample_shape, generator.kind, out)
    echo_path(path)


def _sample_together(generator: Generator, count: int, out: str, draw: DrawSamples) -> None:
    """Write this process's share, as one of several that torchrun or `accelerate launch` started."""
    from zoo_core.runtime.processes import join
    from zoo_core.sampling.distributed import share_of_process, write_together

    processes = join("cpu")
    with working("sampling", share_of_process(count, processes)[1]) as work:
        path = write_together(generator, count, out, processes, lambda start, n: counted(draw(start, n), work))
    if first_process():
        echo_path(path)
