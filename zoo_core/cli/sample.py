"""`zoo sample`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from zoo_core.cli.completion import ClassName, ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import open_model
from zoo_core.runtime.environment import first_process, process_count

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Generator
    from zoo_core.sampling.distributed import Draw

_BAR_FROM = 1000  # samples; fewer are there before a bar could be read


@click.command("sample")
@click.argument("name", type=ModelName())
@click.option("-n", "count", type=click.IntRange(min=1), default=64, show_default=True, help="How many samples.")
@click.option("-o", "--out", type=click.Path(), help="A .png, an .npz, or a folder.  [default: NAME.png]")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Of the latents.")
@click.option("--label", type=ClassName(), help="The class to draw, by number or name.")
@click.option("--truncation", type=click.FloatRange(min=0, min_open=True), help="Cut the latents at ± this many σ.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples at a time; changes no sample.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of the weights."
)
def command(
    name: str,
    count: int,
    out: str | None,
    seed: int,
    label: str | None,
    truncation: float | None,
    batch_size: int | None,
    device: str,
    precision: str,
) -> None:
    """Draw samples from the model NAME: a registry name, hf://user/repo[@revision], or a folder (with a / in it).

    A .png is one grid; an .npz holds arr_0, uint8 (N, H, W, C), or float32 where the model makes no pictures; a folder
    holds 000000.png, 000001.png and so on. One seed gives the same samples for any batch size.
    """
    from zoo_core.kinds import image as images

    if out is not None:  # what cannot be written is told before torch is imported
        images.check_output(out, None, count)
    generator, stem = open_model(name, device, precision)
    if out is None:
        out = f"{stem}.png" if generator.kind == "image" else f"{stem}.npz"
    images.check_output(out, generator.kind, count)

    from zoo_core.sampling.batches import sample_batches

    def draw(start: int, n: int) -> Iterator[torch.Tensor]:
        return sample_batches(
            generator, n, seed=seed, start=start, labels=label, truncation=truncation, batch_size=batch_size
        )

    if process_count() > 1:
        _sample_together(generator, count, out, draw)
        return
    with _progress(draw(0, count), count) as shown:
        echo_path(images.write_samples(shown, count, generator.sample_shape, generator.kind, out))


def _sample_together(generator: Generator, count: int, out: str, draw: Draw) -> None:
    """One of several processes that torchrun or `accelerate launch` started."""
    from zoo_core.runtime.processes import join
    from zoo_core.sampling.distributed import write_shared

    path = write_shared(generator, count, out, join("cpu"), draw)
    if first_process():
        echo_path(path)


@contextlib.contextmanager
def _progress(batches: Iterator[torch.Tensor], count: int) -> Iterator[Iterator[torch.Tensor]]:
    if count < _BAR_FROM or not sys.stderr.isatty():
        yield batches
        return
    with click.progressbar(length=count, file=sys.stderr, label="sampling", show_pos=True) as bar:

        def counted() -> Iterator[torch.Tensor]:
            for batch in batches:
                yield batch
                bar.update(len(batch))

        yield counted()
