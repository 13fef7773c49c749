"""`zoo traverse`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import known_kind, open_model
from zoo_core.cli.working import working

_MILLISECONDS = 100  # per frame


@click.command("traverse")
@click.argument("name", type=ModelName())
@click.option(
    "-o",
    "--out",
    type=options.UserPath(),
    help="Output: a .png, or a film in .gif or .webp.  [default: NAME-traversal.png]",
)
@click.option(
    "-n", "rows", type=click.IntRange(1, 1024), default=10, show_default=True, help="Dimensions to show, at most."
)
@click.option("--steps", type=click.IntRange(2, 1000), default=11, show_default=True, help="Pictures per dimension.")
@click.option(
    "--span",
    type=click.FloatRange(0, 100, min_open=True),
    default=3.0,
    show_default=True,
    help="Range of each dimension: ± this many standard deviations.",
)
@options.seed("the latent")
@options.label()
@options.sampling_options()
@options.device()
def command(
    name: str,
    out: Path | None,
    rows: int,
    steps: int,
    span: float,
    seed: int,
    label: tuple[str, ...],
    assignments: tuple[str, ...],
    device: str,
) -> None:
    """Vary a latent of the model NAME one dimension at a time, one row each, the most effective dimension first.

    Where a β-VAE has separated the factors of its data, each row changes one thing alone. Of several classes, each gets
    rows of its own. A film shows the rows as one picture that changes, forth and back.
    """
    from zoo_core.kinds.by_name import kind_named
    from zoo_core.kinds.films import FILMS, write_film
    from zoo_core.kinds.pictures import check_picture, save_png
    from zoo_core.kinds.showing import require_picture, require_pictures

    suffix = check_picture(out, (".png", *FILMS))
    require_pictures(known_kind(name), "traverse")
    generator, stem = open_model(name, device)
    require_pictures(kind_named(generator.kind), "traverse")
    out = out or Path(f"{stem}-traversal.png")

    import torch

    from zoo_core.sampling.labels import classes_by_name
    from zoo_core.sampling.latent_space import traverse

    z = generator.latents(seed, 0, 1)[0]
    classes: list[int | None] = [*classes_by_name(generator, label)] or [None]
    how: dict[str, Any] = {
        "steps": steps,
        "span": span,
        "options": options.chosen_options(generator, assignments),
        "seed": seed,
    }
    total = None if not generator.makes_states() else len(z) * steps
    parts = []
    for one in classes:
        with working("sampling", total) as work:
            samples, _ = traverse(generator, z, **how, label=one, on_step=work.stepped)
        parts.append(samples[:rows])
    shown = torch.cat(parts)  # (rows, steps, *sample_shape)
    if suffix == ".png":
        save_png(require_picture(shown.flatten(0, 1), generator, "traverse", columns=steps), out)
    else:
        frames = [require_picture(shown[:, step], generator, "traverse") for step in range(steps)]
        write_film(frames + frames[-2:0:-1], out, milliseconds=_MILLISECONDS, last=_MILLISECONDS)
    echo_path(out)
