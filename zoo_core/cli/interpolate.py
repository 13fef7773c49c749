"""`zoo interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import known_kind, open_model
from zoo_core.cli.working import counted, working

_MILLISECONDS = 60  # per frame


@click.command("interpolate")
@click.argument("name", type=ModelName())
@click.option("-o", "--out", type=options.UserPath(), help="Output: a .gif, a .webp or a .png.  [default: NAME.gif]")
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
@options.sampling_options()
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
    assignments: tuple[str, ...],
    device: str,
) -> None:
    """Walk through the latent space of the model NAME, from sample to sample and back to the first.

    A .gif and an animated .webp show the walks side by side; a .png has one walk per row. Between two latents the walk
    follows an arc, because a straight line would leave the region where the model was trained.
    """
    from zoo_core.kinds.by_name import kind_named
    from zoo_core.kinds.films import FILMS, write_film
    from zoo_core.kinds.pictures import check_picture, save_png
    from zoo_core.kinds.showing import require_picture, require_pictures

    suffix = check_picture(out, (*FILMS, ".png"))
    require_pictures(known_kind(name), "interpolate")
    generator, stem = open_model(name, device)
    require_pictures(kind_named(generator.kind), "interpolate")
    out = out or Path(f"{stem}.gif")

    import torch

    from zoo_core.sampling.labels import classes_by_name, in_turn
    from zoo_core.sampling.latent_space import interpolate

    classes = classes_by_name(generator, label)
    labels = in_turn(classes, 0, walks) if classes else None
    steps = frames or (4 if suffix == ".png" else 16)
    chosen = options.chosen_options(generator, assignments)
    how: dict[str, Any] = {"through": through, "frames": steps, "seed": seed, "label": labels, "truncation": truncation}
    with working("sampling", walks * through * steps) as work:
        walk = interpolate(generator, walks, **how, options=chosen, on_step=work.stepped)
        if suffix == ".png":
            rows = torch.stack(list(counted(walk, work))).transpose(0, 1)
            save_png(require_picture(rows.flatten(0, 1), generator, "interpolate", columns=rows.shape[1]), out)
        else:
            shown = [require_picture(frame, generator, "interpolate") for frame in counted(walk, work)]
            write_film(shown, out, milliseconds=_MILLISECONDS, last=_MILLISECONDS)
    echo_path(out)
