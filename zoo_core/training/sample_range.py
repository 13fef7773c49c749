"""The range of the samples that a run is given: they must be such as the model could make."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo_core.data.training_data import TrainingData
from zoo_core.errors import DataError
from zoo_core.interfaces import Generator
from zoo_core.interfaces.unit_range import check_ranges

_AT_ONCE = 256  # samples
_ROUNDING = 1e-3
_FAR = 0.5  # of the range from black to white, or of the loudest sound: no noise leads as far outside of it
_QUIET = 0.01  # of the loudest sound: 40 dB below it


@torch.no_grad()
def check_samples(generator: Generator, data: TrainingData, device: torch.device) -> str | None:
    """Return what the user should know about the range of the samples, or None.

    Args:
        generator: built, on `device`. Samples of other kinds than image, audio and text are left alone.

    Raises:
        DataError: for samples of another type than their kind has, or far outside the model's range.
        InterfaceError: for a model of pictures whose `to_unit` and `from_unit` do not match.
    """
    if generator.kind == "image":
        return _check_pictures(generator, data, device)
    if generator.kind == "audio":
        return _check_sounds(data)
    if generator.kind == "text":
        _check_codes(generator, data)
    return None


def _check_pictures(generator: Generator, data: TrainingData, device: torch.device) -> str | None:
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
    own = "{:.3g} to {:.3g}".format(*_ends(samples))
    how = f"give uint8 pixels, or {name}.from_unit(x) of pictures x in [0, 1]"
    if low < -_FAR or high > 1 + _FAR:
        raise DataError(f"{data.name} has values from {own}, far outside the range of {name}; {how}")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        return f"{data.name} has values from {own}; what is outside the range of {name} cannot be seen in its samples"
    if low >= 0.5 - _ROUNDING and high > low:
        return f"{data.name} has values from {own}, in the brighter half of the range of {name} alone; {how}"
    return None


def _check_sounds(data: TrainingData) -> str | None:
    samples = data.samples
    if not samples.is_floating_point():
        how = "divide 16-bit ones by 32768" if samples.dtype == torch.int16 else "scale them"
        raise DataError(f"{data.name} has samples of {samples.dtype}; sounds are floating values in [-1, 1]: {how}")
    low, high = _ends(samples)
    loudest, own = max(-low, high), f"{low:.3g} to {high:.3g}"
    if loudest > 1 + _FAR:
        raise DataError(f"{data.name} has values from {own}; sounds are in [-1, 1]: divide by the largest")
    if loudest > 1 + _ROUNDING:
        return f"{data.name} has values from {own}; what is outside [-1, 1] cannot be heard in the model's samples"
    if loudest < _QUIET:
        return f"{data.name} has values from {own}, too quiet to be heard; sounds are in [-1, 1]"
    return None


def _check_codes(generator: Generator, data: TrainingData) -> None:
    samples = data.samples
    if samples.is_floating_point() or samples.dtype == torch.bool:
        raise DataError(f"{data.name} has samples of {samples.dtype}; texts are whole numbers, the codes of characters")
    low, high = _ends(samples)
    if low < 0:
        raise DataError(f"{data.name} has the code {low:.0f}; codes of characters are numbered from 0")
    if callable(getattr(generator, "decode", None)):  # which alone knows what the codes mean
        return
    alphabet = getattr(vars(generator).get("config"), "alphabet", None)
    if isinstance(alphabet, str) and high > len(alphabet):  # code 0 ends a text, and code i is character i
        raise DataError(
            f"{data.name} has the code {high:.0f}, and the alphabet of {type(generator).__qualname__} has the codes 0 to "
            f"{len(alphabet)}; read it with the model's own alphabet"
        )


def _ends(samples: Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(samples)
    return low.item(), high.item()
