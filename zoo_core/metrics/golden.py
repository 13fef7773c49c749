"""Golden samples: a few samples stored beside a model's weights, which the model must reproduce.

They show what no digest can: that the code around the weights still computes what it did when they were published.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo_core.errors import VerificationError, printable
from zoo_core.files import strict_json
from zoo_core.files.atomic import write_bytes
from zoo_core.files.utf8_names import utf8_name
from zoo_core.interfaces import Generator
from zoo_core.interfaces.options import Choices, differences, recorded
from zoo_core.kinds.pictures import to_uint8
from zoo_core.modelfolder import GOLDEN

COUNT, SEED = 16, 0
OPTIONS = "options"  # the metadata of the file that holds the options which are not the model's own, as JSON
TOLERANCE = 1  # 8-bit step of pictures, and as much of the range of other values: machines round differently
STRAYING = 1 / 4  # of samples of whole numbers: where two values are a hair apart, a machine may choose either


def write_golden(generator: Generator, folder: Path, *, options: Choices | None = None) -> Path:
    """Store samples 0 … COUNT − 1 of seed SEED as the tensor `samples`; pictures as (N, C, H, W) uint8.

    Args:
        options: choices for sampling; those that are not the model's own are recorded in the file.

    Raises:
        OutputError: if they cannot be written.
        SamplingError: for options that the model has not.
    """
    path = folder / GOLDEN
    chosen = differences(generator.options, generator.choose(options))
    facts = {OPTIONS: json.dumps(chosen)} if chosen else None
    write_bytes(path, save({"samples": _golden_samples(generator, COUNT, chosen)}, facts))
    return path


def check_golden(generator: Generator, folder: Path) -> int:
    """Check that the model reproduces the golden samples of a folder, as far as machines agree.

    Returns:
        The number of golden samples; 0 if the folder has none.

    Raises:
        VerificationError: if one differs; says which, and by how much.
    """
    path = folder / GOLDEN
    if not path.is_file():
        return 0
    try:
        with utf8_name(path) as name, safe_open(name, "pt") as file:
            stored, facts = file.get_tensor("samples"), file.metadata() or {}
        stated = strict_json.decode(facts.get(OPTIONS, "{}").encode())
        if not isinstance(stated, dict):
            raise ValueError("its options are no JSON object")
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        raise VerificationError(f"{printable(path)} holds no samples: {printable(error, 120)}") from error
    if len(stored) == 0 or tuple(stored.shape[1:]) != tuple(generator.sample_shape):
        raise _not_the_models(path, stored)
    chosen = recorded(generator.options, stated, printable(path))
    made = _golden_samples(generator, len(stored), chosen)
    if made.dtype != stored.dtype:
        raise _not_the_models(path, stored)
    problem = _difference(made, stored, pictures=generator.kind == "image")
    if problem is not None:
        raise VerificationError(f"{printable(folder)}: {problem}")
    return len(stored)


def _difference(made: Tensor, stored: Tensor, *, pictures: bool) -> str | None:
    """Say how samples (N, …) differ from the golden ones; None if it is by no more than machines do."""
    wide = torch.complex128 if stored.is_complex() else torch.float64
    apart = (made.to(wide) - stored.to(wide)).abs().flatten(1).amax(1)
    if not pictures and not (stored.is_floating_point() or stored.is_complex()):
        other = int((apart > 0).sum())
        if other <= STRAYING * len(stored):
            return None
        return f"{other} of {len(stored)} golden samples could not be reproduced: their whole numbers are others"
    values = torch.view_as_real(stored) if stored.is_complex() else stored
    step = 1.0 if pictures else float(values.max() - values.min()) / 255
    worst, wrong = int(apart.argmax()), int((apart > TOLERANCE * step).sum())
    if not wrong:
        return None
    unit, allowed = ("8-bit steps", f"{TOLERANCE}") if pictures else ("in value", f"{TOLERANCE * step:.2g}")
    return (
        f"{wrong} of {len(stored)} golden samples could not be reproduced: "
        f"sample {worst} of seed {SEED} differs by {float(apart[worst]):.3g} {unit}, and {allowed} is allowed"
    )


def _not_the_models(path: Path, stored: Tensor) -> VerificationError:
    shape = tuple(stored.shape[1:])
    return VerificationError(f"{printable(path)} holds {stored.dtype} samples of {shape}, not the model's")


def _golden_samples(generator: Generator, count: int, options: dict[str, Any]) -> Tensor:
    samples = generator.sample(count, seed=SEED, options=options)
    if generator.kind != "image":
        return samples.contiguous()
    return torch.from_numpy(to_uint8(samples)).permute(0, 3, 1, 2).contiguous()
