"""Put a finished training run into a plugin's package, as a bundled model.

    python tools/bundle.py runs/dcgan-mnist dcgan-mnist

The model's folder is `weights/NAME` in the package of the plugin that the core's index names. It already contains
training.yaml, from which the run was made. The tool makes golden samples, and writes the sizes and digests of all files
to the plugin's registry.yaml. Figures measured on older weights are removed: run tools/measure.py next.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from pluginregistry import folder_of, write_card, write_fields

import zoo_core as zoo
from zoo_core.metrics.golden import write_golden
from zoo_core.modelfolder import TRAINING
from zoo_core.modelfolder.run_record import read_run_record
from zoo_core.registries import ModelEntry
from zoo_core.registries.index import core_index

COPIED = ("config.json", "model.safetensors", "samples.png")


def bundle(run: Path, name: str) -> Path:
    """Copy the model of a finished run into its plugin's package and enter it in the plugin's registry."""
    description = read_run_record(run)
    if description is None or not description.get("finished"):
        raise SystemExit(f"{run} is not finished")
    entry = core_index()[name]
    folder = folder_of(entry)
    if not (folder / TRAINING).is_file():
        raise SystemExit(f"{folder} has no {TRAINING}: the run must come from a configuration that is kept")
    for file in COPIED:
        shutil.copy(run / file, folder / file)
    write_card(entry, {})
    write_golden(zoo.load(folder, device="cpu"), folder)
    _enter(folder, entry, description)
    return folder


def _enter(folder: Path, entry: ModelEntry, description: dict[str, Any]) -> None:
    settings = description["settings"]
    generator = zoo.load(folder, device="cpu")
    fields = {
        "architecture": entry.architecture,
        "plugin": entry.plugin,
        "summary": entry.summary,
        "license": entry.license,
        "dataset": entry.dataset,
        "tags": list(entry.tags),
        "sample_shape": list(generator.sample_shape),
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        **({"class_names": list(generator.class_names)} if generator.class_names else {}),
        "training": {
            "steps": settings["steps"],
            "seed": settings["seed"],
            "batch_size": settings["batch_size"],
            "configuration": TRAINING,
        },
        "bundled": f"weights/{entry.name}",
    }
    write_fields(entry, fields)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(bundle(Path(sys.argv[1]), sys.argv[2]))
