"""The model that a command works with: downloaded, verified, on a device, and the stem of its output files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zoo_core.cli.messages import report_problems
from zoo_core.cli.progress import hub_job
from zoo_core.cli.working import working
from zoo_core.registries.address import SCHEME, parse_address

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from zoo_core.interfaces import Generator


class Opened(NamedTuple):
    """A model ready for use. `stem` names the output files that the user does not name."""

    generator: Generator
    stem: str


def open_model(name: str, device: str = "auto", precision: str = "fp32") -> Opened:
    """Load the model NAME of a command. Raises as `models.load`."""
    from zoo_core import catalog, models

    with hub_job() as job:
        folder, entry = models.verified(name, job)
    report_problems(*(catalog.registry().problems if entry else ()))
    from zoo_core.runtime.devices import device_of_process  # imports torch: only when the files are verified

    with working(f"loading {name}"):
        generator = models.load(folder, device=device_of_process(device), dtype=_dtype(precision))
    return Opened(generator, entry.name if entry else _own_name(name, folder))


def _own_name(name: str, folder: Path) -> str:
    """The name of a model without an entry: that of its repository; the folder is named by the commit."""
    return parse_address(name).repo.partition("/")[2] if name.startswith(SCHEME) else folder.resolve().name


def _dtype(precision: str) -> torch.dtype | None:
    if precision == "fp32":
        return None
    import torch

    return torch.bfloat16
