"""The log-likelihood that a model states itself by `log_prob`: of pictures, texts, sounds or whatever it makes.

A density of continuous pixels becomes a bound on the probability of 8-bit pictures by uniform dequantisation (Theis et
al., arXiv 1511.01844): the mean of log p(k + u) over u in [0, 1) is at most the log of p(k), the integral over the
level. The density of k + u follows from that in the model's own range by the slope of `from_unit`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo_core.errors import MetricError
from zoo_core.interfaces import Generator
from zoo_core.interfaces.unit_range import check_ranges
from zoo_core.metrics.conditions import Binarization
from zoo_core.metrics.likelihood import STATIC_SEED, describe_pixels, is_discrete, labels_for
from zoo_core.runtime.devices import device_and_dtype
from zoo_core.sampling.batches import default_batch_size
from zoo_core.sampling.eval_mode import in_eval_mode
from zoo_core.streams import binarize, dequantize

END = 0  # the code that ends a text


def states_log_prob(generator: Generator) -> bool:
    """Return whether a model has a `log_prob` of its own."""
    return type(generator).log_prob is not Generator.log_prob


def describe(generator: Generator, binarization: Binarization) -> str:
    """Return what is measured, as the detail of a figure records it.

    Raises:
        MetricError: for a model that states no likelihood, or not how sharp it is.
    """
    name = type(generator).__qualname__
    if not states_log_prob(generator):
        raise MetricError(f"{name} states no likelihood: it has no log_prob of its own")
    sharpness = {"exact": "exact", "lower": "bound"}.get(generator.log_prob_bound)
    if sharpness is None:
        raise MetricError(f'{name}.log_prob_bound must be "exact" or "lower", not {generator.log_prob_bound!r}')
    if generator.kind == "image" and getattr(generator, "binary", False):
        return f"{sharpness}, {describe_pixels(binarization, binary=True)}"
    if is_discrete(generator):
        return f"{sharpness}, {'8-bit pixels' if generator.kind == 'image' else 'discrete values'}"
    if generator.kind == "image":
        return "bound, 8-bit pixels, uniformly dequantised"
    return f"{sharpness}, continuous values, a density"


@torch.no_grad()
def negative_log_prob(
    generator: Generator,
    data: Tensor,
    labels: Tensor | None,
    *,
    start: int,
    seed: int,
    binarization: Binarization,
) -> Tensor:
    """Return −log p(x) for samples start … start + N − 1 of a data set: (N,), float64, in nats.

    Args:
        data: (N, *sample_shape): pictures uint8, samples of another kind in the model's own range.
        labels: (N,), for a conditional model.
        seed: for dequantisation and dynamic binarisation.
        binarization: of pictures, for a likelihood of binary pixels.

    Raises:
        MetricError: for a conditional model without labels, or a `log_prob` that is no finite number for each sample.
        InterfaceError: if `to_unit` and `from_unit` do not match.
    """
    given = labels_for(generator, labels, "likelihood")
    values: list[Tensor] = []
    step = default_batch_size(generator)
    with in_eval_mode(generator):
        for first in range(0, len(data), step):
            some = slice(first, first + step)
            x, log_slope = _in_own_range(generator, data[some], start + first, seed, binarization)
            log_prob = generator.log_prob(x, *(label[some] for label in given))
            _check(generator, log_prob, len(x), start + first)
            values.append(-log_prob.cpu().double() - log_slope)
    return torch.cat(values)


def _in_own_range(
    generator: Generator, data: Tensor, start: int, seed: int, binarization: Binarization
) -> tuple[Tensor, Tensor]:
    """Samples of the data as `log_prob` takes them, and what makes its density one of 8-bit pixels: (N,), float64."""
    device, dtype = device_and_dtype(generator)
    none = torch.zeros(len(data), dtype=torch.float64)
    if generator.kind != "image":
        return data.to(device, dtype) if data.is_floating_point() else data.to(device), none
    check_ranges(generator, device)
    if not is_discrete(generator):
        unit = dequantize(data, seed, start)
        x, log_slope = _mapped(generator, unit.to(device))
        return x.to(dtype), log_slope - math.log(256) * data[0].numel()
    unit = data.float() / 255
    if binarization != "none":
        unit = binarize(unit, STATIC_SEED if binarization == "static" else seed, start)
    return generator.from_unit(unit.to(device)).to(dtype), none


def _mapped(generator: Generator, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures in the model's own range, and the log of the absolute slope of `from_unit`, summed: (N,), float64."""
    with torch.enable_grad():
        unit = unit.detach().requires_grad_()
        x = generator.from_unit(unit)
        (slope,) = torch.autograd.grad(x.sum(), unit, allow_unused=True) if x.requires_grad else (None,)
    if slope is None or bool((slope == 0).any()) or not bool(slope.isfinite().all()):
        raise MetricError(
            f"{type(generator).__qualname__}.from_unit has no slope, so that a density in the model's own range says "
            "nothing about 8-bit pixels; set log_prob_discrete = True if log_prob is the probability of the 256 levels"
        )
    return x.detach(), slope.abs().double().log().flatten(1).sum(1).cpu()


def _check(generator: Generator, log_prob: object, count: int, start: int) -> None:
    name = f"{type(generator).__qualname__}.log_prob"
    if not isinstance(log_prob, Tensor) or tuple(log_prob.shape) != (count,):
        found = tuple(log_prob.shape) if isinstance(log_prob, Tensor) else type(log_prob).__name__
        raise MetricError(f"{name} returned {found}, not {(count,)}: one number for each sample")
    wrong = (~log_prob.isfinite()).nonzero()
    if len(wrong):
        index = int(wrong[0])
        raise MetricError(f"{name} is {log_prob[index].item()} for sample {start + index} of the data")


def dimensions(data: Tensor) -> Tensor:
    """Return how many values each sample has: (N,), float64.

    Example:
        >>> dimensions(torch.zeros(2, 1, 28, 28)).tolist()
        [784.0, 784.0]
    """
    return torch.full((len(data),), float(data[0].numel()), dtype=torch.float64)


def characters(codes: Tensor) -> Tensor:
    """Return how many codes of each text count: those before the end, and the end if there is room for it.

    Args:
        codes: (N, length), int64; the first 0 ends a text, and what follows is padding.

    Returns:
        (N,), float64.

    Example:
        >>> characters(torch.tensor([[5, 3, 0, 0], [5, 3, 2, 9], [0, 0, 0, 0]])).tolist()
        [3.0, 4.0, 1.0]
    """
    before_the_end = (codes == END).cumsum(1) == 0
    return (before_the_end.sum(1) + 1).clamp(max=codes.shape[1]).double()
