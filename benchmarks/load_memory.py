"""How far memory rises while a model is loaded, beside the size of its weights.

    python benchmarks/load_memory.py

Makes a model of about 400 MB in a temporary folder and loads it in a process of its own, once to the CPU as it is and
once in half precision; prints the rise of the peak resident memory over that before the load.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from zoo_core.plugins import manager

LOAD = """
import resource, sys, torch
from zoo_core import modelfolder
from zoo_core.plugins import manager
import zoo_core.placement, zoo_core.metadevice
manager().architecture("vanilla_gan").generator_class()
unit = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
generator = modelfolder.load(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
generator.sample(16)
sampled = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((loaded - before) * unit, (sampled - before) * unit)
"""


def main() -> None:
    architecture = manager().architecture("vanilla_gan")
    config = architecture.config_class()(generator_widths=(8192, 8192, 4096))
    with tempfile.TemporaryDirectory() as temporary:
        folder = architecture.generator_class()(config).save(Path(temporary) / "model")
        size = (folder / "model.safetensors").stat().st_size
        print(f"weights: {size / 2**20:.0f} MB")
        for dtype in ("float32", "bfloat16"):
            done = subprocess.run(
                [sys.executable, "-c", LOAD, folder, dtype], capture_output=True, text=True, check=True
            )
            load, sample = (int(number) / 2**20 for number in done.stdout.split())
            print(f"{dtype}: {load:.0f} MB more after loading, {sample:.0f} MB more after the first samples")


if __name__ == "__main__":
    main()
