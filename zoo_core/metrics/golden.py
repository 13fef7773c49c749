"""Golden samples: a few pictures stored beside a model's weights, which the model must reproduce.

They show what no digest can: that the code around the weights still computes what it did when they were published.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from zoo_core.errors import VerificationError, printable
from zoo_core.files.atomic import write_bytes
from zoo_core.files.utf8_names import utf8_name
from zoo_core.interfaces import Generator
from zoo_core.kinds.pictures import to_uint8
from zoo_core.modelfolder import GOLDEN

COUNT, SEED = 16, 0
TOLERANCE = 1  # 8-bit step: machines round differently


def write_golden(generator: Generator, folder: Path) -> Path:
    """Store samples 0 … COUNT − 1 of seed SEED as the tensor `samples`, (N, C, H, W) uint8. Raises OutputError."""
    path = folder / GOLDEN
    write_bytes(path, save({"samples": _pictures(generator, COUNT)}))
    return path


def check_golden(generator: Generator, folder: Path) -> int:
    """Check that the model reproduces the golden samples of a folder, within one 8-bit step.

    Returns:
        The number of golden samples; 0 if the folder has none.

    Raises:
        VerificationError: if one differs; says which, and by how much.
    """
    path = folder / GOLDEN
    if not path.is_file():
        return 0
    try:
        with utf8_name(path) as name:
            stored = load_file(name)["samples"]
    except (OSError, SafetensorError, LookupError) as error:
        raise VerificationError(f"{printable(path)} holds no samples: {printable(error, 120)}") from error
    expected = (tuple(stored.shape[1:]), stored.dtype)
    if len(stored) == 0 or expected != (tuple(generator.sample_shape), torch.uint8):
        raise VerificationError(f"{printable(path)} holds {stored.dtype} samples of {expected[0]}, not the model's")
    steps = (_pictures(generator, len(stored)).int() - stored.int()).abs().flatten(1).amax(1)
    worst = int(steps.argmax())
    if steps[worst] > TOLERANCE:
        wrong = int((steps > TOLERANCE).sum())
        raise VerificationError(
            f"{printable(folder)}: {wrong} of {len(stored)} golden samples could not be reproduced: "
            f"sample {worst} of seed {SEED} differs by {int(steps[worst])} 8-bit steps, and {TOLERANCE} is allowed"
        )
    return len(stored)


def _pictures(generator: Generator, count: int) -> Tensor:
    return torch.from_numpy(to_uint8(generator.sample(count, seed=SEED))).permute(0, 3, 1, 2).contiguous()
