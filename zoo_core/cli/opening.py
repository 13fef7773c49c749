"""The model that a command works with: downloaded, verified, on a device, and the stem of its output files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zoo_core.cli.messages import report_problems
from zoo_core.cli.progress import hub_job
from zoo_core.cli.working import working
from zoo_core.errors import ZooError
from zoo_core.files.paths import user_path
from zoo_core.registries.address import SCHEME, parse_address

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from zoo_core.interfaces import Generator, Kind


class Opened(NamedTuple):
    """A model ready for use. `stem` names the output files that the user does not name."""

    generator: Generator
    stem: str


def known_kind(name: str) -> Kind | None:
    """Return the kind of the samples of the model NAME, as far as it is known without loading or downloading a model.

    Whatever is wrong with the name or the model is reported where it is opened.
    """
    from zoo_core.kinds.by_name import stated_kind
    from zoo_core.modelfolder import read_config
    from zoo_core.models import find_entry, is_folder

    if name.startswith(SCHEME):
        return None
    try:
        facts = read_config(user_path(name)) if is_folder(name) else find_entry(name)
    except ZooError:
        return None
    return stated_kind(facts.architecture)


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
