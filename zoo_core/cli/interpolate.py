"""`zoo interpolate`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import open_model
from zoo_core.cli.working import counted, working

_SUFFIXES = (".gif", ".png")
_MILLISECONDS = 60  # per frame


@click.command("interpolate")
@click.argument("name", type=ModelName())
@click.option("-o", "--out", type=options.UserPath(), help="Output: a .gif or a .png.  [default: NAME.gif]")
@click.option(
    "-n", "walks", type=click.IntRange(1, 1024), default=16, show_default=True, help="Number of walks, side by side."
)
@click.option(
    "--through",
    type=click.IntRange(2, 1000),
    default=4,
    show_default=True,
    help="Samples that each walk passes through.",
)
@click.option(
    "--frames", type=click.IntRange(1, 1000), help="Frames between two samples.  [default: 16, or 4 in a .png]"
)
@options.seed()
@options.label()
@options.truncation()
@options.device()
def command(
    name: str,
    out: Path | None,
    walks: int,
    through: int,
    frames: int | None,
    seed: int,
    label: tuple[str, ...],
    truncation: float | None,
    device: str,
) -> None:
    """Walk through the latent space of the model NAME, from sample to sample and back to the first.

    A .gif shows the walks side by side; a .png has one walk per row. Between two latents the walk follows an arc,
    because a straight line would leave the region where the model was trained.
    """
    from zoo_core.kinds.pictures import check_picture, grid, require_pictures, save_png, stack, to_uint8

    picture = check_picture(out, _SUFFIXES)
    generator, stem = open_model(name, device)
    require_pictures(generator.kind, "interpolate")
    out = out or Path(f"{stem}.gif")

    from zoo_core.kinds.gif import write_film
    from zoo_core.sampling.labels import classes_by_name, in_turn
    from zoo_core.sampling.latent_space import interpolate

    classes = classes_by_name(generator, label)
    labels = in_turn(classes, 0, walks) if classes else None
    steps = frames or (4 if picture == ".png" else 16)
    walk = interpolate(generator, walks, through=through, frames=steps, seed=seed, label=labels, truncation=truncation)
    with working("sampling", walks * through * steps) as work:
        shown = [to_uint8(frame) for frame in counted(walk, work)]
    if picture == ".png":
        rows = chain.from_iterable(zip(*shown, strict=True))
        save_png(grid(stack(rows), columns=len(shown)), out)
    else:
        grids = [grid(frame) for frame in shown]
        write_film(grids, out, milliseconds=_MILLISECONDS, last=_MILLISECONDS)
    echo_path(out)
