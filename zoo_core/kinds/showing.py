"""Showing samples of any kind: one picture of them, through the kind's own `picture`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core.errors import InterfaceError, OutputError, printable
from zoo_core.interfaces.kind import Kind
from zoo_core.kinds.by_name import kind_named
from zoo_core.kinds.optional_arguments import takes
from zoo_core.kinds.pictures import PNG_CHANNELS, grid, padded

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo_core.interfaces.generator import Generator


def picture_of(samples: Tensor, generator: Generator, *, columns: int | None = None) -> np.ndarray | None:
    """Return samples (N, *sample_shape) in one picture, (H, W, C) uint8; None if their kind has none.

    Args:
        samples: as `Generator.sample` returns them.
        generator: the model that they are from.
        columns: number of samples in a row; by default the kind arranges them.

    Raises:
        InterfaceError: if the kind returns something else than a picture.

    Example:
        >>> import zoo_core as zoo
        >>> generator = zoo.load("vanilla-gan-mnist")
        >>> picture_of(generator.sample(6), generator, columns=6).shape
        (32, 182, 1)
    """
    kind = kind_named(generator.kind)
    if columns is None:
        return _checked(kind, kind.picture(samples, generator))
    if takes(kind.picture, "columns"):
        return _checked(kind, kind.picture(samples, generator, columns=columns))  # type: ignore[call-arg]
    singles = [_checked(kind, kind.picture(sample[None], generator)) for sample in samples]
    shown = [single for single in singles if single is not None]
    return grid(padded(shown), columns) if len(shown) == len(samples) else None


def has_pictures(kind: Kind) -> bool:
    """Whether a kind shows its samples in pictures."""
    return type(kind).picture is not Kind.picture


def require_pictures(kind: Kind | None, what: str) -> None:
    """Raise OutputError if the samples of a kind, once it is known, have no pictures, for a command that shows them."""
    if kind is not None and not has_pictures(kind):
        raise nothing_to_see(kind, what)


def require_image(kind: Kind | None, what: str) -> None:
    """Raise OutputError if a model, once its kind is known, makes no pictures, for a command that reads them."""
    if kind is not None and kind.name != "image":
        raise nothing_to_see(kind, what)


def require_picture(samples: Tensor, generator: Generator, what: str, *, columns: int | None = None) -> np.ndarray:
    """Return what `picture_of` does; raise OutputError if there is no picture of these samples."""
    shown = picture_of(samples, generator, columns=columns)
    if shown is None:
        raise nothing_to_see(kind_named(generator.kind), what)
    return shown


def nothing_to_see(kind: Kind, what: str) -> OutputError:
    """Return the error of a command that shows pictures, for samples that have none."""
    made = printable(kind.noun[1], 40)
    return OutputError(f"this model makes {made}, not pictures: there is nothing to {what}")


def _checked(kind: Kind, picture: np.ndarray | None) -> np.ndarray | None:
    import numpy as np

    if picture is None:
        return None
    if isinstance(picture, np.ndarray) and picture.ndim == 2:
        picture = picture[:, :, None]
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.size):
        found = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise InterfaceError(f"the kind {kind.name!r} returned {found} as a picture, not (H, W, C) uint8")
    if picture.shape[2] not in PNG_CHANNELS:
        raise InterfaceError(f"the kind {kind.name!r} returned a picture of {picture.shape[2]} channels, not 1 or 3")
    return picture
