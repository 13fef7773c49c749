"""The range of the samples that a run is given: pictures must be such as the model could make."""

from __future__ import annotations

import torch

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError
from zoo_core.interfaces import Generator
from zoo_core.interfaces.unit_range import check_ranges

_AT_ONCE = 256  # samples
_ROUNDING = 1e-3
_FAR = 0.5  # of the range from black to white: no noise leads as far outside of it


@torch.no_grad()
def check_samples(generator: Generator, data: TrainingData, device: torch.device) -> str | None:
    """Return what the user should know about the range of the samples, or None.

    Args:
        generator: built, on `device`. The samples of one that makes no pictures are left alone.

    Raises:
        DataError: for pictures of another type than uint8 and floating ones, or far outside the model's range.
        InterfaceError: for a model of pictures whose `to_unit` and `from_unit` do not match.
    """
    if generator.kind != "image":
        return None
    samples, name = data.samples, type(generator).__qualname__
    if samples.dtype == torch.uint8:
        check_ranges(generator, device)
        return None
    if not samples.is_floating_point():
        raise DataError(
            f"{data.name} has samples of {samples.dtype}; pictures are uint8, 0 to 255, or floating values in the "
            f"range of {name}"
        )
    unit = [torch.stack(torch.aminmax(generator.to_unit(part.to(device)))) for part in torch.split(samples, _AT_ONCE)]
    low, high = torch.stack(unit)[:, 0].min().item(), torch.stack(unit)[:, 1].max().item()
    own = "{:.3g} to {:.3g}".format(*(end.item() for end in torch.aminmax(samples)))
    how = f"give uint8 pixels, or {name}.from_unit(x) of pictures x in [0, 1]"
    if low < -_FAR or high > 1 + _FAR:
        raise DataError(f"{data.name} has values from {own}, far outside the range of {name}; {how}")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        return f"{data.name} has values from {own}; what is outside the range of {name} cannot be seen in its samples"
    if low >= 0.5 - _ROUNDING and high > low:
        return f"{data.name} has values from {own}, in the brighter half of the range of {name} alone; {how}"
    return None
