"""Memory used while a model is loaded, compared with the size of its weights.

    python benchmarks/load_memory.py

Writes models of about 400 MB to a temporary folder and loads each in a process of its own: as stored, in half
precision, and from a file in half precision. Prints the peak of the resident memory during the load and until the first
samples are drawn, relative to the resident memory just before, when everything has been imported.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

MAKE = """
import sys, torch
from zoo_core.plugins import manager
architecture = manager().architecture("vanilla_gan")
generator = architecture.generator_class()(architecture.config_class()(generator_widths=(8192, 8192, 4096)))
generator.to(getattr(torch, sys.argv[2])).save(sys.argv[1])
"""

# On Linux, getrusage's peak is inherited from the parent process; that of /proc belongs to this process alone, and can
# be reset. On other systems only getrusage is available.
LOAD = """
import sys, torch
from pathlib import Path
import zoo_core.runtime.meta_device, zoo_core.modelfolder.weight_loading
from zoo_core import modelfolder
from zoo_core.plugins import manager

def peak():
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

manager().architecture("vanilla_gan").generator_class()
if sys.platform == "linux":
    Path("/proc/self/clear_refs").write_text("5")
before = peak()
generator = modelfolder.load(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
loaded = peak()
generator.sample(16)
print(loaded - before, peak() - before)
"""


def run(script: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True).stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for stored, wanted in (("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")):
            folder = Path(temporary) / f"{stored}-{wanted}"
            run(MAKE, str(folder), stored)
            size = (folder / "model.safetensors").stat().st_size / 2**20
            load, sample = (int(number) / 2**20 for number in run(LOAD, str(folder), wanted).split())
            print(
                f"{size:.0f} MB of {stored}, loaded as {wanted}: "
                f"{load:.0f} MB more while loading, {sample:.0f} MB more with the first samples"
            )


if __name__ == "__main__":
    main()
