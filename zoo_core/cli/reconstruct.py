"""`zoo reconstruct`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli import options
from zoo_core.cli.completion import ModelName
from zoo_core.cli.messages import echo_path
from zoo_core.cli.opening import known_kind, open_model
from zoo_core.cli.working import working
from zoo_core.errors import printable

_COLUMNS = 8  # pairs of pictures per row


@click.command("reconstruct")
@click.argument("name", type=ModelName())
@click.argument("pictures", metavar="IMAGE...", nargs=-1, required=True, type=options.UserPath())
@click.option(
    "-o", "--out", type=options.UserPath(), help="Output: a .png or a .webp.  [default: NAME-reconstructed.png]"
)
@options.label("Class of the pictures")
@options.sampling_options()
@options.device()
def command(
    name: str,
    pictures: tuple[Path, ...],
    out: Path | None,
    label: tuple[str, ...],
    assignments: tuple[str, ...],
    device: str,
) -> None:
    """Encode pictures with the model NAME and decode them again; show each beside its reconstruction.

    The model must be one that encodes, such as a VAE. Pictures are cropped, resized and converted as for its training.
    """
    from zoo_core.kinds.by_name import kind_named
    from zoo_core.kinds.pictures import (
        STILL,
        check_picture,
        from_uint8,
        grid,
        refuse_to_overwrite,
        save_picture,
        to_uint8,
    )
    from zoo_core.kinds.showing import require_image

    check_picture(out, STILL)
    require_image(known_kind(name), "reconstruct")
    if out is not None:
        refuse_to_overwrite(out, pictures)
    generator, stem = open_model(name, device)
    require_image(kind_named(generator.kind), "reconstruct")
    if out is None:
        out = Path(f"{stem}-reconstructed.png")
        refuse_to_overwrite(out, pictures)

    import numpy as np

    from zoo_core.data.decoding import read_pictures
    from zoo_core.sampling.labels import classes_by_name, in_turn
    from zoo_core.sampling.latent_space import reconstruct

    classes = classes_by_name(generator, label)
    chosen = options.chosen_options(generator, assignments)

    channels, height, width = generator.sample_shape
    given, changes = read_pictures(pictures, (channels, height, width))
    for change in changes:
        click.echo(printable(change), err=True)
    labels = in_turn(classes, 0, len(given)) if classes else None
    with working("reconstructing"):
        again = to_uint8(reconstruct(generator, from_uint8(given), labels, options=chosen))
    pairs = np.stack([picture for pair in zip(given, again, strict=True) for picture in pair])
    save_picture(grid(pairs, columns=2 * min(_COLUMNS, len(given))), out)
    echo_path(out)
